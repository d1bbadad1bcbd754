"""Metric depth of pictures with a trained TR2M."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.structures import PixelData
from torch import Tensor
from tqdm import tqdm

from tr2m_plugin.checkpoint import state_hash
from tr2m_plugin.checks import are_numbers
from tr2m_plugin.datasets.pictures import name_pictures
from tr2m_plugin.device import pick_device
from tr2m_plugin.errors import InputError
from tr2m_plugin.inference.anchors import Anchors
from tr2m_plugin.inference.arrays import Input, free_number, name_arrays, to_pictures, to_texts
from tr2m_plugin.inference.batches import Fail, Ready, make_batches
from tr2m_plugin.inference.camera import Cameras
from tr2m_plugin.inference.clouds import Cloud
from tr2m_plugin.inference.confidence import Confidence
from tr2m_plugin.inference.model_folder import open_model
from tr2m_plugin.inference.outputs import CLOUD, Prediction, write_prediction
from tr2m_plugin.inference.released import find_model
from tr2m_plugin.inference.stream import stream_frames
from tr2m_plugin.registry import INFERENCERS, MODELS, scoped
from tr2m_plugin.structures import DepthDataSample
from tr2m_plugin.tensors import resize_prediction, stretch_image
from tr2m_plugin.units import check_unit, convert, find_unit

NETWORK_PIXELS = 16_000_000
"""Larger pictures are first averaged to so many pixels for the networks, which see far fewer."""


@INFERENCERS.register_module()
class TR2MInferencer:
    """Predicts metric depth from pictures and sentences.

    Args:
        model: a model folder (`tr2m_mini`, which comes with the package, or one that training wrote), `tr2m_da_small`,
            the authors' weights, which are fetched at first use, or a config file with `model`, `relative_depth` and
            `text_encoder`.
        weights: a checkpoint, needed with a config file. Default: those of the model folder.
        device: torch device, or "auto" for the accelerator where there is one. Default: auto.
        show_progress: whether to show a progress bar for several pictures. Default: True.
        size: height and width that pictures are stretched to, multiples of the patch size (14); best near the
            pictures' aspect ratio. Default: the model's own.

    Attributes:
        name: name of the model, without the folders that say where it lies.

    Raises:
        InputError: the model or its weights cannot be opened, or the size is none.

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
        self.name = Path(source).resolve().name if Path(source).exists() else source
        self.device = pick_device(device or "auto")
        self.model, self.spec = open_model(find_model(source), weights, self.device)
        self.relative_depth = MODELS.build(scoped(self.spec.relative_depth)).to(self.device)
        self.text_encoder = MODELS.build(scoped(self.spec.text_encoder)).to(self.device)
        self.show_progress = show_progress
        self.size = _network_size(size, getattr(self.model, "patch_size", 1))
        self._texts: dict[str, Tensor] = {}
        self._numbers: dict[Path, int] = {}

    @cached_property
    def weights(self) -> str:
        """Hash of the model's weights."""
        return state_hash(self.model)

    def __call__(
        self,
        inputs: Input | Sequence[Input],
        text: str | Sequence[str] | None = None,
        out_dir: str | os.PathLike | None = None,
        unit: str | None = None,
        fov: float | None = None,
        intrinsics: Sequence[float] | None = None,
        batch_size: int = 8,
        names: Sequence[str] | None = None,
        png_unit: str | None = None,
        camera: str | os.PathLike | None = None,
        anchors: Any = None,
        cloud: Cloud = CLOUD,
        confidence: bool | Sequence[str] = False,
    ) -> list[Prediction]:
        """Predicts and, with `out_dir`, writes the files of each picture as soon as it is done.

        Args:
            inputs: a picture, a folder, an (H, W, 3) uint8 array in the order RGB (OpenCV's is BGR: turn it with
                `image[..., ::-1]`), a picture of PIL's, or several of these.
            text: a sentence for all pictures or one for each. Default: from `NAME.txt` beside each picture.
            out_dir: folder for the files of `write_prediction`. Default: none are written.
            unit: that depth is given in, "m" or "mm". Default: the one that the model's training had for such
                descriptions (see `ModelSpec`).
            fov: horizontal field of view in degrees, for point clouds (see `Cameras`, as for the next and `camera`).
                Default: as EXIF data say, for which no cloud is written unless `cloud` says so.
            intrinsics: fx, fy, cx, cy in pixels. Default: unknown.
            batch_size: pictures per batch. Default: 8.
            names: names of the predictions and their files. Default: the pictures' own; arrays are numbered, in an
                `out_dir` from the first number on that is free.
            png_unit: see `write_prediction`.
            camera: a camera file. Default: none.
            anchors: depth in metres that is known of the pictures and that predictions are brought to, as `Anchors`
                takes it; `Anchors(..., unit="mm")` for another unit. Default: none.
            cloud: what is written of the points. Default: see `Cloud`.
            confidence: whether it is measured how far predictions with other sentences and of the mirror image lie
                apart (see `Confidence`), or further sentences for that. Depth stays what it is. Default: False.

        Returns:
            A prediction per picture.

        Raises:
            InputError: a picture or a description is missing or unreadable, anchors are wrong, or a file is in the way;
                what was written before stays.
        """
        cameras = Cameras(fov, intrinsics, camera)
        pictures = to_pictures(inputs)
        given: dict[str, Any] = {"names": names, "anchors": anchors, "confidence": confidence}
        if out_dir is None:
            return list(self.predict(pictures, text, unit, batch_size, **given))
        out, results = Path(out_dir), []
        first = self._numbers[out] if out in self._numbers else free_number(out)
        for prediction in self.predict(pictures, text, unit, batch_size, skip=out, first=first, **given):
            write_prediction(out, prediction, cameras.of(prediction.depth.shape, prediction.source), png_unit, cloud)
            if prediction.name.isdecimal():
                self._numbers[out] = max(self._numbers.get(out, 0), int(prediction.name) + 1)
            results.append(prediction)
        return results

    def predict(
        self,
        inputs: Input | Sequence[Input],
        text: str | Sequence[str] | None = None,
        unit: str | None = None,
        batch_size: int = 8,
        skip: str | os.PathLike | None = None,
        on_error: Callable[[InputError], None] | None = None,
        names: Sequence[str] | None = None,
        first: int = 0,
        anchors: Any = None,
        confidence: bool | Sequence[str] = False,
    ) -> Iterator[Prediction]:
        """Predictions one after another, a batch in memory at a time.

        Args:
            inputs: see `__call__`, as are the next three.
            text: sentences.
            unit: unit of the depth.
            batch_size: pictures per batch.
            skip: see `list_pictures`. Default: none.
            on_error: called for a picture that cannot be read, has no description or cannot be predicted, which is
                then left out. Default: the error is raised.
            names: see `__call__`.
            first: number of the first array. Default: 0.
            anchors: see `__call__`; where they are wrong or contradict each other, that is one picture's error too.
            confidence: see `__call__`.

        Raises:
            InputError: an option is not what it should be; or see `on_error`.
        """
        check_unit(unit)
        if not are_numbers([batch_size], whole=True) or batch_size < 1:
            raise InputError(f"batch_size is a whole number above 0, not {batch_size!r}")
        pictures = name_arrays(name_pictures(to_pictures(inputs), skip), names, first)
        text = to_texts(text, len(pictures))
        sources = {name: os.path.abspath(str(one)) for name, one in pictures if not isinstance(one, np.ndarray)}
        held = anchors if isinstance(anchors, Anchors) else Anchors(anchors)
        known = {} if held.given is None else held.by_name([name for name, _ in pictures])
        spreads = Confidence(confidence, sources) if confidence else None
        hidden = not self.show_progress or len(pictures) == 1

        def fail(source: str, error: Exception) -> None:
            told = error if isinstance(error, InputError) else InputError(f"{source}: {_in_a_line(error)}")
            if on_error is None:
                raise told from error
            on_error(told)

        with tqdm(total=len(pictures), unit="picture", desc="depth", disable=hidden) as bar:
            for batch in make_batches(pictures, text, batch_size, fail):
                for found in _predict(self, batch, unit, fail, spreads):
                    try:
                        brought = held.apply(replace(found, source=sources.get(found.name)), known)
                    except Exception as error:  # as of a file of anchors that cannot be decoded
                        fail(sources.get(found.name, found.name), error)
                        continue
                    yield brought
                    bar.update()

    def stream(self, frames: Iterable[np.ndarray], text: str, **options: Any) -> Generator[Prediction, None, None]:
        """Predictions of frames as they come from a camera; see `stream_frames`, which also takes the options."""
        return stream_frames(partial(_predict, self), frames, text, **options)

    def preprocess(
        self,
        inputs: Sequence[np.ndarray],
        texts: Sequence[str],
        size: Sequence[int] | None = None,
        aligned: bool = False,
        normalize: bool = True,
    ) -> dict[str, Any]:
        """Pictures and sentences as a batch for the model: frozen relative depth and text embeddings included.

        Args:
            inputs: (H, W, 3) uint8 RGB each.
            texts: a sentence each.
            size: height and width that the pictures are stretched to. Default: the inferencer's.
            aligned: whether they are stretched as the relative depth network's config says, which is how the release
                measures; bilinear, it makes noise of what is finer than a pixel of a small picture. Default: averaged.
            normalize: False gives the networks pictures of 0..1, without mean and deviation. Default: True.
        """
        inputs = [_for_networks(image) for image in inputs]
        aligned = aligned and self.relative_depth.aligned
        relative = self.relative_depth.predict(inputs, size or self.size, aligned, normalize)
        height_width = (relative.shape[-2], relative.shape[-1])
        if new := [text for text in dict.fromkeys(texts) if text not in self._texts]:
            self._texts.update(zip(new, self.text_encoder(new), strict=True))
        samples = [_sample(*given, self._texts[given[1]]) for given in zip(relative, texts, strict=True)]
        pixels = [torch.from_numpy(stretch_image(i, height_width, aligned).transpose(2, 0, 1).copy()) for i in inputs]
        pixels = pixels if normalize else [self.model.before_normalisation(one) for one in pixels]
        return {"inputs": pixels, "data_samples": samples}

    @torch.no_grad()
    def forward(self, inputs: dict[str, Any]) -> list[DepthDataSample]:
        """Samples with predicted maps for a batch from `preprocess`."""
        return self.model.test_step(inputs)


def _predict(
    inferencer: TR2MInferencer,
    batch: list[Ready],
    unit: str | None,
    fail: Fail,
    confidence: Confidence | None = None,
) -> Iterator[Prediction]:
    """Predictions of a batch, one by one where it cannot be predicted as a whole."""
    names, images, texts = zip(*batch, strict=True)
    try:
        ready = inferencer.preprocess(images, texts)
        samples = inferencer.forward(ready)
        spreads = confidence.measure(inferencer, batch, ready, samples) if confidence else [None] * len(batch)
    except Exception as error:  # of one of them, or all are too much for the memory
        if len(batch) == 1:
            fail(names[0], error)
            return
        for one in batch:
            yield from _predict(inferencer, [one], unit, fail, confidence)
        return
    for name, image, sample, spread in zip(names, images, samples, spreads, strict=True):
        own, why = find_unit(sample.text, inferencer.spec.units)
        made = _prediction(name, image, sample, own, why)
        found = replace(made, model=inferencer.name, weights=inferencer.weights, confidence=spread)
        yield _in_unit(found, unit)


def _prediction(name: str, image: np.ndarray, sample: DepthDataSample, unit: str, why: str) -> Prediction:
    def array(field: str) -> np.ndarray:
        return sample.get(field).data[0].float().cpu().numpy()

    depth = resize_prediction(array("pred_depth_map"), image.shape[:2])
    maps: dict[str, Any] = {name: array(f"{name}_map") for name in ("scale", "shift")}
    maps["relative"] = array("relative_depth_map")
    return Prediction(name, image, depth, unit, sample.text, **maps, unit_reason=why)


def _in_unit(found: Prediction, unit: str | None) -> Prediction:
    """The prediction with depth in a unit that was asked for."""
    own = found.unit
    if unit is None or unit == own:
        return found
    # 1 / (A · D_r + B) stays the depth.
    scale, shift = (convert(array, unit, own) for array in (found.scale, found.shift))
    reason = f"asked for; the model's own is {own}: {found.unit_reason}"
    depth = convert(found.depth, own, unit)
    return replace(found, depth=depth, unit=unit, scale=scale, shift=shift, unit_reason=reason)


def _sample(depth: Tensor, text: str, embedding: Tensor) -> DepthDataSample:
    sample = DepthDataSample(metainfo={"text": text})
    sample.relative_depth_map = PixelData(data=depth)
    sample.text_features = embedding
    return sample


def _network_size(size: Sequence[int] | None, patch: int) -> Sequence[int] | None:
    """A size that was asked for, after a check."""
    if size is not None and not (are_numbers(size, 2, whole=True) and min(size) > 0):
        raise InputError(f"size is height and width in pixels, not {size!r}")
    if size is not None and any(side % patch for side in size):
        near = " × ".join(str(max(1, round(side / patch)) * patch) for side in size)
        raise InputError(f"size is two multiples of the patch size, {patch}, such as {near}, not {size[0]} × {size[1]}")
    return size


def _for_networks(image: np.ndarray) -> np.ndarray:
    """A picture of at most about `NETWORK_PIXELS`."""
    height, width = image.shape[:2]
    factor = (NETWORK_PIXELS / (height * width)) ** 0.5
    if factor >= 1:
        return image
    size = (max(round(width * factor), 1), max(round(height * factor), 1))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _in_a_line(error: Exception) -> str:
    said = str(error).strip().splitlines()
    return f"{type(error).__name__}: {said[0]}" if said else type(error).__name__
