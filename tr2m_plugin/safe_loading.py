"""Makes MMEngine load checkpoints, its own included, without running anything they carry.

Importing this module is all, as `custom_imports = dict(imports=["tr2m_plugin.safe_loading"])` in any config does; see
`tr2m_plugin.checkpoint`.
"""

from tr2m_plugin.checkpoint import register_safe_loader

register_safe_loader()
