"""The frozen networks TR2M stands on, loaded through transformers: image encoder and text encoder."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from tr2m_plugin.datasets.pictures import cut_sentence
from tr2m_plugin.device import precision
from tr2m_plugin.errors import InputError, require
from tr2m_plugin.registry import MODELS
from tr2m_plugin.weights import resolve_pretrained

_PURPOSE = "to load frozen networks"


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Without transformers' load report and progress bars, which speak of keys that are left out on purpose."""
    logger = logging.getLogger("transformers")
    level, bars = logger.level, transformers.utils.logging.is_progress_bar_enabled()
    logger.setLevel(logging.ERROR)
    transformers.utils.logging.disable_progress_bar()
    try:
        yield
    finally:
        logger.setLevel(level)
        if bars:
            transformers.utils.logging.enable_progress_bar()


def load_pretrained(class_name: str, pretrained: str, **kwargs: Any) -> Any:
    """`transformers.<class_name>.from_pretrained` for a hub id, a folder or a network that comes with the package.

    Args:
        class_name: a class of transformers with `from_pretrained`.
        pretrained: what to load; see `tr2m_plugin.weights.resolve_pretrained`.
        **kwargs: passed on; code from the hub is never run.

    Raises:
        MissingExtraError: transformers is not installed.
        InputError: the weights are not there; the message says how to get them.
    """
    transformers = require("transformers", _PURPOSE, "data")
    source = resolve_pretrained(pretrained)
    try:
        with _quiet(transformers):
            return getattr(transformers, class_name).from_pretrained(source, trust_remote_code=False, **kwargs)
    except (OSError, ValueError) as error:
        raise InputError(
            f"no {class_name} found at {pretrained!r}: give a folder saved by save_pretrained, or fetch it once with "
            f"`hf download {pretrained}` where there is a network ({str(error).splitlines()[0]})"
        ) from error


class Frozen(BaseModule):
    """Base of networks that are used as they are.

    The network is kept outside the module tree: no optimizer, checkpoint, DDP wrapper or EMA copy sees its weights,
    and copies of the model share it. It follows the model to its device and its precision.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._outside_tree = [network.requires_grad_(False).eval()]

    @property
    def network(self) -> Any:
        """The frozen network, in evaluation mode."""
        return self._outside_tree[0]

    def _apply(self, fn: Any, recurse: bool = True) -> Frozen:
        self.network._apply(fn)
        return super()._apply(fn, recurse)

    def __deepcopy__(self, memo: dict) -> Frozen:
        return self


def check_patches(image: Tensor, patch_size: int) -> tuple[int, int]:
    """How many patches high and wide images (B, 3, H, W) are.

    Raises:
        InputError: H or W is not a multiple of the patch size; the message names the nearest size that is.
    """
    height, width = image.shape[-2:]
    if height % patch_size or width % patch_size:
        fits = [max(1, round(side / patch_size)) * patch_size for side in (height, width)]
        raise InputError(
            f"an image of {height} × {width} does not divide into {patch_size}-pixel patches: "
            f"compute relative depth at a `size` that does, such as {fits[0]} × {fits[1]}"
        )
    return height // patch_size, width // patch_size


@MODELS.register_module()
class DINOv2Encoder(Frozen):
    """DINOv2's last-layer patch tokens after the final norm, without the class token.

    Args:
        pretrained: a `Dinov2Model`, or a `DepthAnythingForDepthEstimation`, whose backbone is taken. Default:
            facebook/dinov2-large.
        revision: of the hub repository. Default: its main branch.
        dtype: precision of the weights: "float32", "float16" or "bfloat16". Default: float32.
        device: where to load it. Default: cpu; it follows the model's `.to()` too.

    Raises:
        InputError: the weights are not there, or are another network's.
    """

    def __init__(
        self,
        pretrained: str = "facebook/dinov2-large",
        revision: str | None = None,
        dtype: str = "float32",
        device: str = "cpu",
    ) -> None:
        config = load_pretrained("AutoConfig", pretrained, revision=revision)
        options: dict[str, Any] = {"revision": revision, "dtype": precision(dtype)}
        if config.model_type == "depth_anything":
            options |= {"config": config.backbone_config, "key_mapping": {r"^backbone\.": ""}}
        elif config.model_type != "dinov2":
            raise InputError(
                f"{pretrained!r} holds a {config.model_type}, not a dinov2 or depth_anything: give the image encoder "
                "that the weights were trained with, such as facebook/dinov2-large"
            )
        super().__init__(load_pretrained("Dinov2Model", pretrained, **options).to(device))
        self.channels: int = self.network.config.hidden_size
        self.patch_size: int = self.network.config.patch_size

    @torch.no_grad()
    def forward(self, image: Tensor) -> Tensor:
        """Patch tokens, row by row, (B, P, C), of normalised images (B, 3, H, W).

        Raises:
            InputError: H or W is not a multiple of the patch size.
        """
        check_patches(image, self.patch_size)
        tokens = self.network(image.to(self.network.dtype)).last_hidden_state
        return tokens[:, 1:].float()


@MODELS.register_module()
class CLIPTextEncoder(Frozen):
    """CLIP's projected text embedding, not normalised, of sentences cut at the model's longest length.

    Args:
        pretrained: a `CLIPModel` or `CLIPTextModelWithProjection`. Default: openai/clip-vit-large-patch14.
        revision: of the hub repository. Default: its main branch.
        dtype: precision of the weights. Default: float32.
        device: where to load it. Default: cpu; it follows `.to()` too.

    Raises:
        InputError: the weights are not there.
    """

    def __init__(
        self,
        pretrained: str = "openai/clip-vit-large-patch14",
        revision: str | None = None,
        dtype: str = "float32",
        device: str = "cpu",
    ) -> None:
        network = load_pretrained("CLIPTextModelWithProjection", pretrained, dtype=precision(dtype), revision=revision)
        super().__init__(network.to(device))
        self.tokenizer = load_pretrained("AutoTokenizer", pretrained, revision=revision)
        self.channels: int = self.network.config.projection_dim
        self.max_length: int = self.network.config.max_position_embeddings

    @torch.no_grad()
    def forward(self, sentences: Sequence[str]) -> Tensor:
        """Embeddings of B sentences, (B, 1, T) float32."""
        texts = [cut_sentence(text, "the input") for text in sentences]
        tokens = self.tokenizer(
            texts, padding=True, truncation=True, max_length=self.max_length, return_tensors="pt"
        ).to(self.network.device)
        return self.network(**tokens).text_embeds.float()[:, None]
