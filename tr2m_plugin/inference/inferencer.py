"""Metric depth of pictures with a trained TR2M."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.structures import PixelData
from torch import Tensor
from tqdm import tqdm

from tr2m_plugin.datasets.arrays import read_image, stretch_image
from tr2m_plugin.datasets.pictures import Picture, name_pictures, read_sentence
from tr2m_plugin.device import pick_device
from tr2m_plugin.errors import InputError
from tr2m_plugin.evaluation.protocols import resize_prediction
from tr2m_plugin.inference.model_folder import WEIGHTS, build_model, load_spec, spec_of
from tr2m_plugin.inference.outputs import Intrinsics, Prediction, write_prediction
from tr2m_plugin.registry import INFERENCERS, MODELS, scoped
from tr2m_plugin.structures import DepthDataSample
from tr2m_plugin.weights import resolve_pretrained


@INFERENCERS.register_module()
class TR2MInferencer:
    """Predicts metric depth from pictures and sentences.

    Args:
        model: a model folder (`tr2m_mini`, which comes with the package, or one that training wrote), or a config file
            with `model`, `relative_depth` and `text_encoder`.
        weights: a checkpoint, needed with a config file. Default: those of the model folder.
        device: torch device, or "auto" for the accelerator where there is one. Default: auto.
        show_progress: whether to show a progress bar. Default: True.
        size: height and width that pictures are stretched to, multiples of the patch size (14); best near the
            pictures' aspect ratio. Default: the model's own.

    Raises:
        InputError: the model or its weights cannot be opened.

    Example:
        >>> inferencer = TR2MInferencer("tr2m_mini")
        >>> depth = inferencer("kitchen.jpg", text="a small kitchen")[0].depth
    """

    def __init__(
        self,
        model: str | os.PathLike = "tr2m_mini",
        weights: str | os.PathLike | None = None,
        device: str | None = "auto",
        show_progress: bool = True,
        size: Sequence[int] | None = None,
    ) -> None:
        source = os.fspath(model)
        if source.endswith(".py"):
            if weights is None:
                raise InputError(f"{source} is a config: give the weights of a checkpoint too")
            if not Path(source).is_file():
                raise InputError(f"{source} does not exist")
            self.spec = spec_of(Config.fromfile(source))
        else:
            self.spec = load_spec(source)
            weights = weights or Path(resolve_pretrained(source)) / WEIGHTS
        self.device = pick_device(device or "auto")
        self.model = build_model(self.spec, weights, self.device)
        self.relative_depth = MODELS.build(scoped(self.spec.relative_depth)).to(self.device)
        self.text_encoder = MODELS.build(scoped(self.spec.text_encoder)).to(self.device)
        self.show_progress = show_progress
        self.size = size
        self._texts: dict[str, Tensor] = {}

    def __call__(
        self,
        inputs: Picture | Sequence[Picture],
        text: str | Sequence[str] | None = None,
        out_dir: str | os.PathLike | None = None,
        unit: str | None = None,
        fov: float | None = None,
        intrinsics: Sequence[float] | None = None,
        batch_size: int = 8,
    ) -> list[Prediction]:
        """Predicts and, with `out_dir`, writes the files of each picture as soon as it is done.

        Args:
            inputs: a picture, a folder, an (H, W, 3) uint8 RGB array, or several pictures or arrays.
            text: a sentence for all pictures or one for each. Default: from `NAME.txt` beside each picture.
            out_dir: folder for the files of `write_prediction`. Default: none are written.
            unit: of the depth. Default: what the model's training says for such descriptions (see `ModelSpec`).
            fov: horizontal field of view in degrees, for point clouds. Default: unknown.
            intrinsics: fx, fy, cx, cy in pixels, for point clouds. Default: unknown.
            batch_size: pictures per batch. Default: 8.

        Returns:
            A prediction per picture.

        Raises:
            InputError: a picture or a description is missing or unreadable; what was written before stays.
        """
        results = []
        for prediction in self.predict(inputs, text, unit, batch_size, skip=out_dir):
            if out_dir is not None:
                write_prediction(Path(out_dir), prediction, self.camera(prediction.depth.shape, fov, intrinsics))
            results.append(prediction)
        return results

    @staticmethod
    def camera(
        size: tuple[int, ...], fov: float | None = None, intrinsics: Sequence[float] | None = None
    ) -> Intrinsics | None:
        """The camera of a picture of that size, if anything is known of it."""
        if intrinsics is not None:
            if len(intrinsics) != 4:
                raise InputError(f"intrinsics are fx, fy, cx, cy, not {len(intrinsics)} numbers")
            return Intrinsics(*(float(v) for v in intrinsics))
        return None if fov is None else Intrinsics.from_fov(fov, size[0], size[1])

    def predict(
        self,
        inputs: Picture | Sequence[Picture],
        text: str | Sequence[str] | None = None,
        unit: str | None = None,
        batch_size: int = 8,
        skip: str | os.PathLike | None = None,
        on_error: Callable[[InputError], None] | None = None,
    ) -> Iterator[Prediction]:
        """Predictions one after another, a batch in memory at a time.

        Args:
            inputs: see `__call__`, as are the next three.
            text: sentences.
            unit: of the depth.
            batch_size: pictures per batch.
            skip: see `list_pictures`. Default: none.
            on_error: called for a picture that cannot be read or has no description, which is then left out.
                Default: the error is raised.
        """
        pictures = name_pictures(inputs, skip)
        if text is not None and not isinstance(text, str) and len(text) != len(pictures):
            raise InputError(f"{len(text)} texts for {len(pictures)} pictures")
        with tqdm(total=len(pictures), unit="picture", desc="depth", disable=not self.show_progress) as bar:
            for start in range(0, len(pictures), batch_size):
                names, images, texts = [], [], []
                part = pictures[start : start + batch_size]
                for number, (name, picture) in enumerate(part, start):
                    try:
                        sentence = self._text(picture, text, number)
                        images.append(self._image(picture))
                    except InputError as error:
                        if on_error is None:
                            raise
                        on_error(error)
                        continue
                    names.append(name)
                    texts.append(sentence)
                samples = self.forward(self.preprocess(images, texts)) if images else []
                for name, image, sample in zip(names, images, samples, strict=True):
                    yield self._prediction(name, image, sample, unit)
                bar.update(len(part))

    @staticmethod
    def _image(picture: Path | np.ndarray) -> np.ndarray:
        image = picture if isinstance(picture, np.ndarray) else read_image(str(picture))
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise InputError(f"a picture is (H, W, 3) uint8 RGB, not {image.shape} {image.dtype}")
        return image

    @staticmethod
    def _text(picture: Any, text: str | Sequence[str] | None, number: int) -> str:
        if text is None:
            if isinstance(picture, np.ndarray):
                raise InputError("an array has no description beside it: give a text")
            return read_sentence(picture)
        chosen = text if isinstance(text, str) else text[number]
        if not chosen.strip():
            raise InputError("the text is empty: describe the scene in a sentence")
        return chosen.strip()

    def preprocess(
        self, inputs: Sequence[np.ndarray], texts: Sequence[str], size: Sequence[int] | None = None
    ) -> dict[str, Any]:
        """Pictures and sentences as a batch for the model: frozen relative depth and text embeddings included.

        Args:
            inputs: (H, W, 3) uint8 RGB each.
            texts: a sentence each.
            size: height and width that the pictures are stretched to. Default: the inferencer's.
        """
        relative = self.relative_depth(inputs, size or self.size)
        height_width = (relative.shape[-2], relative.shape[-1])
        new = [t for t in dict.fromkeys(texts) if t not in self._texts]
        if new:
            self._texts.update(zip(new, self.text_encoder(new), strict=True))
        samples = []
        for depth, text in zip(relative, texts, strict=True):
            sample = DepthDataSample(metainfo={"text": text})
            sample.relative_depth_map = PixelData(data=depth)
            sample.text_features = self._texts[text]
            samples.append(sample)
        aligned = self.relative_depth.aligned
        pixels = [torch.from_numpy(stretch_image(i, height_width, aligned).transpose(2, 0, 1).copy()) for i in inputs]
        return {"inputs": pixels, "data_samples": samples}

    @torch.no_grad()
    def forward(self, inputs: dict[str, Any]) -> list[DepthDataSample]:
        """Samples with predicted maps for a batch from `preprocess`."""
        return self.model.test_step(inputs)

    def _prediction(self, name: str, image: np.ndarray, sample: DepthDataSample, unit: str | None) -> Prediction:
        def array(field: str) -> np.ndarray:
            return sample.get(field).data[0].float().cpu().numpy()

        depth = resize_prediction(array("pred_depth_map"), image.shape[:2])
        maps = (array("scale_map"), array("shift_map"), array("relative_depth_map"))
        return Prediction(name, image, depth, unit or self.spec.unit_of(sample.text), sample.text, *maps)
