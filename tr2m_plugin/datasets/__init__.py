"""Datasets: the only place that knows file formats.

`table_dataset` and `transforms`, which need MMCV, are imported by the registries when a config names them.
"""

from tr2m_plugin.datasets.rgbd_folder import RGBDFolder

__all__ = ["RGBDFolder"]
