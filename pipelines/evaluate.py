"""Stage `evaluate`: TR2M on the test split, beside what ground truth makes of the relative depth alone."""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from pipelines.params import Stage, run_stage
from pipelines.samples import Predictor, Samples
from pipelines.train import weights_file
from tr2m_plugin import __version__
from tr2m_plugin.benchmark.datasets import result_kind
from tr2m_plugin.benchmark.paper_tables import write_tables
from tr2m_plugin.benchmark.results import (
    PER_IMAGE,
    common_kind,
    measure,
    pick_examples,
    summarize,
    write_summary,
    wrong_texts,
)
from tr2m_plugin.checkpoint import state_hash
from tr2m_plugin.datasets.arrays import write_shard
from tr2m_plugin.datasets.parquet import ERRORS, INDEX, read_table, sample_key, write_table
from tr2m_plugin.datasets.readers import reader_of
from tr2m_plugin.device import pick_device
from tr2m_plugin.errors import InputError, attempt
from tr2m_plugin.evaluation import METRICS, Alignment, Protocol, protocol_of
from tr2m_plugin.inference.model_folder import ModelSpec, build_model, describe_model, load_model
from tr2m_plugin.structures import DepthDataSample

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


def fit_baselines(data: Samples, limit: int | None = None) -> dict[str, Alignment]:
    """The alignment that fits a whole split best, under "", and those of each of its datasets.

    Args:
        data: the split's samples.
        limit: the most pictures that are looked at, evenly spaced. Default: all.
    """
    fits: dict[str, Alignment] = defaultdict(lambda: Alignment("global", "disparity"))
    count = len(data) if limit is None else min(limit, len(data))
    numbers = np.linspace(0, len(data) - 1, count).astype(int).tolist()
    for number in tqdm(numbers, desc="fit baselines", unit="picture", mininterval=1):
        item = data[number]
        if item is None:
            continue
        sample = item["data_samples"]
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


Failed = dict[str, dict[str, str]]
"""Why pictures could not be measured, by their key, by method; under "" for all of them."""


def _measured(
    method: str, sample: DepthDataSample, given: np.ndarray, failed: Failed, alignment: Alignment | None = None
) -> list[dict[str, Any]]:
    """The row of a method's numbers, (h, w), as they are or aligned with the truth; none where that failed."""
    row = {"dataset": sample.dataset, "sample_id": sample.sample_id}
    truth, protocol = sample.gt_depth_map.data[0].numpy(), protocol_of_sample(sample)

    def run() -> dict[str, Any]:
        depth = protocol.checked(given, truth)
        if alignment is not None:
            depth = alignment.apply(depth, truth, protocol.valid(truth))
        return measure(method, row, depth, truth, protocol)

    found = attempt(run, sample_key(row), failed[method])
    return [] if found is None else [found]


def measure_texts(
    method: str, predict: Predictor, data: Samples, texts: Mapping[int, int | None], failed: Failed
) -> Iterator[dict[str, Any]]:
    """Rows of a model with chosen sentences, as `Predictor` takes them."""
    for sample in tqdm(predict(data, texts), total=len(texts), desc=method, unit="picture", mininterval=1):
        yield from _measured(method, sample, sample.pred_depth_map.data[0].numpy(), failed)


def evaluate_baselines(data: Samples, fits: Mapping[str, Alignment], failed: Failed) -> Iterator[dict[str, Any]]:
    """Rows of the relative model's four alignments."""
    own = {"median": Alignment("median", "disparity"), "linear_fit": Alignment("linear", "disparity")}
    for number in tqdm(range(len(data)), desc="baselines", unit="picture", mininterval=1):
        item = data[number]
        if item is None:
            continue
        sample = item["data_samples"]
        relative, _, _ = unpack(sample)
        chosen = {**own, "global_fit": fits.get(""), "domain_fit": fits.get(sample.dataset)}
        for method, alignment in chosen.items():
            if alignment is not None:
                yield from _measured(method, sample, relative, failed, alignment)


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
    fitted_on, limit = run.params.get("fit_on", "train"), run.count("fit_limit", None)
    if fitted_on not in ("train", "val", "test"):
        raise InputError(f"fit_on must be train, val or test, not {fitted_on!r:.100}")
    most_errors = run.share("max_error_share", 0.2)
    device = pick_device(run.params.get("device", "auto"))
    model, spec = load_model(run.root / "model", device)
    aligned = bool(spec.relative_depth.get("aligned", False))
    data = Samples(run.root, "test", aligned)
    rows = [_facts(data.info(i)) for i in range(len(data))]
    if any(row["depth"] is None for row in rows):
        raise InputError(
            "the test split has pictures without depth, which nothing can be measured on: see `tr2m predict`"
        )
    _refuse_mirrors(rows)
    wrong_text = run.params.get("wrong_text")
    stand_in = text_embedding(spec, wrong_text, device) if wrong_text else None
    predict = Predictor(model, device, run.count("batch_size", 32), stand_in)
    results: list[dict[str, Any]] = []
    failed: Failed = {"": data.failed, **{method: {} for method in METHODS}}
    for method, texts in choose_texts(rows, run.params.get("seed", 0), stand_in is not None).items():
        results += measure_texts(method, predict, data, texts, failed)
    if not any(row["split"] == fitted_on for row in read_table(run.root / "index.parquet", INDEX)):
        fitted_on = "test"  # nothing to train on: the evaluated pictures themselves
    fitted = data if fitted_on == "test" else Samples(run.root, fitted_on, aligned)
    before = starting_model(spec, device)
    if before is not None:
        start = Predictor(before, device, predict.batch_size)
        results += measure_texts("before", start, data, {i: i for i in range(len(rows))}, failed)
    results += evaluate_baselines(data, fit_baselines(fitted, limit), failed)

    folder = run.root / "evaluation"
    folder.mkdir(parents=True, exist_ok=True)
    write_table(folder / "per_image.parquet", PER_IMAGE, results)
    _write_examples(folder, pick_examples(results, "tr2m"), data, predict)
    kind = run.params.get("kind", "fixture")
    methods = describe_methods(model, spec, kind, fitted_on, before)
    counts = Counter(row["dataset"] for row in rows)
    facts = {row["dataset"]: _dataset_facts(row, counts, kind) for row in rows}
    report = summarize(results, methods, facts)
    _count_failures(report, methods, facts, failed)
    Path("metrics.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    write_summary(folder / "summary.csv", report)
    write_tables(folder, report)
    _report_failures(folder, failed, len(rows), most_errors)


def _count_failures(
    report: dict[str, dict[str, Any]],
    methods: Mapping[str, Mapping[str, Any]],
    facts: Mapping[str, Mapping[str, Any]],
    failed: Failed,
) -> None:
    """Says of every result how many pictures failed; it is then of a part of its dataset."""
    for method in methods:
        lost = Counter(key.partition("/")[0] for key in {**failed[""], **failed[method]})
        for name, count in lost.items():
            entry = report.setdefault(method, dict(methods[method]))
            none = {**dict.fromkeys(METRICS), "images": 0, "empty": 0, **facts[name]}
            entry[name] = {**none, **entry.get(name, {}), "failed": count, "kind": "fixture"}
            entry["kind"] = common_kind([entry["kind"], "fixture"])


def _report_failures(folder: Path, failed: Failed, count: int, most: float) -> None:
    """Writes and prints what failed.

    Raises:
        InputError: of more pictures than `most` of them something failed.
    """
    rows = [
        {"dataset": key.partition("/")[0], "sample_id": key.partition("/")[2], "reason": reason, "method": method}
        for method, reasons in failed.items()
        for key, reason in reasons.items()
    ]
    if not rows:
        (folder / "errors.parquet").unlink(missing_ok=True)  # an earlier run's
        return
    write_table(folder / "errors.parquet", {**ERRORS, "method": "string"}, rows)
    keys = {key: reason for reasons in failed.values() for key, reason in reasons.items()}
    for key, reason in list(keys.items())[:5]:
        print(f"evaluate: {key}: {reason}", file=sys.stderr)
    if len(keys) > most * count:
        raise InputError(f"{len(keys)} of {count} pictures failed; {folder / 'errors.parquet'} says why")


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


def _write_examples(folder: Path, chosen: Mapping[str, Mapping[str, Any]], data: Samples, predict: Predictor) -> None:
    numbers = {sample_key(data.info(i)): i for i in range(len(data))}
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
