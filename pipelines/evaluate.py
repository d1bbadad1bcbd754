"""Stage `evaluate`: TR2M on the test split, beside what ground truth makes of the relative depth alone."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from pipelines.params import Stage, run_stage
from tr2m_plugin.datasets.arrays import write_shard
from tr2m_plugin.datasets.tables import sample_key, write_table
from tr2m_plugin.device import pick_device
from tr2m_plugin.errors import InputError
from tr2m_plugin.evaluation import (
    METRICS,
    Protocol,
    ScaleShiftFit,
    apply_scale_shift,
    depth_metrics,
    linear_fit,
    median_scale,
    resize_prediction,
)
from tr2m_plugin.inference.model_folder import ModelSpec, load_model
from tr2m_plugin.structures import DepthDataSample

METHODS: dict[str, bool] = {
    "tr2m": False,
    "tr2m_wrong_scene_text": False,
    "tr2m_wrong_domain_text": False,
    "median": True,
    "linear_fit": True,
    "global_fit": True,
    "domain_fit": True,
}
"""Rows of the table, and whether they use ground truth."""

PER_IMAGE = {"method": "string", "dataset": "string", "sample_id": "string", **dict.fromkeys(METRICS, "double")}
EXAMPLES = {
    "dataset": "string",
    "sample_id": "string",
    "rank": "string",  # best, median or worst by AbsRel of TR2M
    "text": "string",
    "unit": "string",
    "abs_rel": "double",
}


def open_split(root: Path, split: str) -> Any:
    """The split's dataset with depth at its own size."""
    from tr2m_plugin.registry import DATASETS, scoped

    steps = [{"type": "LoadDepthInputs"}, {"type": "ResizeDepthInputs", "depth": False}, {"type": "PackDepthInputs"}]
    pipeline = [{**step, "type": f"tr2m_plugin.{step['type']}"} for step in steps]
    dataset = {"type": "TableDataset", "data_root": str(root), "split": split, "pipeline": pipeline, "test_mode": True}
    return DATASETS.build(scoped(dataset))


def fit_baselines(data: Any) -> dict[str, tuple[float, float]]:
    """Scale and shift that fit a whole split best, under "", and those of each of its datasets."""
    fits: dict[str, ScaleShiftFit] = defaultdict(ScaleShiftFit)
    for item in tqdm(data, desc="fit baselines", unit="picture", mininterval=1):
        sample = item["data_samples"]
        relative, truth, protocol = unpack(sample)
        for name in ("", sample.dataset):
            fits[name].add(relative, truth, protocol.valid(truth))
    return {name: fit.solve() for name, fit in fits.items()}


def unpack(sample: DepthDataSample) -> tuple[np.ndarray, np.ndarray, Protocol]:
    """Relative depth at the truth's size, truth, and protocol of a sample."""
    truth = sample.gt_depth_map.data[0].numpy()
    relative = resize_prediction(sample.relative_depth_map.data[0].numpy(), truth.shape)
    return relative, truth, Protocol(sample.depth_range)


def wrong_texts(rows: Sequence[dict[str, Any]], seed: int) -> dict[str, list[int | None]]:
    """For each row, another row whose sentence is wrong for it, by a seeded draw (paper, Table 10).

    Returns:
        Two lists of row numbers: `scene` takes a row of the same domain with another sentence, `domain` one of another
        domain; None where there is none.
    """
    rng = np.random.default_rng(seed)
    domains = np.array([row["domain"] for row in rows])
    sentences = np.array([row["texts"][0] for row in rows])

    def draw(allowed: np.ndarray) -> int | None:
        return int(rng.choice(np.flatnonzero(allowed))) if allowed.any() else None

    return {
        "domain": [draw(domains != domains[i]) for i in range(len(rows))],
        "scene": [draw((domains == domains[i]) & (sentences != sentences[i])) for i in range(len(rows))],
    }


class Predictor:
    """Runs a TR2M model on samples of a dataset with any of their sentences."""

    def __init__(self, model: torch.nn.Module, device: str, batch_size: int) -> None:
        self.model, self.device, self.batch_size = model, device, batch_size

    @torch.no_grad()
    def __call__(self, data: Any, numbers: Sequence[int], texts: Sequence[Any]) -> Iterator[DepthDataSample]:
        """Predicted samples, in order.

        Args:
            data: the dataset.
            numbers: which rows to predict.
            texts: the embedding of the sentence that each of them gets, (T,).
        """
        for start in range(0, len(numbers), self.batch_size):
            part = slice(start, start + self.batch_size)
            items = [data[i] for i in numbers[part]]
            for item, vector in zip(items, texts[part], strict=True):
                item["data_samples"].text_features = torch.from_numpy(np.asarray(vector, np.float32))[None]
            batch = {"inputs": [i["inputs"] for i in items], "data_samples": [i["data_samples"] for i in items]}
            for sample in self.model.test_step(batch):
                yield sample.to("cpu")


def measure(sample: DepthDataSample, pred: np.ndarray) -> dict[str, float]:
    """Metrics of a prediction for a sample by its dataset's protocol."""
    _, truth, protocol = unpack(sample)
    return depth_metrics(*protocol.compare(pred, truth))


def evaluate_baselines(data: Any, fits: dict[str, tuple[float, float]]) -> Iterator[dict[str, Any]]:
    """Rows of the relative model's four alignments."""
    for item in tqdm(data, desc="baselines", unit="picture", mininterval=1):
        sample = item["data_samples"]
        relative, truth, protocol = unpack(sample)
        valid = protocol.valid(truth)
        choices = {
            "median": median_scale(relative, truth, valid),
            "linear_fit": linear_fit(relative, truth, valid),
            "global_fit": fits[""],
            "domain_fit": fits.get(sample.dataset),
        }
        for method, choice in choices.items():
            if choice is not None:
                yield _row(method, sample, measure(sample, apply_scale_shift(relative, *choice)))


def _row(method: str, sample: DepthDataSample, values: dict[str, float]) -> dict[str, Any]:
    return {"method": method, "dataset": sample.dataset, "sample_id": sample.sample_id, **values}


def summarize(rows: Sequence[dict[str, Any]], kind: str, units: dict[str, str]) -> dict[str, Any]:
    """Method → dataset → metric → mean over images; images without valid depth are counted, not averaged."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["method"], row["dataset"]].append(row)
    report: dict[str, Any] = {}
    for (method, dataset), members in groups.items():
        entry = report.setdefault(method, {"kind": kind, "uses_ground_truth": METHODS[method]})
        table = np.array([[row[name] for name in METRICS] for row in members])
        good = ~np.isnan(table).any(1)
        means = table[good].mean(0) if good.any() else np.full(len(METRICS), np.nan)
        entry[dataset] = {name: round(float(v), 5) for name, v in zip(METRICS, means, strict=True)}
        entry[dataset] |= {"images": len(members), "empty": int((~good).sum()), "unit": units[dataset]}
    return report


def pick_examples(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Best, median and worst image of each dataset by TR2M's AbsRel."""
    by_dataset: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["method"] == "tr2m" and not np.isnan(row["abs_rel"]):
            by_dataset[row["dataset"]].append(row)
    chosen = []
    for members in by_dataset.values():
        ranked = sorted(members, key=lambda row: row["abs_rel"])
        picks = {"best": ranked[0], "median": ranked[len(ranked) // 2], "worst": ranked[-1]}
        chosen += [{**row, "rank": rank} for rank, row in picks.items()]
    return chosen


def example_arrays(item: dict[str, Any], sample: DepthDataSample) -> dict[str, np.ndarray]:
    """What a panel of the report shows, by name."""
    return {
        "image": item["inputs"].numpy().transpose(1, 2, 0),
        "relative": sample.relative_depth_map.data[0].numpy(),
        "scale": sample.scale_map.data[0].numpy(),
        "shift": sample.shift_map.data[0].numpy(),
        "pred": sample.pred_depth_map.data[0].numpy(),
        "truth": sample.gt_depth_map.data[0].numpy(),
    }


def text_embedding(spec: ModelSpec, text: str, device: str) -> np.ndarray:
    """The embedding of a sentence, (T,), by the text encoder that the model was trained with."""
    from tr2m_plugin.registry import MODELS, scoped

    return MODELS.build(scoped(spec.text_encoder)).to(device)([text])[0, 0].cpu().numpy()


def choose_texts(
    rows: Sequence[dict[str, Any]], seed: int, stand_in: np.ndarray | None
) -> dict[str, dict[int, np.ndarray]]:
    """Which sentence each picture is predicted with: method → row number → embedding.

    Args:
        rows: of the dataset.
        seed: of the draw of wrong sentences.
        stand_in: takes the place of another domain's sentence where the rows have one domain only.
    """

    def vector(number: int) -> np.ndarray:
        return rows[number]["text_features"][0]

    wrong = wrong_texts(rows, seed)
    domain = {i: stand_in if j is None else vector(j) for i, j in enumerate(wrong["domain"])}
    return {
        "tr2m": {i: vector(i) for i in range(len(rows))},
        "tr2m_wrong_scene_text": {i: vector(j) for i, j in enumerate(wrong["scene"]) if j is not None},
        "tr2m_wrong_domain_text": {i: v for i, v in domain.items() if v is not None},
    }


def stage(run: Stage) -> None:
    """Writes metrics.json, the table per image and the examples for the report."""
    device = pick_device(run.params.get("device", "auto"))
    model, spec = load_model(run.root / "model", device)
    data = open_split(run.root, "test")
    rows = [data.get_data_info(i) for i in range(len(data))]
    if any(row["depth"] is None for row in rows):
        raise InputError(
            "the test split has pictures without depth, which nothing can be measured on: see `tr2m predict`"
        )
    predict = Predictor(model, device, run.params.get("batch_size", 32))
    wrong_text = run.params.get("wrong_text")
    stand_in = text_embedding(spec, wrong_text, device) if wrong_text else None
    results = []
    for method, texts in choose_texts(rows, run.params.get("seed", 0), stand_in).items():
        samples = predict(data, list(texts), list(texts.values()))
        results += [
            _row(method, sample, measure(sample, sample.pred_depth_map.data[0].numpy()))
            for sample in tqdm(samples, total=len(texts), desc=method, unit="picture", mininterval=1)
        ]
    try:
        fitted_on, fitted = "train", open_split(run.root, "train")
    except InputError:  # nothing to train on: the evaluated pictures themselves
        fitted_on, fitted = "test", data
    results += evaluate_baselines(data, fit_baselines(fitted))

    folder = run.root / "evaluation"
    write_table(folder / "per_image.parquet", PER_IMAGE, results)
    _write_examples(folder, pick_examples(results), data, predict)
    units = {row["dataset"]: row["unit"] for row in rows}
    report = summarize(results, run.params.get("kind", "fixture"), units)
    for method in ("global_fit", "domain_fit"):
        if method in report:
            report[method]["fitted_on"] = fitted_on
    Path("metrics.json").write_text(json.dumps(report, indent=1) + "\n")


def _write_examples(folder: Path, chosen: Sequence[dict[str, Any]], data: Any, predict: Predictor) -> None:
    rows = [data.get_data_info(i) for i in range(len(data))]
    numbers = {sample_key(row): i for i, row in enumerate(rows)}
    indices = [numbers[sample_key(example)] for example in chosen]
    texts = [rows[i]["text_features"][0] for i in indices]
    arrays, table = {}, []
    for example, i, sample in zip(chosen, indices, predict(data, indices, texts), strict=True):
        table.append({**example, "text": sample.text, "unit": sample.unit})
        for name, array in example_arrays(data[i], sample).items():
            arrays[f"{example['dataset']}/{example['rank']}/{name}"] = array
    write_table(folder / "examples.parquet", EXAMPLES, table)
    write_shard(folder / "examples.safetensors", arrays)


if __name__ == "__main__":
    run_stage("evaluate", __doc__, stage)
