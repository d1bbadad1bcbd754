"""What captioners answer, cleaned, as rows of the table of descriptions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from tr2m_plugin.datasets.pictures import cut_sentence
from tr2m_plugin.errors import InputError
from tr2m_plugin.rows import DescriptionRow, IndexRow

NOTHING = "An image."


class Answer(NamedTuple):
    """A cleaned answer.

    Attributes:
        text: one line, never blank.
        flags: `cut` when the limit of tokens ended it, `blank` when there was no answer.
    """

    text: str
    flags: tuple[str, ...]


def clean_answer(answer: str, prompt: str, ended: bool = True) -> Answer:
    """An answer on one line that files can hold, without an echo of the question.

    Args:
        answer: as decoded.
        prompt: the question.
        ended: whether the model ended it by itself; an answer that the limit ended is cut after its last full stop,
            where it has one.
    """
    text = " ".join(answer.replace("\0", "").encode(errors="replace").decode().split())
    echo = re.escape(" ".join(prompt.split()))
    text = re.sub(rf"^(?:.*?(?:ASSISTANT:|\[/INST\])|{echo})\s*", "", text).strip()
    flags = []
    if not ended:
        flags.append("cut")
        stop = text.rfind(".")
        text = text[: stop + 1] if stop > 0 else text
    if not re.search(r"\w", text):
        return Answer(NOTHING, (*flags, "blank"))
    return Answer(cut_sentence(text, "an answer"), tuple(flags))


def answer_row(
    row: IndexRow,
    variant: int,
    answer: Answer,
    source: str,
    model: str,
    prompt: str,
    revision: str | None = None,
    seed: int | None = None,
) -> DescriptionRow:
    """An answer as a row of the table of descriptions.

    Args:
        row: the picture's.
        variant: number of the question.
        answer: what was answered.
        source: see `DescriptionRow`, as are the rest.
        model: what made it.
        prompt: the question; None is written for a blank one.
        revision: revision of the model. Default: none.
        seed: that it was drawn with. Default: none.
    """
    return DescriptionRow(
        dataset=row.dataset,
        sample_id=row.sample_id,
        source=source,
        variant=variant,
        text=answer.text,
        model=model,
        revision=revision,
        prompt=prompt or None,
        seed=seed,
        flags=",".join(answer.flags) or None,
    )


def check_prompts(prompts: Sequence[str]) -> tuple[str, ...]:
    """Questions, after a check.

    Raises:
        InputError: there are none, or one is blank.
    """
    if not prompts or not all(prompt.strip() for prompt in prompts):
        raise InputError("prompts must be one or more questions that are not blank")
    return tuple(prompts)
