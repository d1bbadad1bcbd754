"""Object lists from segmentation networks, and the sentences that are made of them (paper, appendix A.1)."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from tr2m_plugin.description.describers import Describer, numbered
from tr2m_plugin.description.object_list import object_sentences, sample_seed
from tr2m_plugin.device import pick_device, precision
from tr2m_plugin.errors import InputError, require
from tr2m_plugin.models.frozen.encoders import load_pretrained
from tr2m_plugin.rows import DescriptionRow, IndexRow


class Objects(NamedTuple):
    """What was found in a picture.

    Attributes:
        labels: one name per segment, as in RSA's lists: COCO's up to the first hyphen.
        areas: share of the picture of each.
        map: number of the segment at every pixel, counted from 1, (H, W) int32; 0 where there is none.
    """

    labels: list[str]
    areas: list[float]
    map: np.ndarray


def clean_label(name: str) -> str:
    """A class's name without what COCO adds to it: "wall" for "wall-other-merged"."""
    return name.split("-")[0]


class ObjectLister(Describer):
    """Base of listers: objects of a picture, and sentences that list them.

    Args:
        source: name of what finds the objects, for the table.
        model: name of the weights, for the table.
        revision: branch, tag or commit of the weights' repository, for the table. Default: none.
        sentences: how many sentences a picture gets. Default: 5.
        seed: number that the orders of the objects are drawn from; a picture's own number is added. Default: 0.
        style: `plain` or `rsa`, see `object_sentences`. Default: plain.
    """

    def __init__(
        self,
        source: str,
        model: str,
        revision: str | None = None,
        sentences: int = 5,
        seed: int = 0,
        style: Literal["plain", "rsa"] = "plain",
    ) -> None:
        self.source, self.model, self.revision = source, model, revision
        self.sentences, self.seed, self.style = sentences, seed, style

    @abstractmethod
    def objects(self, image: np.ndarray) -> Objects:
        """What is in a picture, (H, W, 3) uint8 RGB."""

    def describe(self, rows: Sequence[IndexRow], images: Sequence[np.ndarray] = ()) -> list[DescriptionRow]:
        """Lists the objects of pictures, in sentences; see `Describer.describe`.

        Returns:
            Rows with `model`, `revision` and `seed` too.
        """
        lines: list[DescriptionRow] = []
        for row, image in zip(rows, images, strict=True):
            labels = self.objects(image).labels
            texts = object_sentences(labels, self.sentences, sample_seed(self.seed, row.sample_id), self.style)
            lines += [
                replace(line, model=self.model, revision=self.revision, seed=self.seed)
                for line in numbered(row, self.source, texts)
            ]
        return lines


def shortest_edge(height: int, width: int, size: int, longest: int) -> tuple[int, int]:
    """Height and width after bringing the shorter edge to a size, the longer one to no more than a limit."""
    scale = min(size / min(height, width), longest / max(height, width))
    return int(height * scale + 0.5), int(width * scale + 0.5)


class MaskDinoLister(ObjectLister):
    """Lists objects with MaskDINO's panoptic models (Li et al., CVPR 2023).

    Args:
        weights: the authors' file, such as maskdino_swinl_50ep_300q_hid2048_3sd1_panoptic_58.3pq.pth, or its state
            dict.
        size: what the shorter edge is brought to. Default: 800.
        longest: what the longer edge may be. Default: 1333.
        num_queries: objects that are predicted. Default: 300.
        object_mask_threshold: see `panoptic_segments`; overlap_threshold and temperature too.
        dtype: precision of the arithmetic, by autocast: positions need float32. Default: float32.
        device: torch device. Default: auto.
        **kwargs: options of `ObjectLister`.

    Raises:
        InputError: see `load_maskdino`; or the weights are not of a model for COCO's 133 panoptic classes.
    """

    def __init__(
        self,
        weights: Mapping[str, Tensor] | str | os.PathLike,
        size: int = 800,
        longest: int = 1333,
        num_queries: int = 300,
        object_mask_threshold: float = 0.25,
        overlap_threshold: float = 0.8,
        temperature: float = 0.06,
        dtype: str = "float32",
        device: str = "auto",
        **kwargs: Any,
    ) -> None:
        from tr2m_plugin.description.maskdino import COCO_PANOPTIC, load_maskdino

        name = "MaskDINO" if isinstance(weights, Mapping) else os.path.basename(os.fspath(weights))
        super().__init__("maskdino", name, **kwargs)
        network = load_maskdino(weights, num_queries)
        if network.sizes.classes != len(COCO_PANOPTIC):
            raise InputError(f"{name} knows {network.sizes.classes} classes: give a panoptic model, which knows 133")
        self.network = network.to(pick_device(device))
        self.dtype = precision(dtype)
        self.size, self.longest = size, longest
        self.thresholds = (object_mask_threshold, overlap_threshold, temperature)

    def objects(self, image: np.ndarray) -> Objects:
        from tr2m_plugin.description.maskdino import COCO_PANOPTIC, panoptic_segments

        pillow = require("PIL.Image", "to resize pictures as MaskDINO does", "data")
        height, width = image.shape[:2]
        seen = shortest_edge(height, width, self.size, self.longest)
        pixels = np.array(pillow.fromarray(image).resize(seen[::-1], pillow.Resampling.BILINEAR))
        with torch.autocast(self.network.mean.device.type, self.dtype, enabled=self.dtype != torch.float32):
            outputs = self.network(torch.from_numpy(pixels).permute(2, 0, 1))
        outputs = {k: v.float() if isinstance(v, Tensor) else v for k, v in outputs.items()}
        found, segments = panoptic_segments(outputs, (height, width), *self.thresholds)
        labels = [clean_label(COCO_PANOPTIC[segment.category]) for segment in segments]
        return Objects(labels, [segment.area for segment in segments], found.cpu().numpy())


class TransformersLister(ObjectLister):
    """Lists objects with any universal or instance segmentation model of transformers, such as Mask2Former.

    Args:
        model: hub id or folder. Default: facebook/mask2former-swin-large-coco-panoptic.
        task: `panoptic` for things and stuff, `instance` for things. Default: panoptic.
        threshold: least score of an object. Default: 0.5.
        dtype: precision of the weights. Default: float32.
        device: torch device. Default: auto.
        revision: branch, tag or commit of the hub repository. Default: its main branch.
        **kwargs: options of `ObjectLister`.

    Raises:
        InputError: the weights are not there, or the task is another.
    """

    def __init__(
        self,
        model: str = "facebook/mask2former-swin-large-coco-panoptic",
        task: Literal["panoptic", "instance"] = "panoptic",
        threshold: float = 0.5,
        dtype: str = "float32",
        device: str = "auto",
        revision: str | None = None,
        **kwargs: Any,
    ) -> None:
        if task not in ("panoptic", "instance"):
            raise InputError(f"task must be 'panoptic' or 'instance', not {task!r}")
        network = load_pretrained("AutoModelForUniversalSegmentation", model, revision=revision, dtype=precision(dtype))
        revision = getattr(network.config, "_commit_hash", None) or revision
        super().__init__(network.config.model_type, model, revision, **kwargs)
        self.network = network.to(pick_device(device)).eval().requires_grad_(False)
        self.processor = load_pretrained("AutoImageProcessor", model, revision=revision)
        self.task, self.threshold = task, threshold

    @torch.inference_mode()
    def objects(self, image: np.ndarray) -> Objects:
        inputs = self.processor(images=image, return_tensors="pt", input_data_format="channels_last")
        inputs = inputs.to(self.network.device, self.network.dtype)
        outputs = self.network(**{k: v for k, v in inputs.items() if isinstance(v, Tensor)})
        post = getattr(self.processor, f"post_process_{self.task}_segmentation")
        (result,) = post(outputs, target_sizes=[image.shape[:2]], threshold=self.threshold)
        size = image.shape[:2]
        raw = np.zeros(size, int) if result["segmentation"] is None else result["segmentation"].cpu().numpy()
        found, labels, areas = np.zeros(size, np.int32), [], []
        for segment in result["segments_info"]:
            pixels = raw == segment["id"]
            if pixels.any():
                labels.append(clean_label(self.network.config.id2label[segment["label_id"]]))
                areas.append(float(pixels.mean()))
                found[pixels] = len(labels)
        return Objects(labels, areas, found)
