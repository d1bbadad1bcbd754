"""Files that the page hands out: they live for an hour, and none is left when it ends."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile

from tr2m_plugin.inference.clouds import Cloud
from tr2m_plugin.inference.outputs import write_prediction
from tr2m_plugin.page.view import View

LIFE = 3600
"""Seconds after which a file may go."""


class Scratch:
    """Folders that are made when they are needed and go when they are old.

    Args:
        root: where, of whoever removes it in the end.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def fresh(self) -> Path:
        """A new folder."""
        for folder in self.root.iterdir():
            if folder.stat().st_mtime < time.time() - LIFE:
                shutil.rmtree(folder, ignore_errors=True)
        return Path(tempfile.mkdtemp(dir=self.root))


def write_files(view: View, folder: Path) -> list[Path]:
    """Writes all files of `write_prediction`, a cloud and a mesh among them, and first one that holds them all.

    Raises:
        InputError: there is no depth yet, or no point of it is left for a cloud.
    """
    files = write_prediction(folder, view.done, view.camera, cloud=Cloud(["ply", "glb"]))
    whole = folder / f"{view.name}.zip"
    with ZipFile(whole, "w", ZIP_STORED) as packed:  # numbers of depth hardly shrink
        for file in files:
            packed.write(file, file.name)
    return [whole, *files]
