"""The version of the package, which says nothing else and so costs nothing to ask."""

__version__ = "0.1.0"
