"""The paper's run, whole: the profile `paper` on small trees of all nine datasets, with small networks."""

import json

import pytest
import yaml

from benchmarks.tiny_llava import save_llava
from pipelines import describe, descriptions, embed_text, evaluate, index, relative_depth, report, train
from pipelines.params import Stage
from tests.support import (
    tree_c3vd,
    tree_diode,
    tree_hypersim,
    tree_ibims,
    tree_kitti,
    tree_nyu,
    tree_simcol,
    tree_sun_rgbd,
    tree_void,
)
from tr2m_plugin.cli import main
from tr2m_plugin.datasets.arrays import find_arrays, read_array
from tr2m_plugin.datasets.parquet import columns_of, read_rows, read_table
from tr2m_plugin.description.rsa import RSASentence, rsa_line, write_rsa
from tr2m_plugin.evaluation import METRICS
from tr2m_plugin.rows import DescriptionRow, IndexRow

NINE = ("nyu", "kitti", "void", "c3vd", "sun_rgbd", "ibims", "hypersim", "diode", "simcol")
TRAINED = ("nyu", "kitti", "void", "c3vd")
NETWORK = {
    "model.image_encoder.pretrained": "mini_depth_anything",
    "relative_depth.pretrained": "mini_depth_anything",
    "text_encoder.pretrained": "mini_clip_text",
    "model.rescale_net.image_channels": 128,
    "model.rescale_net.text_channels": 160,
    "model.rescale_net.out_channels": 8,
    "model.rescale_net.features": 8,
    "model.rescale_net.num_heads": 2,
    "custom_hooks.0.in_channels": 128,
    "custom_hooks.0.start": 0,
    "train_dataloader.batch_size": 2,
    "train_dataloader.num_workers": 0,
    "train_cfg.max_epochs": 1,
    "default_hooks.logger.interval": 1,
}


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    base = tmp_path_factory.mktemp("datasets")
    made = {name: base / name for name in NINE}
    for path in made.values():
        path.mkdir()
    tree_nyu.make(made["nyu"], train=2, test=2)
    for tree, name in ((tree_kitti, "kitti"), (tree_void, "void"), (tree_c3vd, "c3vd"), (tree_diode, "diode")):
        tree.make(made[name], train=1, test=1)
    tree_sun_rgbd.make_test(made["sun_rgbd"], test=1)
    tree_ibims.make(made["ibims"], test=1)
    tree_hypersim.make(made["hypersim"], train=0, val=0, test=1)
    tree_simcol.make(made["simcol"], train=0, val=0, test=1)
    return made


@pytest.fixture(scope="module")
def sections(roots, repository, tmp_path_factory):
    """The profile with roots, and with small networks in place of the large ones."""
    profile = yaml.safe_load((repository / "params.yaml").read_text())["profiles"]["paper"]
    for entry in profile["index"]["datasets"]:
        entry["root"] = str(roots[entry["type"]])
    profile["describe"]["texts"]["describers"][0]["folder"] = str(tmp_path_factory.mktemp("rsa"))
    llava = tmp_path_factory.mktemp("llava")
    save_llava(llava, "vicuna")
    profile["describe"]["llava_vicuna"].update(
        model=str(llava), max_new_tokens=4, engine={"workers": 0, "device": "cpu"}
    )
    profile["relative_depth"].update(workers=0, device="cpu", batch_size=2)
    profile["relative_depth"]["model"]["pretrained"] = "mini_depth_anything"
    profile["embed_text"]["model"]["pretrained"] = "mini_clip_text"
    profile["train"].update(config=str(repository / "configs" / "tr2m_mixed.py"), options=NETWORK)
    profile["evaluate"].update(device="cpu", batch_size=2)
    return profile


@pytest.fixture(scope="module")
def run(sections, tmp_path_factory):
    """The folder in which every stage ran; below it the profile's."""
    folder = tmp_path_factory.mktemp("paper")
    root = folder / "work" / "paper"
    root.mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        index.stage(Stage("paper", sections["index"], root))
        rows = read_rows(root / "index.parquet", IndexRow)
        write_rsa(
            sections["describe"]["texts"]["describers"][0]["folder"],
            (
                RSASentence(
                    dataset=row.dataset,
                    split=row.split,
                    sample_id=row.sample_id,
                    text=f"sentence {line} of {row.sample_id}",
                    **rsa_line(line),
                )
                for row in rows
                if row.dataset in ("nyu", "kitti", "void")
                for line in range(15)
            ),
        )
        for item, params in sections["describe"].items():
            describe.stage(Stage("paper", params, root, item))
        for module, name in (
            (descriptions, "descriptions"),
            (relative_depth, "relative_depth"),
            (embed_text, "embed_text"),
            (train, "train"),
            (evaluate, "evaluate"),
            (report, "report"),
        ):
            module.stage(Stage("paper", sections[name], root))
    return folder


def test_every_dataset_is_indexed_with_its_protocol(run):
    rows = read_rows(run / "work/paper/index.parquet", IndexRow)
    assert {row.dataset for row in rows} == set(NINE)
    assert {row.dataset for row in rows if row.split == "train"} == set(TRAINED)
    assert {row.protocol for row in rows} == {"release"}


def test_every_picture_has_its_sentences(run):
    lines = read_table(run / "work/paper/descriptions.parquet", columns_of(DescriptionRow))
    sources = {}
    for line in lines:
        sources.setdefault(line["dataset"], set()).add(line["source"])
    assert sources["nyu"] == sources["kitti"] == sources["void"] == {"rsa"}
    assert sources["c3vd"] == sources["simcol"] == {"template"}
    assert sources["diode"] == sources["hypersim"] == sources["sun_rgbd"] == {"llava-vicuna"}


def test_relative_depth_has_the_protocols_sizes(run):
    arrays = find_arrays(run / "work/paper/relative_depth")
    shapes = {
        row.dataset: read_array(arrays[row.key]).shape for row in read_rows(run / "work/paper/index.parquet", IndexRow)
    }
    assert shapes == {**dict.fromkeys(NINE, (434, 560)), "kitti": (350, 1204), "sun_rgbd": (518, 728)}


def test_all_nine_are_measured_by_the_release_protocol(run):
    metrics = json.loads((run / "metrics.json").read_text())
    for method in ("TR2M", *(f"mini_depth_anything {kind}" for kind in ("median", "linear fit", "global"))):
        assert set(metrics[method]["datasets"]) == set(NINE)
        for found in metrics[method]["datasets"].values():
            assert found["kind"] == "fixture", "a part of a dataset reproduces nothing, whatever the profile says"
            assert found["images"] > 0
            assert (found["protocol"], len(found["protocol_hash"])) == ("release", 12)
            assert all(found[metric] is not None for metric in METRICS)
    assert metrics["TR2M"]["datasets"]["c3vd"]["unit"] == "mm"
    assert metrics["mini_depth_anything global"]["fitted_on"] == "test"


def test_the_command_line_measures_the_same(run, roots, tmp_path):
    root = run / "work" / "paper"
    names = ("nyu", "kitti", "c3vd")
    datasets = [f"{name}={roots[name]}" for name in names]
    arguments = ["evaluate", "--model", root / "model", "--datasets", *datasets, "--out", tmp_path, "--no-pictures"]
    arguments += ["--text-tables", root / "descriptions.parquet", "--device", "cpu", "--workers", "0"]
    assert main([str(argument) for argument in arguments]) == 0
    (found,) = json.loads((tmp_path / "metrics.json").read_text()).values()
    expected = json.loads((run / "metrics.json").read_text())["TR2M"]
    assert found["weights"] == expected["weights"]
    for name in names:
        assert found["datasets"][name]["protocol_hash"] == expected["datasets"][name]["protocol_hash"]
        for metric in METRICS:
            one, other = found["datasets"][name][metric], expected["datasets"][name][metric]
            assert one == pytest.approx(other, rel=1e-3), (name, metric)


def test_the_report_has_the_papers_tables(run):
    page = (run / "report" / "index.html").read_text()
    for number in ("1", "2", "3", "7", "10"):
        assert f"<h2>Table {number}: " in page
        assert (run / "work/paper/evaluation" / f"table_{number}.tex").is_file()
    assert "ZoeDepth" in page
    assert "fixture" in page


def test_a_dataset_without_a_root_is_left_out_with_a_word(sections, tmp_path, capsys):
    entries = [
        {**entry, "root": entry["root"] if entry["type"] == "nyu" else None} for entry in sections["index"]["datasets"]
    ]
    index.stage(Stage("paper", {**sections["index"], "datasets": entries}, tmp_path))
    assert {row.dataset for row in read_rows(tmp_path / "index.parquet", IndexRow)} == {"nyu"}
    assert "kitti is left out, since it has no root" in capsys.readouterr().out
