import os
from zipfile import ZipFile

import numpy as np

from tr2m_plugin.page.files import LIFE, Scratch, write_files


def test_the_archive_holds_what_tr2m_predict_writes(view, tmp_path):
    whole, *files = write_files(view, tmp_path)
    endings = (".npy", "_depth.png", "_color.png", ".json", ".ply", ".glb")
    assert [path.name for path in files] == [f"desk{ending}" for ending in endings]
    with ZipFile(whole) as packed:
        assert packed.namelist() == [path.name for path in files]
        assert packed.read("desk.npy") == (tmp_path / "desk.npy").read_bytes()
    np.testing.assert_array_equal(np.load(tmp_path / "desk.npy"), view.prediction.depth)


def test_old_folders_go(tmp_path):
    scratch = Scratch(tmp_path)
    old, new = scratch.fresh(), scratch.fresh()
    (old / "file").touch()
    past = old.stat().st_mtime - LIFE - 1
    os.utime(old, (past, past))
    third = scratch.fresh()
    assert {path.name for path in tmp_path.iterdir()} == {new.name, third.name}
