"""Stage `evaluate`: TR2M on the test split, beside what ground truth makes of the relative depth alone."""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from pipelines.params import Stage, run_stage
from pipelines.train import weights_file
from tr2m_plugin import __version__
from tr2m_plugin.checkpoint import state_hash
from tr2m_plugin.datasets.arrays import write_shard
from tr2m_plugin.datasets.readers import reader_of
from tr2m_plugin.datasets.tables import INDEX, read_table, sample_key, write_table
from tr2m_plugin.device import pick_device
from tr2m_plugin.errors import InputError
from tr2m_plugin.evaluation import Alignment, Protocol, protocol_of
from tr2m_plugin.evaluation.results import PER_IMAGE, measure, pick_examples, summarize, write_summary, wrong_texts
from tr2m_plugin.evaluation.tables import write_tables
from tr2m_plugin.inference.model_folder import ModelSpec, build_model, describe_model, load_model
from tr2m_plugin.structures import DepthDataSample
from tr2m_plugin.tools.data import result_kind

METHODS: dict[str, bool] = {
    "tr2m": False,
    "before": False,
    "tr2m_wrong_scene_text": False,
    "tr2m_wrong_domain_text": False,
    "median": True,
    "linear_fit": True,
    "global_fit": True,
    "domain_fit": True,
}
"""Rows of the table, and whether they use ground truth."""

DESCRIPTIONS = {
    "tr2m": "right",
    "before": "right",
    "tr2m_wrong_scene_text": "wrong_scene",
    "tr2m_wrong_domain_text": "wrong_domain",
}
SCALINGS = {
    "median": "Median",
    "linear_fit": "Linear Fit",
    "global_fit": "Global (all datasets)",
    "domain_fit": "Global",
}

EXAMPLES = {
    "dataset": "string",
    "sample_id": "string",
    "rank": "string",  # best, median or worst by AbsRel of TR2M, or only
    "text": "string",
    "unit": "string",
    "abs_rel": "double",
}


def open_split(root: Path, split: str, aligned: bool = False) -> Any:
    """The split's dataset with depth at its own size.

    Args:
        root: the profile's folder.
        split: train, val or test.
        aligned: how pictures are stretched, see `stretch_image`. Default: False.
    """
    from tr2m_plugin.registry import DATASETS, scoped

    steps = [
        {"type": "LoadDepthInputs"},
        {"type": "ResizeDepthInputs", "depth": False, "aligned": aligned},
        {"type": "PackDepthInputs"},
    ]
    pipeline = [{**step, "type": f"tr2m_plugin.{step['type']}"} for step in steps]
    dataset = {"type": "TableDataset", "data_root": str(root), "split": split, "pipeline": pipeline, "test_mode": True}
    return DATASETS.build(scoped(dataset))


def fit_baselines(data: Any, limit: int | None = None) -> dict[str, Alignment]:
    """The alignment that fits a whole split best, under "", and those of each of its datasets.

    Args:
        data: the split's dataset.
        limit: the most pictures that are looked at, evenly spaced. Default: all.
    """
    fits: dict[str, Alignment] = defaultdict(lambda: Alignment("global", "disparity"))
    count = len(data) if limit is None else min(limit, len(data))
    numbers = np.linspace(0, len(data) - 1, count).astype(int).tolist()
    for number in tqdm(numbers, desc="fit baselines", unit="picture", mininterval=1):
        sample = data[number]["data_samples"]
        relative, truth, protocol = unpack(sample)
        for name in ("", sample.dataset):
            fits[name].add(relative, truth, protocol.valid(truth))
    return dict(fits)


def protocol_of_sample(sample: DepthDataSample) -> Protocol:
    """The protocol by which a sample is measured."""
    facts = {name: sample.get(name) for name in ("protocol", "dataset", "depth_range")}
    return protocol_of(facts)


def unpack(sample: DepthDataSample) -> tuple[np.ndarray, np.ndarray, Protocol]:
    """Relative depth at the truth's size, truth, and protocol of a sample."""
    truth, protocol = sample.gt_depth_map.data[0].numpy(), protocol_of_sample(sample)
    return protocol.at_size_of(sample.relative_depth_map.data[0].numpy(), truth), truth, protocol


class Predictor:
    """Runs a TR2M model on samples of a dataset with any of their sentences.

    Args:
        model: TR2M.
        device: torch device.
        batch_size: pictures at a time, of one dataset each, since sizes differ between datasets.
        stand_in: embedding of the sentence of rows whose own is None. Default: none.
    """

    def __init__(
        self, model: torch.nn.Module, device: str, batch_size: int, stand_in: np.ndarray | None = None
    ) -> None:
        self.model, self.device, self.batch_size, self.stand_in = model, device, batch_size, stand_in

    @torch.no_grad()
    def __call__(self, data: Any, texts: Mapping[int, int | None]) -> Iterator[DepthDataSample]:
        """Predicted samples, in order.

        Args:
            data: the dataset.
            texts: for each row to predict, the row whose first sentence it gets; None takes the stand-in.
        """
        for _, group in groupby(texts, key=lambda i: data.get_data_info(i)["dataset"]):
            numbers = list(group)
            for start in range(0, len(numbers), self.batch_size):
                part = numbers[start : start + self.batch_size]
                items = [data[i] for i in part]
                for item, number in zip(items, part, strict=True):
                    item["data_samples"].text_features = self._embedding(data, texts[number])
                batch = {"inputs": [i["inputs"] for i in items], "data_samples": [i["data_samples"] for i in items]}
                for sample in self.model.test_step(batch):
                    yield sample.to("cpu")

    def _embedding(self, data: Any, number: int | None) -> torch.Tensor:
        vector = self.stand_in if number is None else data.get_data_info(number)["text_features"][0]
        return torch.from_numpy(np.asarray(vector, np.float32))[None]


def _measured(method: str, sample: DepthDataSample, depth: np.ndarray) -> dict[str, Any]:
    row = {"dataset": sample.dataset, "sample_id": sample.sample_id}
    return measure(method, row, depth, sample.gt_depth_map.data[0].numpy(), protocol_of_sample(sample))


def measure_texts(
    method: str, predict: Predictor, data: Any, texts: Mapping[int, int | None]
) -> Iterator[dict[str, Any]]:
    """Rows of a model with chosen sentences, as `Predictor` takes them."""
    for sample in tqdm(predict(data, texts), total=len(texts), desc=method, unit="picture", mininterval=1):
        yield _measured(method, sample, sample.pred_depth_map.data[0].numpy())


def evaluate_baselines(data: Any, fits: Mapping[str, Alignment]) -> Iterator[dict[str, Any]]:
    """Rows of the relative model's four alignments."""
    own = {"median": Alignment("median", "disparity"), "linear_fit": Alignment("linear", "disparity")}
    for number in tqdm(range(len(data)), desc="baselines", unit="picture", mininterval=1):
        sample = data[number]["data_samples"]
        relative, truth, protocol = unpack(sample)
        chosen = {**own, "global_fit": fits[""], "domain_fit": fits.get(sample.dataset)}
        for method, alignment in chosen.items():
            if alignment is not None:
                yield _measured(method, sample, alignment.apply(relative, truth, protocol.valid(truth)))


def example_arrays(item: dict[str, Any], sample: DepthDataSample) -> dict[str, np.ndarray]:
    """What a panel of the report shows, by name."""
    return {
        "image": item["inputs"].numpy().transpose(1, 2, 0).round().astype(np.uint8),
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


def choose_texts(rows: Sequence[Mapping[str, Any]], seed: int, stand_in: bool) -> dict[str, dict[int, int | None]]:
    """Which sentence each picture is predicted with: method → row number → number of the row that has it.

    Args:
        rows: of the dataset, with `domain` and `texts`.
        seed: of the draw of wrong sentences.
        stand_in: whether there is a sentence for rows without another domain's, which then get None.
    """
    wrong = wrong_texts(rows, seed)
    return {
        "tr2m": {i: i for i in range(len(rows))},
        "tr2m_wrong_scene_text": {i: j for i, j in enumerate(wrong["scene"]) if j is not None},
        "tr2m_wrong_domain_text": {i: j for i, j in enumerate(wrong["domain"]) if j is not None or stand_in},
    }


def starting_model(spec: ModelSpec, device: str) -> torch.nn.Module | None:
    """The model that fine-tuning started from; None without, or where what it started from was no whole model."""
    start = spec.about.get("load_from")
    if start is None:
        return None
    try:
        return build_model(spec, weights_file(start), device)
    except InputError as error:
        print(f"evaluate: no row of the model before fine-tuning: {error}", file=sys.stderr)
        return None


def describe_methods(
    model: torch.nn.Module, spec: ModelSpec, kind: str, fitted_on: str, before: torch.nn.Module | None = None
) -> dict[str, dict[str, Any]]:
    """What metrics.json says of each method, besides its numbers; `before` is the model before fine-tuning."""
    name, about = describe_model(model, spec)
    ours = {"label": name, "weights": state_hash(model)}
    relative = about["backbone"]
    found = {}
    for method, uses_truth in METHODS.items():
        entry = found[method] = {"kind": kind, "uses_ground_truth": uses_truth, "version": __version__}
        if uses_truth:
            entry |= {"label": relative, "about": {"type": "I → R", "scaling": SCALINGS[method], "backbone": relative}}
        else:
            entry |= {**ours, "about": {**about, "description": DESCRIPTIONS[method]}}
        entry["about"]["domains"] = "Multiple"
        if method in ("global_fit", "domain_fit"):
            entry["fitted_on"] = fitted_on
    if before is not None:
        found["before"] |= {"label": f"{name} before fine-tuning", "weights": state_hash(before)}
    return found


def stage(run: Stage) -> None:
    """Writes metrics.json, the tables, the table per image and the examples for the report."""
    device = pick_device(run.params.get("device", "auto"))
    model, spec = load_model(run.root / "model", device)
    aligned = bool(spec.relative_depth.get("aligned", False))
    data = open_split(run.root, "test", aligned)
    rows = [_facts(data.get_data_info(i)) for i in range(len(data))]
    if any(row["depth"] is None for row in rows):
        raise InputError(
            "the test split has pictures without depth, which nothing can be measured on: see `tr2m predict`"
        )
    _refuse_mirrors(rows)
    wrong_text = run.params.get("wrong_text")
    stand_in = text_embedding(spec, wrong_text, device) if wrong_text else None
    predict = Predictor(model, device, run.params.get("batch_size", 32), stand_in)
    results = []
    for method, texts in choose_texts(rows, run.params.get("seed", 0), stand_in is not None).items():
        results += measure_texts(method, predict, data, texts)
    fitted_on = run.params.get("fit_on", "train")
    if not any(row["split"] == fitted_on for row in read_table(run.root / "index.parquet", INDEX)):
        fitted_on = "test"  # nothing to train on: the evaluated pictures themselves
    fitted = data if fitted_on == "test" else open_split(run.root, fitted_on, aligned)
    before = starting_model(spec, device)
    if before is not None:
        start = Predictor(before, device, predict.batch_size)
        results += measure_texts("before", start, data, {i: i for i in range(len(rows))})
    results += evaluate_baselines(data, fit_baselines(fitted, run.params.get("fit_limit")))

    folder = run.root / "evaluation"
    folder.mkdir(parents=True, exist_ok=True)
    write_table(folder / "per_image.parquet", PER_IMAGE, results)
    _write_examples(folder, pick_examples(results, "tr2m"), data, predict)
    kind = run.params.get("kind", "fixture")
    methods = describe_methods(model, spec, kind, fitted_on, before)
    counts = Counter(row["dataset"] for row in rows)
    report = summarize(results, methods, {row["dataset"]: _dataset_facts(row, counts, kind) for row in rows})
    Path("metrics.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    write_summary(folder / "summary.csv", report)
    write_tables(folder, report)


def _refuse_mirrors(rows: Sequence[Mapping[str, Any]]) -> None:
    for row in {row["dataset"]: row for row in rows}.values():
        if protocol_of(row).flip_average:
            raise InputError(
                f"the protocol {row['protocol']!r} of {row['dataset']} averages with the mirror image, of which there "
                "is no relative depth here: index with another protocol, and measure this one with `tr2m evaluate`"
            )


def _facts(info: Mapping[str, Any]) -> dict[str, Any]:
    return {**{name: info[name] for name in INDEX}, "texts": info["texts"][:1]}


def _dataset_facts(row: Mapping[str, Any], counts: Mapping[str, int], kind: str) -> dict[str, Any]:
    """What is said of a dataset's results; those of a part of a published one are fixtures."""
    protocol = protocol_of(row)
    facts = {"unit": row["unit"], "protocol": protocol.name, "protocol_hash": protocol.hash, "kind": kind}
    if kind == "reproduced":
        facts["kind"] = result_kind(row["reader"], counts[row["dataset"]], protocol)
    if row["reader"]:
        facts["published"] = reader_of(row["reader"]).counts.get("test")
    return facts


def _write_examples(folder: Path, chosen: Mapping[str, Mapping[str, Any]], data: Any, predict: Predictor) -> None:
    numbers = {sample_key(data.get_data_info(i)): i for i in range(len(data))}
    picked = [{**row, "rank": rank} for ranks in chosen.values() for rank, row in ranks.items()]
    arrays, table = {}, []
    for example in picked:
        number = numbers[sample_key(example)]
        (sample,) = predict(data, {number: number})
        table.append({**example, "text": sample.text, "unit": sample.unit})
        for name, array in example_arrays(data[number], sample).items():
            arrays[f"{example['dataset']}/{example['rank']}/{name}"] = array
    write_table(folder / "examples.parquet", EXAMPLES, table)
    write_shard(folder / "examples.safetensors", arrays)


if __name__ == "__main__":
    run_stage("evaluate", __doc__, stage)
