"""Where networks run."""

from mmengine.device import get_device


def pick_device(wanted: str = "auto") -> str:
    """A torch device: `wanted`, or for "auto" the accelerator where there is one."""
    return get_device() if wanted == "auto" else wanted
