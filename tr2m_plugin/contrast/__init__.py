"""Scale-oriented contrast (paper, section 3.3) for any PyTorch model, whatever trains it."""

from tr2m_plugin.contrast.scale_oriented_contrast import ScaleOrientedContrast

__all__ = ["ScaleOrientedContrast"]
