"""Captioners of transformers: BLIP, Florence-2 and Idefics3 (SmolVLM), small, through the real classes."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.tiny_captioners import FAMILIES, save_captioner
from tr2m_plugin.description.captioner import TASKS, TransformersCaptioner
from tr2m_plugin.description.describers import make_describer
from tr2m_plugin.description.prompts import PROMPTS
from tr2m_plugin.errors import InputError
from tr2m_plugin.rows import IndexRow

ASKED = {"blip": (None,), "florence2": TASKS["florence2"], "idefics3": PROMPTS}
"""What each family is asked when nobody says what."""


@pytest.fixture(scope="module", params=list(FAMILIES))
def captioner(request, tmp_path_factory):
    """Folder of a tiny model, and its family."""
    folder = tmp_path_factory.mktemp(request.param)
    save_captioner(request.param, folder)
    return str(folder), request.param


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (*size, 3), np.uint8) for size in [(40, 60), (70, 30), (56, 56), (20, 90)]]
    return [noise[0], noise[1] // 3, noise[2] // 2 + 120, noise[3]]


ROWS = [IndexRow(dataset="d", sample_id=name, split="train", image=f"{name}.jpg") for name in "abcd"]


def describe(folder, images, **options):
    made = make_describer("TransformersCaptioner", {"model": folder, "max_new_tokens": 12, **options}, "cpu")
    return made.describe(ROWS[: len(images)], images)


def test_every_family_says_something_of_each_picture(captioner, pictures):
    folder, family = captioner
    rows = describe(folder, pictures)
    asked = ASKED[family]
    assert [(row.sample_id, row.variant) for row in rows] == [(s, v) for s in "abcd" for v in range(len(asked))]
    assert [row.prompt for row in rows[: len(asked)]] == list(asked)
    assert {(row.source, row.model, row.seed) for row in rows} == {(family, folder, None)}
    for variant in range(len(asked)):
        assert len({row.text for row in rows if row.variant == variant}) >= 3, "answers depend on the picture"
    assert all(row.text == row.text.strip() != "" for row in rows)


def test_rows_do_not_depend_on_the_batch(captioner, pictures):
    folder, _ = captioner
    alone, together = ([row.text for row in describe(folder, pictures, batch_size=size)] for size in (1, 3))
    assert alone == together


def test_prompts_of_ones_own(captioner, pictures):
    folder, family = captioner
    prompts = ["a photo of", "What is the largest thing, and how far away is it?"]
    rows = describe(folder, pictures, prompts=prompts, batch_size=8)
    alone = [describe(folder, pictures, prompts=[prompt], batch_size=1) for prompt in prompts]
    assert [row.text for row in rows] == [lines[i].text for i in range(4) for lines in alone]
    assert [row.prompt for row in rows[:2]] == prompts
    if family == "blip":
        assert all(row.text.startswith(row.prompt) for row in rows), "it goes on from the prompt"
    else:
        assert not any(row.prompt in row.text for row in rows), "the question is not repeated"


def test_the_question_goes_through_the_chat_template(tmp_path, pictures):
    save_captioner("idefics3", tmp_path)
    made = TransformersCaptioner(str(tmp_path), device="cpu")
    ids = made._inputs(pictures[:1], ["What is it?"])["input_ids"][0]
    text = made.processor.tokenizer.decode(ids)
    assert text.startswith("<s>user: <fake_token_around_image>")
    assert text.endswith("What is it?</s>\nassistant:")
    assert ids.tolist().count(made.processor.tokenizer.bos_token_id) == 1


def test_an_answer_that_the_limit_ended_is_flagged(captioner, pictures):
    rows = describe(captioner[0], pictures, max_new_tokens=2)
    assert any("cut" in (row.flags or "") for row in rows)


def test_draws_repeat_with_their_seed(captioner, pictures):
    folder, _ = captioner
    state = torch.get_rng_state()
    first, again, other = (describe(folder, pictures, sample=True, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert first == again
    assert [row.text for row in first] != [row.text for row in other]
    assert {row.seed for row in first} == {1}


def test_half_precision(captioner, pictures):
    assert all(row.text for row in describe(captioner[0], pictures[:2], dtype="bfloat16"))


def test_code_in_a_folder_is_not_run(tmp_path, pictures):
    save_captioner("blip", tmp_path)
    ran = tmp_path / "it_ran"
    for name in ("config.json", "processor_config.json"):
        content = json.loads((tmp_path / name).read_text())
        content["auto_map"] = {"AutoModelForImageTextToText": "evil.Evil", "AutoProcessor": "evil.Evil"}
        (tmp_path / name).write_text(json.dumps(content))
    (tmp_path / "evil.py").write_text(f"open({str(ran)!r}, 'w')\nclass Evil: pass\n")
    assert describe(str(tmp_path), pictures[:1])[0].source == "blip", "its type is known, so that is loaded"
    content = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(
        json.dumps({**content, "model_type": "evil", "auto_map": {"AutoConfig": "evil.Evil"}})
    )
    with pytest.raises(InputError, match="AutoConfig"):
        describe(str(tmp_path), pictures[:1])
    assert not ran.exists()


def test_pickled_weights_are_not_loaded(tmp_path, pictures):
    save_captioner("blip", tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(InputError, match="pickled weights"):
        describe(str(tmp_path), pictures[:1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompts": [" "]}, "questions that are not blank"),
        ({"prompts": []}, "questions that are not blank"),
        ({"batch_size": 0}, "must be 1 or more, not 0 and 12"),
        ({"trust_remote_code": True}, "has no option 'trust_remote_code'"),
        ({"model": 3}, "TransformersCaptioner.model must be text, not 3"),
        ({"model": "mini_dpt"}, "holds no AutoModelForImageTextToText"),
        ({"model": str(Path(__file__).parent)}, "give a folder saved by save_pretrained"),
    ],
)
def test_errors(pictures, options, message):
    with pytest.raises(InputError, match=message):
        describe("unused", pictures[:1], **options)
