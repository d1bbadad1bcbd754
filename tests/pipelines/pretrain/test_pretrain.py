import itertools

import numpy as np
import torch
import torch.nn.functional as F

from pipelines.pretrain.sentences import plain_words, random_sentences, vocabulary
from pipelines.pretrain.text_encoder import build_encoder, build_tokenizer, distil, principal_targets


def test_sentences_are_many_and_repeatable():
    words = ["alpha", "beta", "gamma"]
    draw = lambda seed: list(itertools.islice(random_sentences(np.random.default_rng(seed), words), 300))  # noqa: E731
    sentences = draw(0)
    assert sentences == draw(0) != draw(1)
    assert len(set(sentences)) > 280
    assert not any("{" in sentence or "  " in sentence for sentence in sentences)
    assert set(vocabulary()) >= {"places", "things", "miniatures", "medical", "others"}


def test_plain_words():
    assert plain_words(["##ing", "room", "ab", "Tree", "zoo"]) == ["room", "zoo"]


def test_targets_keep_the_distances_of_the_embeddings():
    embeddings = np.random.default_rng(0).normal(size=(200, 6)) * [5, 4, 3, 1e-3, 1e-3, 1e-3]
    targets = principal_targets(embeddings, 3).numpy()
    before = np.linalg.norm(embeddings[:20, None] - embeddings[None, :20], axis=-1)
    after = np.linalg.norm(targets[:20, None] - targets[None, :20], axis=-1)
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.999


def test_the_encoder_learns_its_targets():
    torch.manual_seed(0)
    sentences = sorted({f"a {a} {b}" for a in ("small", "large", "toy") for b in ("room", "street", "colon")}, key=len)
    tokenizer, model = build_tokenizer(sentences, 400), build_encoder(400, 16)
    targets = torch.randn(len(sentences), 16)
    tokens = tokenizer(sentences, padding=True, return_tensors="pt")

    def error():
        with torch.no_grad():
            return F.mse_loss(model(**tokens).text_embeds, targets).item()

    before = error()
    distil(model, tokenizer, sentences, targets, 60, 0, batch_size=8)
    assert error() < before / 2
    assert tokenizer.decode(tokenizer("A Room!")["input_ids"], skip_special_tokens=True).strip() == "a room!"
