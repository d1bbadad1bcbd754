"""NeWCRFs at small widths with scale-oriented contrast (paper, Table 8)."""

_base_ = ["newcrfs_swinmini_12e_rooms.py"]

# The second stage's map: 16 x 20 cells, as few as the contrast has sense with.
custom_hooks = [
    dict(
        type="tr2m_plugin.SOCHook",
        feature="backbone",
        index=("feature_maps", 1),
        in_channels=48,
        projector=dict(hidden_channels=64, out_channels=64, pool=1),
    ),
]
