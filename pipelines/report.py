"""Stage `report`: one page that opens from disk, with the table, the curves and the pictures."""

from __future__ import annotations

import csv
import shutil
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pipelines.examples import ExampleRow
from pipelines.params import Stage, run_stage
from tr2m_plugin.benchmark.paper_tables import HEADINGS, TABLES, Table, build_table
from tr2m_plugin.benchmark.results import read_metrics
from tr2m_plugin.datasets.arrays import read_array, read_image
from tr2m_plugin.datasets.parquet import read_rows
from tr2m_plugin.errors import require
from tr2m_plugin.evaluation import HIGHER_IS_BETTER
from tr2m_plugin.inference.model_folder import load_spec
from tr2m_plugin.inference.outputs import write_png
from tr2m_plugin.rows import IndexRow
from tr2m_plugin.tensors import resize_prediction
from tr2m_plugin.visualization import DEPTH_COLORS, colorize, colorize_depth, error_map, inverse_limits
from tr2m_plugin.visualization.text import write_text

SHOWN = ("d1", "d2", "d3", "abs_rel", "rmse", "rmse_log", "log10", "silog")
TILES = ("picture", "relative depth", "scale map A", "shift map B", "prediction", "truth", "error")
RANKS = ("only", "best", "median", "worst")
CURVES = {"loss": "loss", "abs_rel": "AbsRel, validation", "d1": "δ1, validation"}
TILE_HEIGHT = 168


def _save(path: Path, figure: Figure) -> str:
    FigureCanvasAgg(figure).print_png(str(path))
    return path.name


def read_curves(*paths: Path) -> dict[str, list[tuple[int, float]]]:
    """Iterations and values by name, of CSV files that `pipelines.train` wrote."""
    series: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for path in paths:
        with open(path, newline="") as file:
            for row in csv.DictReader(file):
                step = int(row.pop("iteration"))
                for name, value in row.items():
                    if value:
                        series[name].append((step, float(value)))
    return series


def curve_labels(series: Iterable[str], panel: str) -> dict[str, str]:
    """Label → name of the curves that belong into a panel of `CURVES`: losses, or a metric's mean and its datasets."""
    if panel == "loss":
        return {"sum" if name == panel else name: name for name in sorted(series) if name.startswith(panel)}
    return {
        "mean" if name == panel else name.removesuffix(f"/{panel}"): name
        for name in sorted(series)
        if name == panel or name.endswith(f"/{panel}")
    }


def curves_figure(series: dict[str, list[tuple[int, float]]]) -> Figure:
    """Losses and validation metrics over training iterations: one colour per dataset, axes only for what there is."""
    panels = {panel: found for panel in CURVES if (found := curve_labels(series, panel))}
    figure = Figure(figsize=(11 * len(panels) / len(CURVES), 3.4), layout="constrained")
    datasets = sorted({label for panel, found in panels.items() if panel != "loss" for label in found} - {"mean"})
    colors = {"mean": "black", **{name: f"C{i}" for i, name in enumerate(datasets)}}
    for axes, (panel, found) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        for label, name in found.items():
            points = series[name]
            marker = "." if len(points) < 30 else None
            axes.plot(*zip(*points, strict=True), label=label, marker=marker, color=colors.get(label))
        axes.set(title=CURVES[panel], xlabel="iteration")
        if panel == "loss":
            axes.set_yscale("log")
        axes.legend(fontsize=7)
        axes.grid(alpha=0.3)
    return figure


def draw_bars(path: Path, metrics: dict[str, Any], datasets: Sequence[str]) -> str:
    """δ1 of every method on every dataset."""
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    axes = figure.add_subplot()
    width = 0.8 / len(metrics)
    for i, (method, entry) in enumerate(metrics.items()):
        heights = [entry["datasets"].get(name, {}).get("d1") or np.nan for name in datasets]
        style: dict[str, Any] = {"alpha": 0.5, "hatch": "//"} if entry["uses_ground_truth"] else {}
        places = np.arange(len(datasets)) + (i - len(metrics) / 2 + 0.5) * width
        axes.bar(places, heights, width, label=method, **style)
    axes.set(ylabel="δ1", ylim=(0, 1), title="δ1 on the test split (hatched: uses ground truth)")
    axes.set_xticks(range(len(datasets)), datasets)
    axes.legend(fontsize=7, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.1))
    axes.grid(alpha=0.3, axis="y")
    return _save(path, figure)


def _spread(values: np.ndarray, colors: str) -> np.ndarray:
    return colorize(values, float(values.min()), float(values.max()), colors)


def draw_panel(path: Path, arrays: dict[str, np.ndarray]) -> dict[str, str]:
    """A row of tiles for one picture; returns what their colours mean."""
    truth = arrays["truth"]
    pred = resize_prediction(arrays["pred"], truth.shape)
    near, far = inverse_limits(truth if (truth > 0).any() else pred)
    relative, scale, shift = arrays["relative"], arrays["scale"], arrays["shift"]
    tiles = [
        arrays["image"],
        _spread(relative, f"{DEPTH_COLORS}_r"),
        _spread(np.log(scale.clip(1e-9)), "viridis"),
        _spread(np.log(shift.clip(1e-9)), "viridis"),
        colorize_depth(pred, near, far),
        colorize_depth(truth, near, far),
        error_map(pred, truth),
    ]
    width = min(round(TILE_HEIGHT * arrays["image"].shape[1] / arrays["image"].shape[0]), 8 * TILE_HEIGHT)
    gap = np.full((TILE_HEIGHT, 4, 3), 255, np.uint8)
    row = [
        part
        for tile in tiles
        for part in (cv2.resize(tile, (width, TILE_HEIGHT), interpolation=cv2.INTER_NEAREST), gap)
    ]
    write_png(path, np.hstack(row[:-1])[..., ::-1])
    return {
        "depth": f"{near:.3g} to {far:.3g}",
        "scale": f"{scale.min():.3g} to {scale.max():.3g}",
        "shift": f"{shift.min():.3g} to {shift.max():.3g}",
        "predicted": f"{pred.min():.3g} to {pred.max():.3g}",
    }


def draw_overview(path: Path, panels: dict[str, Path]) -> str:
    """The panels of several datasets, by name, one below the other."""
    figure = Figure(figsize=(11, 0.3 + 1.25 * len(panels)), layout="constrained")
    rows = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
    for axes, (name, panel) in zip(rows, panels.items(), strict=True):
        axes.imshow(read_image(str(panel)))
        axes.set(xticks=[], yticks=[])
        write_text(axes.set_ylabel, name, 16, fontsize=9)
        axes.spines[:].set_visible(False)
    for i, tile in enumerate(TILES):
        rows[0].text((i + 0.5) / len(TILES), 1.04, tile, fontsize=9, ha="center", transform=rows[0].transAxes)
    return _save(path, figure)


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def table_rows(metrics: dict[str, Any], dataset: str) -> list[dict[str, Any]]:
    """The table of one dataset, its best value without ground truth marked."""
    present = {method: entry for method, entry in metrics.items() if dataset in entry["datasets"]}
    fair = [entry["datasets"][dataset] for entry in present.values() if not entry["uses_ground_truth"]]
    best = {
        name: (max if name in HIGHER_IS_BETTER else min)(
            (found[name] for found in fair if found[name] is not None), default=None
        )
        for name in SHOWN
    }
    rows = []
    for method, entry in present.items():
        found, grey = entry["datasets"][dataset], entry["uses_ground_truth"]
        cells = [{"text": _cell(found[name]), "best": not grey and found[name] == best[name]} for name in SHOWN]
        label = method + (" (here of these pictures)" if entry.get("fitted_on") == "test" else "")
        rows.append({"label": label, "kind": found.get("kind", entry["kind"]), "uses_truth": grey, "cells": cells})
    return rows


def draw_panels(evaluation: Path, dataset: str, images: Path) -> list[dict[str, Any]]:
    """Draws a dataset's panels from what the stage `evaluate` wrote; what the page says of each, best first."""
    table = read_rows(evaluation / "examples.parquet", ExampleRow)
    examples = {example.rank: example for example in table if example.dataset == dataset}
    panels = []
    for rank in (rank for rank in RANKS if rank in examples):
        shard = evaluation / "examples.safetensors"
        names = ("image", "relative", "scale", "shift", "pred", "truth")
        arrays = {key: read_array(f"{shard}#{dataset}/{rank}/{key}") for key in names}
        file = f"{dataset}_{rank}.png".replace("/", "_")
        panels.append({**vars(examples[rank]), "file": file, "ranges": draw_panel(images / file, arrays)})
    return panels


def middle_panel(panels: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The median picture's panel, or the first where two pictures or one have none."""
    return next((panel for panel in panels if panel["rank"] == "median"), panels[0])


def has_measured(table: Table) -> bool:
    """Whether a table of the paper has rows of ours."""
    return any(row.measured for row in table.rows)


def stage(run: Stage) -> None:
    """Draws the pictures and fills the page."""
    jinja2 = require("jinja2", "to write the report", "pipeline")
    metrics = read_metrics(Path("metrics.json"))
    main = next(iter(metrics.values()))
    folder, images = Path("report"), Path("report") / "images"
    shutil.rmtree(folder, ignore_errors=True)
    images.mkdir(parents=True)

    rows = read_rows(run.root / "index.parquet", IndexRow)
    untrained = load_spec(run.root / "model").about.get("weights")  # that were taken as they are
    trained = set() if untrained else {row.dataset for row in rows if row.split == "train"}
    datasets = list(main["datasets"])
    panels = {name: draw_panels(run.root / "evaluation", name, images) for name in datasets}
    sections = [
        {
            "name": name,
            "trained": name in trained,
            "facts": main["datasets"][name],
            "rows": table_rows(metrics, name),
            "panels": panels[name],
        }
        for name in datasets
    ]
    curves = read_curves(run.root / "losses.csv", run.root / "validation.csv")
    if curves:
        _save(images / "curves.png", curves_figure(curves))
    draw_bars(images / "d1.png", metrics, datasets)
    overview = {s["name"]: images / middle_panel(s["panels"])["file"] for s in sections if s["panels"]}
    if overview:
        draw_overview(images / "overview.png", overview)

    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    tables = [table for table in (build_table(number, metrics) for number in TABLES) if has_measured(table)]
    page = jinja2.Environment(loader=loader, autoescape=True).get_template("report.html")
    text = page.render(
        title=run.params.get("title", "TR2M"),
        kind=main["kind"],
        note=run.params.get("note", ""),
        headings=[HEADINGS[name] for name in SHOWN],
        sections=sections,
        tables=tables,
        overview=bool(overview),
        untrained=untrained,
        curves=bool(curves),
        validated=any(curve_labels(curves, panel) for panel in ("abs_rel", "d1")),
        tiles=TILES,
    )
    (folder / "index.html").write_text(text, encoding="utf-8")
    print(f"report: {folder / 'index.html'}; numbers: metrics.json")


if __name__ == "__main__":
    run_stage("report", __doc__, stage)
