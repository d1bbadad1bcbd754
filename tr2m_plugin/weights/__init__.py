"""Small networks that come with the package; each folder has a card that says how it was made."""

from pathlib import Path

_HERE = Path(__file__).parent


def packaged() -> list[str]:
    """Names of the networks that come with the package."""
    return sorted(folder.name for folder in _HERE.iterdir() if (folder / "config.json").is_file())


def resolve_pretrained(name: str) -> str:
    """Where a network is.

    Args:
        name: a folder, the name of a packaged network (see `packaged`), or a hub id.

    Returns:
        The folder, or the name unchanged for the hub to resolve.
    """
    if not Path(name).is_dir() and name in packaged():
        return str(_HERE / name)
    return name
