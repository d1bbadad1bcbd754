"""How far apart predictions of one picture lie: those of several sentences, and of its mirror image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from tr2m_plugin.datasets.pictures import cut_sentence, find_sentence
from tr2m_plugin.errors import InputError
from tr2m_plugin.files import read_lines
from tr2m_plugin.inference.batches import Ready, check_sentence
from tr2m_plugin.structures import DepthDataSample
from tr2m_plugin.tensors import resize_prediction
from tr2m_plugin.units import convert

PARAPHRASES = (
    *("A picture of this: {}", "In this picture: {}"),
    *("The image shows the following: {}", "{} This is a photo."),
)
"""What stands beside a sentence that is a picture's only one: the same scene in other words."""

MOST = 10
"""A picture's further sentences are passed over."""

MEANING = (
    "standard deviation of log depth over the sentences, each with the picture and its mirror image: 0.1 is about 10 % "
    "of depth; the larger, the less sure; not calibrated; before anchors"
)


@dataclass(frozen=True)
class Spread:
    """How far predictions of one picture lie apart.

    Attributes:
        values: standard deviation of the natural logarithm of depth, (H, W) float32 at the picture's size, 0 or more.
        texts: the sentences, the prediction's own first.
        common: standard deviation of the predictions' median log depth: what is one factor for the whole picture.
    """

    values: np.ndarray
    texts: tuple[str, ...]
    common: float

    def facts(self) -> dict[str, Any]:
        """What the JSON of a prediction says of it."""
        median, high = np.percentile(self.values, [50, 95])
        summary = {"median": float(median), "percentile_95": float(high), "common": self.common}
        return {"meaning": MEANING, "sentences": list(self.texts), "mirrored": True, **summary}


class Networks(Protocol):
    """What is needed of `TR2MInferencer`."""

    spec: Any
    text_encoder: Any

    def preprocess(self, inputs: Sequence[np.ndarray], texts: Sequence[str]) -> dict[str, Any]:
        """Pictures and sentences as a batch."""

    def forward(self, inputs: dict[str, Any]) -> list[DepthDataSample]:
        """Samples with predictions and image features."""


class Confidence:
    """Measures spreads, a batch at a time.

    Args:
        given: further sentences about all pictures; True takes those of a picture's text file, one a line, where its
            sentence is the first of them, and otherwise `PARAPHRASES` of it. `MOST` sentences of a picture count.
        sources: files of the pictures by their names.

    Raises:
        InputError: a sentence is empty, or is none.
    """

    def __init__(self, given: bool | Sequence[str], sources: Mapping[str, str]) -> None:
        listed = [] if given is True else [given] if isinstance(given, str) else given
        if not isinstance(listed, (list, tuple)):
            raise InputError(f"confidence is True, or a list of further sentences, not {given!r:.100}")
        self.others = [check_sentence(text, f"further sentence {number}") for number, text in enumerate(listed, 1)]
        self.sources = sources
        # Apart from the inferencer's: a batch's padding reaches its sentences' last digits.
        self._embeddings: dict[str, Tensor] = {}

    def sentences(self, name: str, text: str) -> dict[str, str]:
        """The sentences of a picture, its own first, each with the one whose unit it has.

        Args:
            name: the picture's.
            text: its sentence.
        """
        others = [one for one in self.others or self._beside(name, text) if one != text]
        if not others:
            return {text: text, **{form.format(text): text for form in PARAPHRASES}}
        return {one: one for one in list(dict.fromkeys([text, *others]))[:MOST]}

    def _beside(self, name: str, text: str) -> list[str]:
        """The lines of the text file that a sentence is from."""
        path = find_sentence(Path(self.sources[name])) if name in self.sources else None
        lines = [] if path is None else [cut_sentence(line, str(path)) for line in read_lines(path)]
        return [line for line in lines if any(map(str.isalpha, line))] if lines[:1] == [text] else []

    def measure(
        self, networks: Networks, batch: Sequence[Ready], inputs: dict[str, Any], samples: Sequence[DepthDataSample]
    ) -> list[Spread]:
        """The spread of each picture of a batch.

        The image encoder and the relative depth network run once for the pictures, which they have already done, and
        once for their mirror images; only what reads the sentence runs for each.

        Args:
            networks: the inferencer.
            batch: names, pictures and sentences.
            inputs: what its `preprocess` made of them.
            samples: what its `forward` made of that; they are left as they are.
        """
        wanted = [self.sentences(name, text) for name, _, text in batch]
        sums = [_Sums() for _ in batch]
        for mirrored in (False, True):
            if mirrored:
                flipped = [np.ascontiguousarray(image[:, ::-1]) for _, image, _ in batch]
                inputs = networks.preprocess(flipped, [text for *_, text in batch])
                samples = networks.forward(inputs)
            for place in range(max(map(len, wanted))):
                chosen = [number for number, texts in enumerate(wanted) if place < len(texts)]
                texts = [list(wanted[number].items())[place] for number in chosen]
                done = samples
                if place > 0:
                    pairs = zip(chosen, texts, strict=True)
                    asked = [self._asked(networks, samples[number], text) for number, (text, _) in pairs]
                    pixels = [inputs["inputs"][number] for number in chosen]
                    done = networks.forward({"inputs": pixels, "data_samples": asked})
                for number, (_, meant), sample in zip(chosen, texts, done, strict=True):
                    depth = sample.pred_depth_map.data[0].float().cpu().numpy()
                    depth = convert(depth, networks.spec.unit_of(meant), "m")
                    sums[number].add(np.log(depth[:, ::-1] if mirrored else depth))
        return [
            Spread(resize_prediction(one.deviation(), image.shape[:2]), tuple(texts), float(np.std(one.medians)))
            for one, (_, image, _), texts in zip(sums, batch, wanted, strict=True)
        ]

    def _asked(self, networks: Networks, sample: DepthDataSample, text: str) -> DepthDataSample:
        """A sample of the same picture with another sentence."""
        if text not in self._embeddings:
            self._embeddings[text] = networks.text_encoder([text])[0]
        asked = DepthDataSample(metainfo={"text": text})
        asked.relative_depth_map, asked.image_features = sample.relative_depth_map, sample.image_features
        asked.text_features = self._embeddings[text]
        return asked


class _Sums:
    """Sums over maps (h, w), of differences from the first so that no digits are lost, and the maps' medians."""

    def __init__(self) -> None:
        self.medians: list[float] = []

    def add(self, values: np.ndarray) -> None:
        if not self.medians:
            self.first = values.astype(np.float64)
            self.total, self.squares = np.zeros_like(self.first), np.zeros_like(self.first)
        difference = values - self.first
        self.total += difference
        self.squares += difference**2
        self.medians.append(float(np.median(values)))

    def deviation(self) -> np.ndarray:
        """Standard deviation over the maps, (h, w) float32."""
        count = len(self.medians)
        return np.sqrt(np.maximum(self.squares / count - (self.total / count) ** 2, 0)).astype(np.float32)
