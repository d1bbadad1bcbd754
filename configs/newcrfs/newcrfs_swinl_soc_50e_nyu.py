"""NeWCRFs with scale-oriented contrast (paper, Table 8)."""

_base_ = ["newcrfs_swinl_50e_nyu.py"]

# The paper does not say which feature. The third stage's, at 1/16, has as many cells on NYUv2 as the one that TR2M
# contrasts, and its width of 768.
custom_hooks = [dict(type="tr2m_plugin.SOCHook", feature="backbone", index=("feature_maps", 2), in_channels=768)]
