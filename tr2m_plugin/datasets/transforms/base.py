"""MMCV's base of transforms, with a word on where to get it."""

from tr2m_plugin.errors import MissingExtraError

try:
    from mmcv.transforms import BaseTransform
except ModuleNotFoundError as error:
    raise MissingExtraError(
        "mmcv is not installed; datasets need its transforms: install mmcv-lite (pip install 'tr2m_plugin[lite]'), "
        "or the full mmcv or onedl-mmcv where another project of yours needs their compiled operators"
    ) from error

__all__ = ["BaseTransform"]
