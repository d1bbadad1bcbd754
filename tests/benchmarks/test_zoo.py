"""What the metafiles and the config folders' READMEs tell is what the repository holds."""

import json
import re

import pytest
import yaml
from modelindex.load_model_index import load

from benchmarks import zoo
from tr2m_plugin.benchmark.results import KINDS


@pytest.fixture(scope="module")
def index(repository):
    return load(str(repository / "model-index.yml"))


@pytest.fixture(scope="module")
def models(index):
    return {model.name: model for model in index.models}


def numbers(model, kind):
    """Metrics by dataset, all of which must be of a kind."""
    found = {}
    for result in model.results or []:
        for name, value in result.metrics.items():
            metric, mark = re.fullmatch(r"(\w+) \((.*)\)", name).groups()
            assert mark.split(", ")[0] == kind
            found.setdefault(result.dataset, {})[metric] = value
    return found


def paper_row(repository, table, name):
    tables = yaml.safe_load((repository / "tr2m_plugin" / "benchmark" / "paper.yaml").read_text())["tables"]
    (row,) = [row for row in tables[table]["rows"] if name in (row.get("model"), row.get("method"))]
    return row["values"]


@pytest.mark.parametrize("folder", zoo.FOLDERS)
def test_they_are_up_to_date(repository, folder):
    for name, text in (("metafile.yml", zoo.metafile(folder)), ("README.md", zoo.readme(folder))):
        assert (repository / folder / name).read_text() == text, f"`{zoo.COMMAND}` writes {folder}/{name} anew"


def test_every_config_is_listed_and_every_listed_one_exists(repository, index):
    files = {path.relative_to(repository).as_posix() for path in (repository / "configs").rglob("*.py")}
    listed = [model.config for model in index.models]
    assert sorted(listed) == sorted(file for file in files if "_base_" not in file)
    assert len({model.name for model in index.models}) == len(listed), "`mim` calls them by these names"
    for model in index.models:
        assert model.config.endswith(f"/{model.name}.py")
        assert (repository / model.readme).is_file()
        assert model.in_collection in {collection.name for collection in index.collections}


def test_imported_are_all_metafiles(repository):
    imported = yaml.safe_load((repository / "model-index.yml").read_text())["Import"]
    assert sorted(imported) == sorted(
        path.relative_to(repository).as_posix() for path in (repository / "configs").rglob("metafile.yml")
    )


def test_the_packaged_models_numbers_are_those_of_its_metrics(repository, models):
    file = repository / "tr2m_plugin" / "weights" / "tr2m_mini" / "metrics.json"
    measured = json.loads(file.read_text())["TR2M"]
    assert measured["kind"] == models["tr2m_mini"].metadata.data["Kind"] == "fixture"
    found = numbers(models["tr2m_mini"], "fixture")
    assert found.keys() == measured["datasets"].keys()
    for dataset, values in found.items():
        assert values == {name: measured["datasets"][dataset][name] for name in ("abs_rel", "rmse", "d1")}
        assert f"rmse (fixture, {measured['datasets'][dataset]['unit']})" in str(models["tr2m_mini"].results)


def test_the_papers_numbers_are_those_of_its_tables(repository, models):
    found = numbers(models["tr2m_mixed"], "paper")
    for table in ("1", "2", "3", "7"):
        for dataset, values in paper_row(repository, table, "TR2M").items():
            assert values.items() <= found[dataset].items()
    mixed, single = (paper_row(repository, "3", name) for name in ("DA Mix", "DA Single"))
    assert numbers(models["da_mix"], "paper") == mixed
    parts = [numbers(models[f"da_single_{name}"], "paper") for name in ("nyu", "kitti", "c3vd")]
    assert {name: values for part in parts for name, values in part.items()} == single
    assert sum(map(len, parts)) == len(single)


def test_the_papers_numbers_typed_a_second_time(models):
    """Tables 8 and 5, of whose rows the benchmarks hold the paper's side."""
    soc = numbers(models["newcrfs_swinl_soc_50e_nyu"], "paper")
    assert soc == {
        "nyu": {"abs_rel": 0.089, "rmse": 0.318, "d1": 0.932},
        "ibims": {"abs_rel": 0.210, "rmse": 0.882, "d1": 0.550},
    }
    assert numbers(models["text_only"], "paper") == {
        "nyu": {"abs_rel": 0.114, "d1": 0.909},
        "ibims": {"abs_rel": 0.193, "d1": 0.621},
        "diode": {"abs_rel": 0.745, "d1": 0.231},
    }
    assert numbers(models["rsa"], "paper") == {}, "the paper's RSA is not trained by this recipe"


def test_kinds_are_ours_and_only_where_there_are_numbers(models):
    for model in models.values():
        kind = model.metadata.data.get("Kind")
        assert (kind in KINDS) == bool(model.results)
        numbers(model, kind)


def test_parameters(models):
    """As the authors of each count them: the released head, NeWCRFs (270 M), Depth Anything Large (335.3 M)."""
    counted = {name: model.metadata.data["Parameters"] for name, model in models.items()}
    assert counted["tr2m_mixed"] == 18_959_746
    assert counted["tr2m_mini"] == counted["tr2m_mini_finetune"] == pytest.approx(0.31e6, rel=0.02)
    assert counted["newcrfs_swinl_50e_nyu"] == counted["newcrfs_swinl_soc_50e_nyu"] == pytest.approx(270e6, rel=0.01)
    assert counted["da_mix"] == pytest.approx(335.3e6, rel=1e-3)


def test_weights_are_named_where_they_are(repository, models):
    (released,) = yaml.safe_load((repository / "tr2m_plugin" / "inference" / "released.yaml").read_text()).values()
    weights = {name: model.weights for name, model in models.items()}
    assert weights.pop("tr2m_mixed") == released["address"]
    assert (repository / weights.pop("tr2m_mini") / "model.safetensors").is_file()
    assert set(weights.values()) == {zoo.UNTRAINED}


@pytest.mark.parametrize("folder", zoo.FOLDERS)
def test_links_of_the_readmes_lead_somewhere(repository, folder):
    text = (repository / folder / "README.md").read_text()
    targets = re.findall(r"\]\((?!http)([^)#]+)", text)
    assert [target for target in targets if not (repository / folder / target).exists()] == []
