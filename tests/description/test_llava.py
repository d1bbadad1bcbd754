"""LLaVA v1.6 of both families, small, through the real classes of transformers."""

import numpy as np
import pytest
import torch

from benchmarks.tiny_llava import save_llava
from tr2m_plugin.description.answers import clean_answer
from tr2m_plugin.description.llava import CHAT, LlavaDescriber
from tr2m_plugin.description.prompts import PROMPTS
from tr2m_plugin.errors import InputError
from tr2m_plugin.rows import DescriptionRow, IndexRow


@pytest.fixture(scope="module", params=["vicuna", "mistral"])
def llava(request, tmp_path_factory):
    """Folder of a tiny model, and its family."""
    folder = tmp_path_factory.mktemp(f"llava_{request.param}")
    save_llava(folder, request.param)
    return str(folder), request.param


SIZES = [(40, 60), (70, 30), (56, 56), (20, 90)]


def pictures(sizes=SIZES):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*size, 3), np.uint8) for size in sizes]


def describer(folder, **options):
    return LlavaDescriber(folder, device="cpu", **{"max_new_tokens": 12, **options})


def test_a_batch_gives_token_for_token_what_single_pictures_give(llava):
    folder, _ = llava
    asker = describer(folder)
    images, prompts = pictures(), PROMPTS[:4]
    together = asker.generate(images, prompts)
    end, pad = asker.processor.tokenizer.eos_token_id, asker.processor.tokenizer.pad_token_id
    assert len({tuple(row.tolist()) for row in together}) > 1, "answers depend on picture and prompt"
    for row, image, prompt in zip(together, images, prompts, strict=True):
        (alone,) = asker.generate([image], [prompt])
        assert row[: len(alone)].tolist() == alone.tolist()
        assert set(row[len(alone) :].tolist()) <= {pad, end}


def rows_of(*names):
    """Rows of the index, as far as describers that look at pictures need them."""
    return [IndexRow(dataset="d", sample_id=name, split="train", image=f"{name}.jpg") for name in names]


def test_rows(llava):
    folder, family = llava
    rows = describer(folder, batch_size=4).describe(rows_of("a", "b"), pictures()[:2])
    assert [(row.sample_id, row.variant) for row in rows] == [(s, v) for s in "ab" for v in range(5)]
    assert {row.source for row in rows} == {f"llava-{family}"}
    assert [row.prompt for row in rows[:5]] == list(PROMPTS)
    assert all(isinstance(row, DescriptionRow) for row in rows)
    assert all(row.text == row.text.strip() != "" for row in rows)
    assert {row.seed for row in rows} == {None}


def test_rows_do_not_depend_on_the_batch(llava):
    folder, _ = llava
    images = pictures()
    ids = rows_of(*map(str, range(len(images))))
    texts = [[row.text for row in describer(folder, batch_size=size).describe(ids, images)] for size in (1, 7)]
    assert texts[0] == texts[1]


def test_draws_repeat_with_their_seed_and_leave_no_trace(llava):
    folder, _ = llava
    options = {"sample": True, "prompts": PROMPTS[:2]}
    images = pictures()[:2]

    def texts(seed):
        state = torch.get_rng_state()
        rows = describer(folder, **options, seed=seed).describe(rows_of("a", "b"), images)
        assert torch.equal(torch.get_rng_state(), state)
        assert {row.seed for row in rows} == {seed}
        return [row.text for row in rows]

    assert texts(1) == texts(1) != texts(2)


def test_half_precision(llava):
    folder, _ = llava
    rows = describer(folder, dtype="bfloat16", prompts=PROMPTS[:1]).describe(rows_of("a", "b"), pictures()[:2])
    assert all(row.text for row in rows)


def test_each_family_is_asked_in_its_own_words(llava):
    folder, family = llava
    asker = describer(folder)
    assert asker.family == family
    seen = []
    processor = asker.processor
    asker.processor = lambda **kwargs: seen.append(kwargs["text"]) or processor(**kwargs)
    asker.processor.tokenizer = processor.tokenizer
    asker.generate(pictures()[:1], ["What is it?"])
    assert seen == [[CHAT[family].format(prompt="What is it?")]]
    ids = processor(images=pictures()[:1], text=seen[0], return_tensors="pt")["input_ids"][0].tolist()
    assert ids.count(processor.tokenizer.bos_token_id) == 1


def test_an_answer_that_the_limit_ended_is_flagged(llava):
    folder, _ = llava
    rows = describer(folder, max_new_tokens=2).describe(rows_of("a"), pictures()[:1])
    assert any("cut" in (row.flags or "") for row in rows)


@pytest.mark.parametrize(
    ("answer", "ended", "text", "flags"),
    [
        (" A kitchen.\n", True, "A kitchen.", ()),
        ("A kitchen\nwith a  table.", True, "A kitchen with a table.", ()),
        ("Describe it. A kitchen.", True, "A kitchen.", ()),
        ("USER: x ASSISTANT: A kitchen.", True, "A kitchen.", ()),
        ("[INST] x [/INST] A kitchen.", True, "A kitchen.", ()),
        ("A kitchen. It has a ta", False, "A kitchen.", ("cut",)),
        ("A kitchen with a ta", False, "A kitchen with a ta", ("cut",)),
        (" \n", True, "An image.", ("blank",)),
        ("...", False, "An image.", ("cut", "blank")),
        ("A café, 3.5 m wide.", True, "A café, 3.5 m wide.", ()),
    ],
)
def test_cleaning(answer, ended, text, flags):
    assert clean_answer(answer, "Describe it.", ended) == (text, flags)


def test_errors(tmp_path, dinov2_like):
    with pytest.raises(InputError, match="questions that are not blank"):
        LlavaDescriber(str(tmp_path), prompts=[" "])
    with pytest.raises(InputError, match="give a folder saved by save_pretrained"):
        LlavaDescriber(str(tmp_path))
    with pytest.raises(InputError, match="holds a dinov2 on None, not a LLaVA"):
        LlavaDescriber(dinov2_like)


@pytest.fixture
def dinov2_like(tmp_path):
    from transformers import Dinov2Config

    folder = tmp_path / "dinov2"
    Dinov2Config().save_pretrained(folder)
    return str(folder)
