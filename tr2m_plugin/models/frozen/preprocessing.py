"""Pictures become what a depth network of transformers takes, by the preprocessing that was saved with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tr2m_plugin.errors import InputError, require
from tr2m_plugin.models.frozen.encoders import load_pretrained
from tr2m_plugin.tensors import stretch_image
from tr2m_plugin.weights import resolve_pretrained


class DepthInput:
    """The preprocessing of a depth network of transformers.

    Args:
        pretrained: the network's hub id, folder or packaged name.
        model_type: model type of the network's config, such as depth_anything.
        revision: revision of the hub repository. Default: its main branch.
        aligned: whether pictures that are stretched are so bilinear with aligned corners. Default: False.

    Raises:
        InputError: no preprocessing was saved with the network.
    """

    def __init__(self, pretrained: str, model_type: str, revision: str | None = None, aligned: bool = False) -> None:
        self.model_type, self.aligned = model_type, aligned
        self.processor: Any
        if model_type == "depth_pro":
            self.processor = _DepthProProcessor(pretrained, revision)
        else:
            self.processor = load_pretrained("AutoImageProcessor", pretrained, revision=revision)

    @property
    def pads(self) -> bool:
        """Whether pictures get a margin, which the network's output has too."""
        return self.model_type == "zoedepth" and bool(getattr(self.processor, "do_pad", False))

    def __call__(
        self,
        images: Sequence[np.ndarray],
        size: Sequence[int] | None = None,
        aligned: bool | None = None,
        normalize: bool = True,
    ) -> list[Tensor]:
        """Batches of the network's input, (b, 3, h, w) float32.

        Pictures whose inputs differ in size, as when the preprocessing keeps their aspect ratio, come as batches of
        one.

        Args:
            images: (H, W, 3) uint8 RGB each.
            size: height and width that pictures are stretched to for Depth Anything, which takes any size; other
                networks see them at their own. Default: what the preprocessing makes of them.
            aligned: takes the place of the constructor's this time. Default: it does not.
            normalize: False leaves pixels in 0..1, whatever mean and deviation were saved. Default: True.
        """
        options: dict[str, Any] = {"input_data_format": "channels_last"}  # not guessed, which fails at height 3
        if not normalize:
            options["do_normalize"] = False
        if size is not None and self.model_type == "depth_anything":
            options |= {"size": {"height": size[0], "width": size[1]}, "keep_aspect_ratio": False}
            if self.aligned if aligned is None else aligned:
                images = [stretch_image(image, (size[0], size[1]), aligned=True) for image in images]
                options |= {"do_resize": False, "do_pad": False}
        pixels = [self.processor(images=[i], return_tensors="pt", **options)["pixel_values"] for i in images]
        return [torch.cat(pixels)] if len({p.shape for p in pixels}) == 1 else pixels


class _DepthProProcessor:
    """Depth Pro's preprocessing, which transformers has for torchvision only: normalised first, then stretched."""

    def __init__(self, pretrained: str, revision: str | None) -> None:
        hub = require("transformers.image_processing_utils", "for depth networks", "data")
        try:
            content, _ = hub.BaseImageProcessor.get_image_processor_dict(
                resolve_pretrained(pretrained), revision=revision
            )
        except OSError as error:
            raise InputError(f"{pretrained} has no preprocessor_config.json: {error}") from error
        size = content.get("size", {"height": 1536, "width": 1536})
        self.size = (int(size["height"]), int(size["width"]))
        self.mean, self.std = content.get("image_mean", [0.5] * 3), content.get("image_std", [0.5] * 3)

    def __call__(self, images: Sequence[np.ndarray], **options: str) -> dict[str, Tensor]:
        unit = torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2).astype(np.float32) / 255)
        normal = (unit - torch.tensor(self.mean).view(3, 1, 1)) / torch.tensor(self.std).view(3, 1, 1)
        return {"pixel_values": F.interpolate(normal, self.size, mode="bilinear", align_corners=False)}
