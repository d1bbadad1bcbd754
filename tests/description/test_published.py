import gzip
import io
import tarfile

import pytest

from tests.support import tree_void
from tests.support.web import Page, serve
from tr2m_plugin.benchmark.datasets import choose_entries, open_datasets
from tr2m_plugin.benchmark.sentences import find_texts
from tr2m_plugin.cli import main
from tr2m_plugin.description.published import ADDRESS, install_captions
from tr2m_plugin.description.rsa import RSA
from tr2m_plugin.errors import InputError
from tr2m_plugin.rows import IndexRow

LINES = "".join(f"The image shows a room, line {number}.\n" for number in range(15))
SAMPLE = "void_1500/data/desktop2/image/1552625295.7828"
KITTI = "2011_09_26/2011_09_26_drive_0002_sync/image_02/data/0000000006"


def pack(**other):
    """An archive as GitHub makes it of the repository."""
    files = {f"TR2M-a5a9190/text/text_all/{name}.txt": LINES for name in (f"void/test/{SAMPLE}", f"kitti/test/{KITTI}")}
    files |= {"TR2M-a5a9190/README.md": "TR2M", "TR2M-a5a9190/text/text_all/void/test/void_1500.md": "no caption"}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, text in {**files, **other}.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
        link = tarfile.TarInfo("TR2M-a5a9190/text/text_all/void/test/link.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return packed.getvalue()


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with serve() as web:
        monkeypatch.setenv("TR2M_CAPTIONS_URL", f"{web.root}/captions")
        yield web


def test_they_are_what_text_tables_takes(site, tmp_path, capsys):
    site.pages["/captions"] = Page(pack(), None)
    for _ in range(2):
        assert main(["download", "captions"]) == 0
        folder = tmp_path / "home" / "captions"
        assert f"tr2m evaluate --text-tables {folder}`" in capsys.readouterr().out
    assert site.asked == ["/captions"]
    assert {path.relative_to(folder / "text_all").as_posix() for path in folder.rglob("*") if not path.is_dir()} == {
        f"void/test/{SAMPLE}.txt",
        f"kitti/test/{KITTI}.txt",
    }
    assert sorted(path.name for path in folder.parent.iterdir() if path.suffix != ".lock") == ["captions"]
    assert SAMPLE in tree_void.make(tmp_path / "void", train=0, test=1)
    entries = choose_entries([f"void={tmp_path / 'void'}"], None)
    datasets = open_datasets(entries, "release", {"reader": {"allow_missing": True}})
    assert set(find_texts(datasets, [folder]).values()) == {"The image shows a room, line 0."}
    row = IndexRow(dataset="kitti", sample_id=KITTI, split="test", image="")
    assert len(RSA(str(folder)).describe([row])) == 15


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<html>", "it is no readable archive"),
        (pack()[:-200], "it is no readable archive"),
        (gzip.compress(b""), "(it is no readable archive|has no folder text_all)"),
        (pack(**{"TR2M-a5a9190/text/text_all/void/test/short.txt": "One line.\n"}), r"short.txt has 1 lines, not 15"),
        (None, "cannot be fetched: HTTP Error 404: Not Found; without a network, put the folder text_all of"),
    ],
    ids=["page", "cut off", "empty", "another format", "missing"],
)
def test_other_archives_leave_nothing(site, tmp_path, content, reason):
    site.pages = {} if content is None else {"/captions": Page(content)}
    with pytest.raises(InputError, match=rf"{site.root}/captions.*{reason}"):
        install_captions()
    assert [path.name for path in (tmp_path / "home").iterdir() if path.suffix != ".lock"] == []
    site.pages = {"/captions": Page(pack())}
    assert install_captions().is_dir()


def test_nothing_is_written_elsewhere(site, tmp_path):
    inside = "TR2M-a5a9190/text/text_all/void/test/../../../../../../../out.txt"
    site.pages["/captions"] = Page(pack(**{inside: LINES, "/text/text_all/void/test/a.txt": LINES}))
    folder = install_captions()
    assert len(list(tmp_path.rglob("*.txt"))) == len(list(folder.rglob("*.txt"))) == 2


def test_the_address_is_the_authors_repository_at_one_commit():
    assert ADDRESS == "https://codeload.github.com/BeileiCui/TR2M/tar.gz/a5a91901db5f08bd1d3cd9f60656de5dd6e87826"
