"""The model zoo: metafiles for `mim search` and `mim download`, and the tables of the config folders' READMEs.

    python -m benchmarks.zoo

Writes them anew from the configs, the packaged model's metrics.json, the paper's tables and the paper's rows in
`benchmarks`. Nothing is trained or fetched.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from mmengine.config import ConfigDict

from benchmarks import ablations, table8
from benchmarks.ablations import number
from tr2m_plugin.benchmark.paper_tables import HEADINGS, PAPER, TABLES
from tr2m_plugin.benchmark.results import KINDS
from tr2m_plugin.inference.released import AUTHORS, PACKAGED, releases
from tr2m_plugin.registry import MODELS
from tr2m_plugin.tools.train import load_config

ROOT = Path(__file__).parent.parent
COMMAND = "python -m benchmarks.zoo"
FOLDERS = {
    "configs": ("TR2M", "https://arxiv.org/abs/2506.13387"),
    "configs/ablations": ("TR2M", None),
    "configs/newcrfs": ("NeWCRFs", "https://arxiv.org/abs/2203.01502"),
    "configs/depth_anything": ("Depth Anything", "https://arxiv.org/abs/2401.10891"),
}
"""Folders of configs, the collection that theirs are in, and its paper in the folder that defines it."""

SHOWN = ("abs_rel", "d1")
FIXTURE = ("abs_rel", "rmse", "d1")
START, END = f"<!-- {COMMAND} -->", "<!-- end -->"

# `mim download` takes what is behind an address's last slash for the file's name, and fetches nothing where there is
# no name; without any weights it fails over a value that is no text, and does not even write the config.
UNTRAINED = "none: to be trained/"


def configs(folder: str) -> list[Path]:
    """The configs of a folder, without those below it."""
    return sorted((ROOT / folder).glob("*.py"))


def title(file: Path) -> str:
    """The first sentence of a config's docstring."""
    return (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").split("\n")[0]


def count(model: ConfigDict) -> int:
    """How many parameters a config trains, projectors of the contrast aside."""
    with torch.device("meta"):
        if model.type == "TR2M":  # whose encoders are frozen
            network = MODELS.build(model.rescale_net)
        elif model.type == "NeWCRFs":
            network = MODELS.build({**model, "pretrained": None})
        else:
            network = depth_anything_large()
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def depth_anything_large() -> torch.nn.Module:
    """The structure of LiheYoung/depth-anything-large-hf, which is not fetched to count it."""
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config

    stages = [f"stage{number}" for number in (21, 22, 23, 24)]
    backbone = Dinov2Config(
        hidden_size=1024,
        num_hidden_layers=24,
        num_attention_heads=16,
        image_size=518,
        out_features=stages,
        reshape_hidden_states=False,
    )
    widths = {"reassemble_hidden_size": 1024, "neck_hidden_sizes": [256, 512, 1024, 1024], "fusion_hidden_size": 256}
    return DepthAnythingForDepthEstimation(DepthAnythingConfig(backbone_config=backbone, **widths))


def paper_rows(method: str) -> dict[str, dict[str, float]]:
    """The paper's metrics by dataset of a method of Tables 1, 2, 3 and 7."""
    found: dict[str, dict[str, float]] = {}
    for table in ("1", "2", "3", "7"):
        for row in TABLES[table]["rows"]:
            if method in (row.get("model"), row.get("method")):
                for dataset, values in row["values"].items():
                    found.setdefault(dataset, {}).update(values)
    return found


def paper_numbers(name: str, config: ConfigDict) -> dict[str, dict[str, float]]:
    """The paper's metrics by dataset of what a config trains; empty where it has none."""
    if name == "tr2m_mixed":
        return paper_rows("TR2M")
    if name.startswith("da_"):
        rows = paper_rows("DA Mix" if name == "da_mix" else "DA Single")
        return {dataset: rows[dataset] for dataset in config.test_dataloader.dataset.datasets if dataset in rows}
    if name.startswith("newcrfs_swinl"):
        (_, values) = table8.ROWS[name.replace("swinl", "swinmini").replace("50e_nyu", "12e_rooms")]
        return by_dataset(values, ("nyu", "ibims"), table8.METRICS)
    values = {row.config: row.paper for row in ablations.ROWS}.get(name) or ()
    titles = {about["title"]: dataset for dataset, about in PAPER["datasets"].items()}
    return by_dataset(values, [titles[shown] for shown in ablations.PAPER], ablations.METRICS)


def by_dataset(values: Sequence[float], datasets: Sequence[str], metrics: Sequence[str]) -> dict[str, dict[str, float]]:
    """Numbers in a row, of dataset after dataset, under their names."""
    step = len(metrics)
    starts = range(0, len(values), step)
    return {
        name: dict(zip(metrics, values[at : at + step], strict=True))
        for name, at in zip(datasets, starts, strict=False)
    }


def fixture_numbers() -> dict[str, dict[str, float]]:
    """The packaged model's metrics by dataset, from its metrics.json."""
    file = ROOT / "tr2m_plugin" / "weights" / PACKAGED / "metrics.json"
    datasets = json.loads(file.read_text(encoding="utf-8"))["TR2M"]["datasets"]
    return {name: {metric: values[metric] for metric in FIXTURE} for name, values in datasets.items()}


def units() -> dict[str, str]:
    """The unit of every dataset's depth, and so of its RMSE."""
    file = ROOT / "tr2m_plugin" / "weights" / PACKAGED / "metrics.json"
    world = json.loads(file.read_text(encoding="utf-8"))["TR2M"]["datasets"]
    return {name: about["unit"] for name, about in {**PAPER["datasets"], **world}.items()}


def trained_on(config: ConfigDict) -> list[str]:
    """The datasets that a config trains on; of one that takes all there are, those of the miniature world."""
    named = config.train_dataloader.dataset.get("datasets")
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    world = params["profiles"]["mini"]["render"]["datasets"]
    return list(named or [name for name, sizes in world.items() if "train" in sizes])


def entry(folder: str, file: Path) -> dict[str, Any]:
    """A config as a model of the metafile."""
    name = file.stem
    config = load_config(str(file), base="tr2m_mixed")
    numbers, kind = (fixture_numbers(), "fixture") if name == PACKAGED else (paper_numbers(name, config), "paper")
    loop = config.train_cfg
    length = {"Epochs": loop.max_epochs} if "max_epochs" in loop else {"Iterations": loop.max_iters}
    metadata: dict[str, Any] = {
        "Training Data": trained_on(config),
        **length,
        "Batch Size": config.train_dataloader.batch_size,
        "Parameters": count(config.model),
    }
    weights = UNTRAINED
    if name == "tr2m_mixed":
        weights = releases()[AUTHORS].address
        metadata |= {"Opened As": AUTHORS, "Weights Licence": "none stated by the authors"}
    elif name == PACKAGED:
        weights = f"tr2m_plugin/weights/{PACKAGED}/"
        metadata |= {"Opened As": PACKAGED, "Weights Licence": "Apache-2.0"}
    if numbers:
        metadata["Kind"] = kind
    found = {
        "Name": name,
        "In Collection": FOLDERS[folder][0],
        "Config": f"{folder}/{file.name}",
        "README": f"{folder}/README.md",
        "Metadata": metadata,
        "Weights": weights,
    }
    if numbers:
        found["Results"] = [result(dataset, kind, values) for dataset, values in numbers.items()]
    return found


def result(dataset: str, kind: str, values: Mapping[str, float | None]) -> dict[str, Any]:
    """A dataset's numbers as a result of the metafile, without what the paper prints as "-".

    The kind is part of a metric's name, as RMSE's unit is: `mim search --field d1` shows nothing else.
    """
    unit = units()[dataset]
    marks = {name: f"{kind}, {unit}" if name == "rmse" else kind for name in values}
    metrics = {f"{name} ({marks[name]})": value for name, value in values.items() if value is not None}
    return {"Task": "Monocular Depth Estimation", "Dataset": dataset, "Metrics": metrics}


def metafile(folder: str) -> str:
    """The text of a folder's metafile.yml."""
    name, paper = FOLDERS[folder]
    found: dict[str, Any] = {}
    if paper:
        found["Collections"] = [{"Name": name, "Paper": paper, "README": f"{folder}/README.md"}]
    found["Models"] = [entry(folder, file) for file in configs(folder)]
    head = f"# Written by `{COMMAND}`. What is in brackets after a metric is the kind of its number.\n"
    return head + yaml.safe_dump(found, sort_keys=False, width=120, allow_unicode=True)


def tables(folder: str) -> str:
    """A folder's configs and their numbers in Markdown."""
    models = yaml.safe_load(metafile(folder))["Models"]
    lines = ["| config | | trained on | parameters |", "|---|---|---|---|"]
    for model in models:
        about, file = model["Metadata"], Path(model["Config"])
        link = f"[{file.stem}]({file.name})"
        trained = ", ".join(about["Training Data"])
        lines.append(f"| {link} | {title(ROOT / file)} | {trained} | {about['Parameters']:,} |")
    for kind in KINDS:
        marked = [model for model in models if model["Metadata"].get("Kind") == kind]
        if marked:
            lines += ["", f"Kind: **{kind}**. {' / '.join(HEADINGS[metric] for metric in SHOWN)}.", ""]
            lines += numbers_table(marked, kind)
    return "\n".join(lines)


def numbers_table(models: Sequence[Mapping[str, Any]], kind: str) -> list[str]:
    """A line per model and a column per dataset, of numbers of one kind."""
    results = {model["Name"]: {one["Dataset"]: one["Metrics"] for one in model["Results"]} for model in models}
    datasets = list(dict.fromkeys(dataset for values in results.values() for dataset in values))
    lines = [f"| | {' | '.join(datasets)} |", "|---|" + "---|" * len(datasets)]
    for name, values in results.items():
        cells = [
            " / ".join(number(values[d][f"{metric} ({kind})"]) for metric in SHOWN) if d in values else ""
            for d in datasets
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def readme(folder: str) -> str:
    """A folder's README with its tables anew; the rest is as it was."""
    text = (ROOT / folder / "README.md").read_text(encoding="utf-8")
    block = f"{START}\n{tables(folder)}\n{END}"
    return re.sub(f"{re.escape(START)}.*{re.escape(END)}", lambda _: block, text, flags=re.DOTALL)


def main() -> None:
    for folder in FOLDERS:
        for name, text in (("metafile.yml", metafile(folder)), ("README.md", readme(folder))):
            (ROOT / folder / name).write_text(text, encoding="utf-8")
            print(f"written: {folder}/{name}")


if __name__ == "__main__":
    main()
