"""From the authors' released weights to a model folder of ours."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tr2m_plugin.errors import InputError
from tr2m_plugin.files import sha256_of
from tr2m_plugin.inference.model_folder import ModelSpec, save_model
from tr2m_plugin.models.frozen.encoders import check_size
from tr2m_plugin.models.tr2m.released_weights import load_release_weights, read_release, release_sizes
from tr2m_plugin.models.tr2m.rescale_net import RescaleNet
from tr2m_plugin.trusted import parameters_within
from tr2m_plugin.units import SURGICAL

RELEASED_NETWORKS = {
    "image_encoder": "facebook/dinov2-large",
    "text_encoder": "openai/clip-vit-large-patch14",
    "relative_depth": "LiheYoung/depth-anything-small-hf",
}
"""The frozen networks that the release stands on."""


RELATIVE_DEPTH = {"type": "RelativeDepth", "aligned": True, "position_offset": 0.1}
"""How the release runs the relative depth network."""

SOURCE = {"source": "the authors' released weights (https://github.com/BeileiCui/TR2M)"}


def convert_release(
    path: str | os.PathLike,
    folder: str | os.PathLike,
    num_heads: int = 8,
    size: Sequence[int] = (434, 560),
    skip_unknown: bool = False,
    **networks: str,
) -> list[str]:
    """Writes a model folder that `TR2MInferencer` opens.

    The head's widths are read from its weights. The frozen networks are not looked at: the folder only names them.

    Args:
        path: the released weights, see `tr2m_plugin.models.tr2m.released_weights.read_release`.
        folder: made if need be.
        num_heads: attention heads, which leave no trace in the weights. Default: 8, the release's.
        size: height and width that pictures are stretched to. Default: 434 × 560, the release's but for KITTI's
            350 × 1204; a prediction can be asked for at another.
        skip_unknown: leaves out tensors of the head that ours has no place for, in place of an error. Default: False.
        **networks: hub ids or folders that take the place of those in `RELEASED_NETWORKS`.

    Returns:
        The names of the tensors left out.

    Raises:
        InputError: the file is not the release's, the heads do not divide its width, or the size is not in patches.
        UnsafeCheckpointError: the file holds code.
    """
    check_size(size, "size")
    # A folder is found from anywhere only by its whole path.
    given = {name: os.path.abspath(source) if os.path.isdir(source) else source for name, source in networks.items()}
    names = {**RELEASED_NETWORKS, **given}
    released = read_release(path)
    held = sum(tensor.untyped_storage().nbytes() for tensor in released.values())
    try:
        sizes: dict[str, Any] = {**release_sizes(released), "num_heads": num_heads}
        with parameters_within(held, "its tensors claim more numbers than it holds"):
            net = RescaleNet(**sizes)
    except InputError as error:
        raise InputError(f"{os.fspath(path)}: {error}") from error
    left_out = load_release_weights(net, path, strict=not skip_unknown)
    model = {
        "type": "TR2M",
        "data_preprocessor": {
            "type": "mmengine.ImgDataPreprocessor",
            "mean": [123.675, 116.28, 103.53],
            "std": [58.395, 57.12, 57.375],
        },
        "image_encoder": {"type": "DINOv2Encoder", "pretrained": names["image_encoder"]},
        "rescale_net": {"type": "RescaleNet", **sizes},
    }
    spec = ModelSpec(
        model,
        {**RELATIVE_DEPTH, "pretrained": names["relative_depth"], "size": list(size)},
        {"type": "CLIPTextEncoder", "pretrained": names["text_encoder"]},
        {"mm": list(SURGICAL)},
        {**SOURCE, "file": os.path.basename(path), "sha256": sha256_of(Path(path))},
    )
    save_model(folder, spec, {f"rescale_net.{name}": value for name, value in net.state_dict().items()})
    return left_out
