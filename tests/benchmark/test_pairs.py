from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support import tree_diode, tree_hypersim, tree_nyu
from tr2m_plugin.benchmark import pairs
from tr2m_plugin.benchmark.datasets import index_dataset
from tr2m_plugin.benchmark.pairs import look, refuse_empty
from tr2m_plugin.datasets.readers import headers_agree
from tr2m_plugin.datasets.readers.nyu import NYUv2
from tr2m_plugin.errors import InputError
from tr2m_plugin.evaluation import load_protocol


def test_headers_of_all_and_a_sample_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(pairs, "SAMPLE", 2)
    tree_nyu.make(tmp_path, train=0, test=6)
    rows = NYUv2(str(tmp_path)).index()
    protocol = load_protocol("release", "nyu")
    found = look(rows, protocol, "nyu")
    assert (len(found.shares), found.failed) == (2, {})
    path = Path(rows[5].depth)
    whole = path.read_bytes()
    for broken in (whole[: len(whole) // 2], whole[:-4], b""):
        path.write_bytes(broken)
        assert list(look(rows, protocol, "nyu").failed) == [rows[5].sample_id]
    cv2.imwrite(rows[4].depth, np.ones((4, 5), np.uint16))
    cv2.imwrite(rows[3].depth, np.ones((480, 640, 3), np.uint8))
    failed = look(rows, protocol, "nyu").failed
    assert {rows[4].sample_id, rows[5].sample_id} <= {*failed}
    assert "4 × 5 uint16" in failed[rows[4].sample_id]


def test_headers_of_arrays(tmp_path):
    tree_diode.make(tmp_path / "diode", train=0, test=1)
    tree_hypersim.make(tmp_path / "hypersim", train=0, val=0, test=1)
    for name in ("diode", "hypersim"):
        (row,) = index_dataset({"type": name, "root": str(tmp_path / name)})
        assert headers_agree(row)
        with open(row.depth, "r+b") as file:
            file.truncate(2000)
        assert not headers_agree(row), name


def test_published_files_out_of_range(tmp_path):
    tree_nyu.make(tmp_path, train=0, test=1)
    rows, protocol = NYUv2(str(tmp_path)).index(), load_protocol("release", "nyu").changed({"depth_range": [20, 30]})
    with pytest.raises(InputError, match=r"nyu: no pixel .* range 20 to 30 m; their median is \d.*published files\?"):
        refuse_empty(look(rows, protocol, "nyu"), rows[0], protocol, "nyu")
