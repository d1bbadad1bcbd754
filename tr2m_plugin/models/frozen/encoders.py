"""The frozen networks TR2M stands on, loaded through transformers: image encoder and text encoder."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from tr2m_plugin.checks import are_numbers
from tr2m_plugin.datasets.pictures import cut_sentence
from tr2m_plugin.device import precision
from tr2m_plugin.errors import InputError, require
from tr2m_plugin.registry import MODELS
from tr2m_plugin.trusted import brief, parameters_within
from tr2m_plugin.weights import resolve_pretrained

_PURPOSE = "to load frozen networks"

WITHOUT_GRADIENT = ("mask_token", "fusion_stage.layers.0.residual_layer1.", "dpt.layernorm.")
"""Parameters that transformers' depth networks hold and never use; published weights lack some of them."""

_SPARE = (*WITHOUT_GRADIENT, "hidden_states_norms.")
"""What weights may lack; a backbone's norms of its stages are new to every classifier that it is made of."""

MOST_PIXELS = 2**24
"""Largest input of a network that a setting may ask for."""


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
        **kwargs: passed on; code from the hub or from the folder is never run.

    Raises:
        MissingExtraError: transformers is not installed.
        InputError: the weights are not there, broken, or not those of the config; the message says what to do.
    """
    transformers = require("transformers", _PURPOSE, "data")
    source = resolve_pretrained(pretrained)
    kind = getattr(transformers, class_name)
    try:
        with _quiet(transformers):
            if not (class_name.startswith("AutoModel") or issubclass(kind, transformers.PreTrainedModel)):
                return kind.from_pretrained(source, trust_remote_code=False, **kwargs)
            content, _ = transformers.PreTrainedConfig.get_config_dict(source, revision=kwargs.get("revision"))
            _refuse_code({**kwargs, "config.json": content})
            with _within_weights(source):
                network, info = kind.from_pretrained(
                    source, trust_remote_code=False, output_loading_info=True, **kwargs
                )
    except Exception as error:  # what a broken folder makes of transformers is anybody's guess
        raise InputError(_reason(class_name, pretrained, error)) from error
    lacking = sorted(name for name in info["missing_keys"] if not any(part in name for part in _SPARE))
    if lacking:
        raise InputError(
            f"the weights of {pretrained!r} lack {len(lacking)} of the tensors that its config.json asks for, such as "
            f"{lacking[0]}: they do not belong together"
        )
    return network


def _refuse_code(content: Any) -> None:
    """Refuses what makes transformers fetch or run more than a network's own class, wherever it stands in a config."""
    for name, value in content.items() if isinstance(content, dict) else ():
        if name.endswith("_implementation") and "/" in str(value):
            raise InputError(f"{name} names the kernel {brief(value)}, which is code from the hub")
        if name == "quantization_config" and value is not None:
            raise InputError("its config.json says that it is quantized: give the original weights")
        _refuse_code(value)


@contextmanager
def _within_weights(source: str) -> Iterator[None]:
    """A block that makes no network with more numbers than the weights in a folder can hold."""
    if not Path(source).is_dir():
        yield
        return
    held = sum(p.stat().st_size for p in Path(source).iterdir() if p.suffix in (".safetensors", ".bin"))
    # transformers makes every tensor twice, first without memory.
    with parameters_within(
        2 * held, "its weights are too few for the network of its config.json: cut off, or of another one"
    ):
        yield


def _reason(class_name: str, pretrained: str, error: Exception) -> str:
    folder = Path(resolve_pretrained(pretrained))
    said = " ".join(str(error).split())[:200] or type(error).__name__
    if not folder.is_dir():
        return (
            f"no {class_name} found at {pretrained!r}: give a folder saved by save_pretrained, or fetch it once with "
            f"`hf download {pretrained}` where there is a network ({said})"
        )
    if any(folder.glob("*.bin")) and not any(folder.glob("*.safetensors")):
        return (
            f"the pickled weights of {pretrained!r} are not loaded, since such files can hold code ({said}): if you "
            "trust where they come from, load them there and save them as safetensors with save_pretrained"
        )
    return f"{pretrained!r} holds no {class_name}: give a folder saved by save_pretrained ({said})"


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


def _fitting(size: Sequence[int], patch_size: int) -> tuple[int, ...]:
    """The nearest size that divides into patches."""
    return tuple(max(1, round(side / patch_size)) * patch_size for side in size)


def check_size(size: Any, place: str, patch_size: int = 14) -> None:
    """Checks the size at which a network is to see pictures.

    Args:
        size: height and width.
        place: where it stands, for messages.
        patch_size: patch size of the network. Default: 14.

    Raises:
        InputError: it is no size, too large, or does not divide into patches; the message names the nearest that does.
    """
    if not (are_numbers(size, 2, whole=True) and min(size) > 0):
        raise InputError(f"{place} must be height and width in pixels, not {brief(size)}")
    if size[0] * size[1] > MOST_PIXELS:
        raise InputError(f"{place} must be of {MOST_PIXELS} pixels at most, not {brief(size)}")
    fits = _fitting(size, patch_size)
    if fits != tuple(size):
        nearest = f"such as {fits[0]} × {fits[1]}"
        raise InputError(f"{place} must be multiples of {patch_size}, {nearest}, not {size[0]} × {size[1]}")


def check_patches(image: Tensor, patch_size: int) -> tuple[int, int]:
    """How many patches high and wide images (B, 3, H, W) are.

    Raises:
        InputError: H or W is not a multiple of the patch size; the message names the nearest size that is.
    """
    height, width = image.shape[-2:]
    if height % patch_size or width % patch_size:
        fits = _fitting((height, width), patch_size)
        raise InputError(
            f"an image of {height} × {width} does not divide into {patch_size}-pixel patches: "
            f"compute relative depth at a `size` that does, such as {fits[0]} × {fits[1]}"
        )
    return height // patch_size, width // patch_size


def offset_positions(backbone: Any, offset: float) -> None:
    """Makes DINOv2 of transformers place its position embeddings as the original does.

    The original (facebookresearch/dinov2, vision_transformer.py, `interpolate_pos_encoding`) interpolates the square
    grid that it was trained with by the factor (patches + 0.1) / side, and samples it by that factor; transformers
    samples by patches / side, which moves embeddings by up to a tenth of a patch.

    Args:
        backbone: a `Dinov2Model` or `Dinov2Backbone`.
        offset: what is added to the number of patches. The original's is 0.1.
    """
    module = backbone.embeddings

    def interpolate(embeddings: Tensor, height: int, width: int) -> Tensor:
        own = module.position_embeddings
        count = own.shape[1] - 1
        if embeddings.shape[1] - 1 == count and height == width:
            return own
        side = int(count**0.5)
        grid = own[:, 1:].float().unflatten(1, (side, side)).permute(0, 3, 1, 2)
        factors = [(pixels // module.patch_size + offset) / side for pixels in (height, width)]
        placed = F.interpolate(grid, scale_factor=factors, mode="bicubic")
        return torch.cat([own[:, :1], placed.flatten(2).transpose(1, 2).to(own.dtype)], 1)

    module.interpolate_pos_encoding = interpolate


@MODELS.register_module()
class DINOv2Encoder(Frozen):
    """DINOv2's last-layer patch tokens after the final norm, without the class token.

    Args:
        pretrained: a `Dinov2Model`, or a `DepthAnythingForDepthEstimation`, whose backbone is taken. Default:
            facebook/dinov2-large.
        revision: revision of the hub repository. Default: its main branch.
        position_offset: see `offset_positions`. Default: 0.1 for a `Dinov2Model`, as in the original, whose features
            the released head was trained on; 0 for Depth Anything's backbone, as in transformers.
        dtype: precision of the weights: "float32", "float16" or "bfloat16". Default: float32.
        device: where to load it. Default: cpu; it follows the model's `.to()` too.

    Raises:
        InputError: the weights are not there, or are another network's.
    """

    def __init__(
        self,
        pretrained: str = "facebook/dinov2-large",
        revision: str | None = None,
        position_offset: float | None = None,
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
        offset = (0.1 if config.model_type == "dinov2" else 0.0) if position_offset is None else position_offset
        if offset:
            offset_positions(self.network, offset)
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
        revision: revision of the hub repository. Default: its main branch.
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
