from dataclasses import replace

import cv2
import numpy as np
import pytest

from tests.support import tree_c3vd, tree_diode, tree_ibims, tree_kitti, tree_nyu, tree_simcol, tree_void
from tr2m_plugin.benchmark.verify import find_sentences, show_sample, spread, verify_dataset
from tr2m_plugin.cli import main
from tr2m_plugin.datasets.parquet import columns_of, write_table
from tr2m_plugin.datasets.readers import reader_of
from tr2m_plugin.description.rsa import RSASentence, rsa_line, write_rsa
from tr2m_plugin.errors import InputError
from tr2m_plugin.rows import DescriptionRow, IndexRow


@pytest.fixture
def two(monkeypatch):
    """Makes two pictures of every split the published number."""

    def publish(name):
        reader = reader_of(name)
        monkeypatch.setattr(reader, "counts", dict.fromkeys(reader.counts, 2))

    return publish


def lines_with(report, text):
    return [line for line in report.lines if text in line]


def test_a_whole_dataset(tmp_path, two, capsys, monkeypatch):
    two("nyu")
    tree_nyu.make(tmp_path)
    report = verify_dataset("nyu", str(tmp_path))
    assert report.good
    assert report.lines[0].startswith(f"NYU Depth v2 in {tmp_path}, protocol release ")
    assert lines_with(report, "of 2 pictures") == ["train: 2 of 2 pictures", "test: 2 of 2 pictures"]
    assert len(lines_with(report, "_files_with_gt.txt differs from the published list")) == 2, "a note, not a fault"
    assert "test: 2 decoded, picture 480 × 640, depth 480 × 640" in report.lines
    (numbers,) = lines_with(report, "test: 100.0% of the pixels have depth")
    assert ", 0.5 to 9.099 m; 77.7% are in" in numbers, "the window of 426 × 560"
    assert report.lines[-1] == "no fault"
    assert not lines_with(report, "where to get")
    digest = lines_with(report, "test_files_with_gt.txt")[0][-33:-1]
    monkeypatch.setattr(reader_of("nyu"), "digests", {"test": [digest]})
    assert main(["data", "verify", "nyu", str(tmp_path), "--protocol", "zoedepth", "--sample", "1"]) == 0
    out = capsys.readouterr().out
    assert "nyudepthv2_test_files_with_gt.txt as published" in out
    assert "protocol zoedepth" in out
    assert "test: 1 decoded" in out


def test_too_few_pictures_and_where_to_get_them(tmp_path, capsys):
    tree_nyu.make(tmp_path, train=0)
    (tmp_path / "nyudepthv2_train_files_with_gt.txt").unlink()
    assert main(["data", "verify", "nyu", str(tmp_path), "--sample", "0"]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "train: not there; 24231 pictures are published"
    assert lines[2] == "fault: test: 2 of 654 pictures"
    assert lines[-2].startswith("where to get what is not there: NYU, cs.nyu.edu")
    assert lines[-1] == "faults: 1"
    assert not any("decoded" in line for line in lines)


def test_a_split_that_is_not_there_is_no_fault(tmp_path, two):
    two("kitti")
    tree_kitti.make(tmp_path)
    (tmp_path / "eigen_train_files_with_gt.txt").unlink()
    report = verify_dataset("kitti", str(tmp_path))
    assert report.good
    assert "train: not there; 2 pictures are published" in report.lines
    assert "test: 2 decoded, picture 352 × 1216, depth 352 × 1216" in report.lines
    assert lines_with(report, "where to get what is not there: KIT")
    report = verify_dataset("kitti", str(tmp_path), options={"splits": ["test"]})
    assert "protocol release" in report.lines[0]
    assert report.lines[0].endswith(", splits=['test']")
    assert not lines_with(report, "train")
    assert not lines_with(report, "where to get")
    report = verify_dataset("kitti", str(tmp_path), options={"crop": None})
    assert lines_with(report, "test: 2 decoded")[0].count("(1)") == 2, "two sizes, one picture each"


def test_too_many_pictures_are_a_fault(tmp_path, two):
    two("void")
    tree_void.make(tmp_path, test=3)
    report = verify_dataset("void", str(tmp_path))
    assert not report.good
    assert "fault: test: 3 of 2 pictures" in report.lines
    assert not lines_with(report, "where to get")


def test_nothing_is_there(tmp_path):
    report = verify_dataset("c3vd", str(tmp_path))
    assert not report.good
    assert "fault: no picture of C3VD is there" in report.lines
    assert not lines_with(report, "val")


def test_missing_files_are_counted_and_the_first_five_named(tmp_path, two):
    two("ibims")
    tree_ibims.make(tmp_path, test=2)
    (tmp_path / "imagelist.txt").write_text("\n".join(f"corridor_{number:02d}" for number in (1, 2, 8, 9)))
    report = verify_dataset("ibims", str(tmp_path))
    assert "test: 2 of 2 pictures" in report.lines
    (fault,) = lines_with(report, "fault: ")
    assert fault.startswith("fault: 8 of 16 files are not there: ")
    assert fault.endswith("rgb/corridor_09.png and 3 more; unpack them, or do without masks with `mask=False`")
    assert fault.count("corridor_08.png") == 4, "picture, depth and two masks"
    (tmp_path / "ibims1_core_raw/mask_transp/corridor_02.png").unlink()
    report = verify_dataset("ibims", str(tmp_path))
    assert "fault: test: 1 of 2 pictures" in report.lines
    assert lines_with(report, "where to get what is not there: TU")


def test_a_list_without_its_pictures(tmp_path, two):
    two("nyu")
    tree_nyu.make(tmp_path)
    (tmp_path / "sync").rename(tmp_path / "elsewhere")
    report = verify_dataset("nyu", str(tmp_path))
    faults = lines_with(report, "fault: ")
    assert faults[0] == "fault: train: 0 of 2 pictures"
    assert f"4 of 8 files are not there: {tmp_path}/sync/kitchen_0028b/rgb_00000.jpg, " in faults[1]
    assert faults[1].endswith("; unpack them, or leave their split out with `splits`")
    assert lines_with(report, "test: 2 decoded")


def test_what_cannot_be_decoded_is_listed(tmp_path, two, monkeypatch):
    two("diode")
    tree_diode.make(tmp_path, train=0)
    first, second = sorted(tmp_path.glob("val/outdoor/*/*/*_000.png"))
    np.save(first.with_name(f"{first.stem}_depth.npy"), np.ones((768, 1024), np.float64))
    second.write_bytes(b"no picture")
    report = verify_dataset("diode", str(tmp_path))
    faults = lines_with(report, "fault: ")
    assert len(faults) == 2
    assert "_000_000_depth.npy should be 768 × 1024 float32 and is 768 × 1024 float64" in faults[0]
    assert f"{second} is not a picture" in faults[1]
    assert not lines_with(report, " decoded, ")

    def fail(row):
        raise KeyError("images")

    monkeypatch.setattr(reader_of("diode"), "picture", staticmethod(fail))
    assert "000_000: KeyError: 'images'" in lines_with(verify_dataset("diode", str(tmp_path)), "fault: ")[0]


def test_sizes_that_differ_and_pictures_without_a_pixel_that_counts(tmp_path, two):
    two("void")
    tree_void.make(tmp_path, train=0)
    (tmp_path / "void_1500/train_image.txt").unlink()
    first, second = sorted((tmp_path / "void_1500/data/desktop2/image").iterdir())
    cv2.imwrite(str(first), np.zeros((240, 320, 3), np.uint8))
    cv2.imwrite(str(second).replace("/image/", "/ground_truth/"), np.zeros((480, 640), np.uint16))
    report = verify_dataset("void", str(tmp_path))
    unlike, nothing, empty = lines_with(report, "fault: ")
    assert unlike.endswith("is 480 × 640 and its picture 240 × 320: they must match")
    assert nothing.startswith("fault: test: 0.0% of the pixels have depth")
    assert nothing.endswith("without such a pixel: 1")
    assert empty.endswith("image/1552625296.8328: its depth holds no measurement")


def test_depth_outside_the_range_and_a_few_that_are_empty(tmp_path, two):
    two("void")
    stored = tree_void.make(tmp_path, train=0, test=2)
    (tmp_path / "void_1500/train_image.txt").unlink()
    truths = sorted((tmp_path / "void_1500/data/desktop2/ground_truth").iterdir())
    cv2.imwrite(str(truths[0]), np.zeros((480, 640), np.uint16))
    (fault,) = lines_with(verify_dataset("void", str(tmp_path)), "fault: ")
    assert fault.endswith("1552625295.7828: its depth holds no measurement")
    for path, numbers in zip(truths, stored.values(), strict=True):
        cv2.imwrite(str(path), np.maximum(numbers, 1) + np.uint16(6 * 256))  # beyond the protocol's 5 m
    (fault,) = lines_with(verify_dataset("void", str(tmp_path)), "fault: ")
    assert "0.0% are in the protocol's range and window; pictures without such a pixel: 2" in fault


def test_videos_that_are_short_are_named(tmp_path, monkeypatch):
    videos = {"cecum_t1_b": 1, "cecum_t1_a": 2, "trans_t1_a": 61, "desc_t4_a": 148}
    monkeypatch.setattr("tr2m_plugin.datasets.readers.c3vd.VIDEOS", videos)
    monkeypatch.setattr(
        "tr2m_plugin.datasets.readers.c3vd.SPLIT",
        {"train": ("cecum_t1_b", "trans_t1_a", "desc_t4_a", "desc_t4_a_p1"), "test": ("cecum_t1_a", "desc_t4_a_p2")},
    )
    tree_c3vd.make(tmp_path, train=2, test=2)
    (tmp_path / "desc_t4_a").mkdir()
    report = verify_dataset("c3vd", str(tmp_path), sample=1)
    assert "fault: train: 2 of 210 pictures, cecum_t1_b 2 of 1, without trans_t1_a, desc_t4_a" in report.lines
    assert "test: 2 of 2 pictures" in report.lines
    (tmp_path / "desc_t4_a").rmdir()
    tree_c3vd.make(tmp_path, train=1, test=1, videos=("trans_t1_a", "desc_t4_a_p2"))
    report = verify_dataset("c3vd", str(tmp_path), sample=1)
    assert "fault: train: 3 of 62 pictures, cecum_t1_b 2 of 1, trans_t1_a 1 of 61" in report.lines
    assert "test: 2 of 2 pictures, besides desc_t4_a_p2 1" in report.lines
    assert lines_with(report, "test: 1 decoded, picture 480 × 640, depth 480 × 640")


def test_trajectories_that_are_short_are_named(tmp_path):
    tree_simcol.make(tmp_path, train=0, val=0)
    report = verify_dataset("simcol", str(tmp_path))
    assert "val: not there; 7206 pictures are published" in report.lines
    assert lines_with(report, "fault: ") == [
        "fault: test: 2 of 9009 pictures, S5 2 of 1201, without S10, S15, B5, B10, B15, O1, O2, O3"
    ]


def test_what_is_wrong_from_the_start(tmp_path, capsys):
    assert main(["data", "verify", "nyu", str(tmp_path / "no")]) == 2
    assert "tr2m: " in capsys.readouterr().err
    with pytest.raises(InputError, match=r"has none of nyudepthv2_train_files_with_gt.txt"):
        verify_dataset("nyu", str(tmp_path))
    with pytest.raises(InputError, match="'nyv' is no dataset with a reader"):
        verify_dataset("nyv", str(tmp_path))
    with pytest.raises(InputError, match="there is no protocol 'mine' for 'nyu'"):
        verify_dataset("nyu", str(tmp_path), protocol="mine")
    with pytest.raises(InputError, match=r"nyu: .*unexpected keyword argument 'mask'"):
        verify_dataset("nyu", str(tmp_path), options={"mask": True})
    with pytest.raises(InputError, match="must not be negative, and is -1"):
        verify_dataset("nyu", str(tmp_path), sample=-1)


def test_what_an_evaluation_refuses_is_said_before(tmp_path, monkeypatch):
    tree_nyu.make(tmp_path)
    rows = list(reader_of("nyu")(str(tmp_path)).rows())
    monkeypatch.setattr(reader_of("nyu"), "rows", lambda self: [*rows, rows[0]])
    with pytest.raises(InputError, match="nyu lists nyu/kitchen_0028b/rgb_00000 twice"):
        verify_dataset("nyu", str(tmp_path))
    monkeypatch.setattr(reader_of("nyu"), "rows", lambda self: [{}["scenes"]])
    with pytest.raises(InputError, match=f"nyu in {tmp_path} cannot be read: KeyError: 'scenes'"):
        verify_dataset("nyu", str(tmp_path))


def test_a_sample_is_spread_evenly_and_the_same_every_time():
    items = [{"number": number} for number in range(100)]
    chosen = [item["number"] for item in spread(items, 10)]
    assert chosen == [item["number"] for item in spread(items, 10)]
    assert [number // 10 for number in chosen] == list(range(10))
    assert spread(items, 100) == spread(items, 200) == items
    assert spread(items, 0) == []
    assert all(len({item["number"] for item in spread(items, count)}) == count for count in range(101))


def test_a_picture_by_its_id_or_number(tmp_path, capsys):
    tree_nyu.make(tmp_path)
    for sample, split in (("bathroom/rgb_00001", "test"), ("3", "test"), ("0", "train")):
        out = tmp_path / "out" / f"{split}.png"
        assert main(["data", "show", "nyu", str(tmp_path), sample, "--out", str(out)]) == 0
        assert f"written: {out}" in capsys.readouterr().out
        assert cv2.imread(str(out)).shape[1] > 1000
    with pytest.raises(InputError, match="no picture 'bathroom/rgb_0001' there; the nearest are bathroom/rgb_00001, b"):
        show_sample("nyu", str(tmp_path), "bathroom/rgb_0001", tmp_path / "a.png")
    with pytest.raises(InputError, match="nearest are kitchen_0028b/rgb_00000, kitchen_0028b/rgb_00001, bathroom"):
        show_sample("nyu", str(tmp_path), "?", tmp_path / "a.png")
    with pytest.raises(InputError, match="has 4 pictures there, from 0 to 3, and no 4"):
        show_sample("nyu", str(tmp_path), "4", tmp_path / "a.png")
    (tmp_path / "sync/kitchen_0028b/rgb_00000.jpg").unlink()
    with pytest.raises(InputError, match=r"rgb_00000.jpg does not exist"):
        show_sample("nyu", str(tmp_path), "0", tmp_path / "a.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty holds no picture of C3VD: Johns"):
        show_sample("c3vd", str(tmp_path / "empty"), "0", tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()


def test_descriptions_of_every_source(tmp_path):
    row = IndexRow(dataset="c3vd", sample_id="cecum_t1_a/0000", split="test", image="")
    key = {"dataset": "c3vd", "sample_id": "cecum_t1_a/0000", "split": "test"}
    template = "The image shows a medical scene of cecum with texture type one."
    assert find_sentences(row) == [("template", template)]
    other = replace(row, sample_id="cecum_t1_a/0001")
    write_rsa(tmp_path, (RSASentence(**key, **rsa_line(number), text=f"Line {number}.") for number in range(15)))
    described = [
        {**vars(one), "source": "maskdino", "text": text} for one, text in ((row, "Walls."), (other, "Floors."))
    ]
    write_table(tmp_path / "table.parquet", columns_of(DescriptionRow), described)
    found = find_sentences(row, [tmp_path / "table.parquet", tmp_path])
    assert found[0] == ("maskdino", "Walls.")
    assert found[1:7:5] == [("rsa, llava-mistral", "Line 0."), ("rsa, llava-vicuna", "Line 5.")]
    assert found[-1] == ("rsa, object list", "Line 14.")
    assert find_sentences(other, [tmp_path / "text_all"]) == [("template", template)]
    assert find_sentences(replace(row, dataset="nyu"), [tmp_path]) == []
    with pytest.raises(InputError, match=r"no.parquet does not exist"):
        find_sentences(row, [tmp_path / "no.parquet"])
