"""What `--confidence` is worth: sparsification curves and AUSE of the spread, beside the oracle's and a random order.

    python -m benchmarks.confidence --root work/mini
    python -m benchmarks.confidence --datasets lab --roots roots.yaml --text "A room." "A room with furniture."

Takes the test pictures of the pipeline's tables (after `make demo`; their descriptions are the sentences), or datasets
as `tr2m evaluate` takes them, or both. A picture of these has the lines of its text file as sentences, or `--text`;
where it is only one, `--confidence` paraphrases it. Leaves table.md and curves.png in `--out`; `--into FILE` puts the
table into a document, and the curves beside it.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from benchmarks.ablations import number
from tr2m_plugin.benchmark.datasets import Dataset, choose_entries, datasets_of, open_datasets
from tr2m_plugin.datasets.parquet import read_rows
from tr2m_plugin.datasets.pictures import find_sentence
from tr2m_plugin.datasets.readers import load_depth, load_picture
from tr2m_plugin.errors import InputError
from tr2m_plugin.evaluation.sparsification import STEPS, area, sparsification
from tr2m_plugin.files import read_lines, read_text
from tr2m_plugin.inference.inferencer import TR2MInferencer
from tr2m_plugin.rows import DescriptionRow, IndexRow
from tr2m_plugin.tools.train import report
from tr2m_plugin.units import convert

RANKS = {"spread": "C0", "predicted depth": "C1", "random": "C7"}
"""By what pixels are removed, and its colour: `--confidence`; the farthest first, which costs nothing; nothing."""

POOLED = 10_000
"""Pixels of each picture, evenly spaced, that are ranked with those of the others."""

BLOCK = re.compile(r"(?<=<!-- confidence -->\n).*?(?=<!-- end -->)", re.DOTALL)
"""The part of a document that `--into` replaces."""

Sentences = Callable[[IndexRow], Sequence[str]]


class Pixels(NamedTuple):
    """The pixels of a picture that count.

    Attributes:
        errors: AbsRel, (N,).
        ranks: of each of `RANKS`, (N,).
        within: which depths lie within one spread of the truth, (N,) bool.
    """

    errors: np.ndarray
    ranks: dict[str, np.ndarray]
    within: np.ndarray


@dataclass
class Result:
    """Numbers of a dataset; curves by name of `RANKS` and "oracle"."""

    data: Dataset
    sentences: str
    abs_rel: float
    left: dict[str, float]
    curves: dict[str, np.ndarray]
    pooled: dict[str, np.ndarray]
    within: float


def pixels_of(row: IndexRow, data: Dataset, inferencer: TR2MInferencer, sentences: Sequence[str]) -> Pixels | None:
    """A picture's pixels; None where no truth counts."""
    text, *others = sentences
    (found,) = inferencer(load_picture(row), text, confidence=others or True, names=[row.sample_id])
    truth = load_depth(row)
    depth, true = data.protocol.compare(convert(found.depth, found.unit, data.unit), truth)
    spread = data.protocol.at_size_of(found.confidence.values, truth)[data.protocol.valid(truth)]
    ranks = {"spread": spread, "predicted depth": depth, "random": np.zeros_like(depth)}
    return Pixels(np.abs(depth - true) / true, ranks, np.abs(np.log(depth / true)) <= spread) if len(depth) else None


def curves_of(errors: np.ndarray, ranks: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A sparsification curve for each ranking, and the oracle's."""
    return {name: sparsification(errors, by) for name, by in {**ranks, "oracle": errors}.items()}


def evaluate(data: Dataset, inferencer: TR2MInferencer, sentences: Sentences, limit: int | None) -> Result:
    """Measures a dataset, or so many of its pictures, evenly spaced."""
    places = np.linspace(0, len(data.rows) - 1, min(limit or len(data.rows), len(data.rows))).astype(int)
    data.rows = [data.rows[place] for place in places]
    given = [list(sentences(row)) for row in data.rows]
    pairs = zip(tqdm(data.rows, data.name, unit="picture"), given, strict=True)
    found = [one for row, texts in pairs if (one := pixels_of(row, data, inferencer, texts)) is not None]
    if not found:
        raise InputError(f"{data.name} has no picture with truth in range")
    curves = [curves_of(one.errors, one.ranks) for one in found]
    means = np.array([one.errors.mean() for one in found])
    steps = [np.linspace(0, len(one.errors) - 1, min(POOLED, len(one.errors))).astype(int) for one in found]
    drawn = list(zip(found, steps, strict=True))
    ranks = {name: np.concatenate([one.ranks[name][step] for one, step in drawn]) for name in RANKS}
    counts = sorted({len(texts) for texts in given})
    return Result(
        data,
        " or ".join("1 and paraphrases" if count == 1 else str(count) for count in counts),
        float(means.mean()),
        {name: float(np.mean([c[name][STEPS // 2] for c in curves] * means)) for name in ("spread", "oracle")},
        {name: np.mean([c[name] for c in curves], 0) for name in curves[0]},
        curves_of(np.concatenate([one.errors[step] for one, step in drawn]), ranks),
        float(np.mean([one.within.mean() for one in found])),
    )


def markdown(results: Sequence[Result], model: str) -> str:
    """The table."""
    ordered = " / ".join(RANKS)
    lines = [
        f"{model}. AUSE by {ordered}: in a picture, mean of the pictures; over all, {POOLED:,} pixels of each ranked "
        "together. AbsRel: of all pixels, then of the surer half of each picture by the spread / by the oracle. "
        "Within: pixels whose log depth lies within one spread of the truth's.",
        "",
        "| | pictures | sentences | AbsRel | surer half | AUSE in a picture | AUSE over all | within | kind |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for one in results:
        areas = [" / ".join(map(number, areas_of(curves))) for curves in (one.curves, one.pooled)]
        half = f"{number(one.left['spread'])} / {number(one.left['oracle'])}"
        cells = [one.data.name, len(one.data.rows), one.sentences, number(one.abs_rel), half, *areas]
        lines.append(f"| {' | '.join(map(str, cells))} | {one.within:.0%} | {one.data.kind} |")
    return "\n".join([*lines, "", summary(results)])


def areas_of(curves: dict[str, np.ndarray]) -> list[float]:
    """AUSE of each of `RANKS`."""
    return [area(curves[name] - curves["oracle"]) for name in RANKS]


def summary(results: Sequence[Result]) -> str:
    """On how many datasets the spread beats what costs nothing."""
    said = []
    for place, other in enumerate(RANKS):
        wins = [
            sum(areas[0] < areas[place] for areas in map(areas_of, every))
            for every in ([one.curves for one in results], [one.pooled for one in results])
        ]
        said.append(f"{other} in a picture on {wins[0]} and over all on {wins[1]}")
    return f"Of {len(results)} datasets, the spread is better than {', than '.join(said[1:])}."


def draw(results: Sequence[Result], path: Path) -> None:
    """The curves, mean of the pictures, a small picture for each dataset."""
    columns = min(4, len(results))
    rows = -(-len(results) // columns)
    figure = Figure(figsize=(3 * columns + 0.5, 2.6 * rows + 0.7), dpi=80, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    shares = np.arange(STEPS) / STEPS
    for place, one in zip(axes, results, strict=False):
        for name, color in {**RANKS, "oracle": "black"}.items():
            place.plot(shares, one.curves[name], color=color, label=name, lw=1.5)
        place.set_title(f"{one.data.name}, AbsRel {number(one.abs_rel)}", fontsize=10, parse_math=False)
        place.grid(alpha=0.3)
        place.set_ylim(0, 1.5)
    for place in axes[len(results) :]:
        place.set_axis_off()
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    figure.supxlabel("share of the pixels removed, the least sure first", fontsize=10)
    figure.supylabel("AbsRel of the others / of all", fontsize=10)
    figure.savefig(path)


def opened(args: argparse.Namespace) -> Iterator[tuple[Dataset, Sentences]]:
    """The datasets, and where their sentences are from."""
    index = args.root / "index.parquet" if args.root else None
    if index is not None and not index.is_file():
        raise InputError(f"{index} does not exist: run `make demo` first")
    if index is not None:
        texts: dict[str, list[str]] = {}
        for line in read_rows(args.root / "descriptions.parquet", DescriptionRow):
            texts.setdefault(line.key, []).append(line.text)
        rows = [row.resolved(args.root) for row in read_rows(index, IndexRow) if row.split == "test" and row.depth]
        for data in datasets_of(rows):
            yield data, lambda row: list(dict.fromkeys(texts[row.key]))

    def beside(row: IndexRow) -> Sequence[str]:
        path = find_sentence(Path(row.image), row.sample_id)
        lines = args.text or (read_lines(path) if path else [])
        if not lines:
            raise InputError(f"{row.image} has no description: write sentences into a text file beside it, or --text")
        return lines

    if args.datasets or args.roots:
        for data in open_datasets(choose_entries(args.datasets, args.roots)):
            yield data, beside


def run(args: argparse.Namespace) -> None:
    if not (args.root or args.datasets or args.roots):
        raise InputError("name pictures: --root for the pipeline's tables, or --datasets and --roots")
    if args.into and not BLOCK.search(read_text(args.into)):
        raise InputError(f"{args.into} has no lines <!-- confidence --> and <!-- end --> to write between")
    inferencer = TR2MInferencer(args.model, device=args.device, show_progress=False)
    results = [evaluate(data, inferencer, sentences, args.limit) for data, sentences in opened(args)]
    text = markdown(results, inferencer.name)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "table.md").write_text(text + "\n", encoding="utf-8")
    draw(results, args.out / "curves.png")
    if args.into:
        draw(results, args.into.with_name("confidence.png"))
        args.into.write_text(BLOCK.sub(lambda _: f"\n{text}\n\n", read_text(args.into)), encoding="utf-8")
    print(f"\n{text}\n\nwritten: {args.into or args.out / 'table.md'}")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="folder of the pipeline's tables, such as work/mini")
    parser.add_argument("--datasets", nargs="*", default=[], metavar="NAME[=ROOT]")
    parser.add_argument("--roots", type=Path, help="YAML file of datasets and their roots")
    parser.add_argument("--text", nargs="+", help="sentences for all of their pictures (default: those beside them)")
    parser.add_argument("--model", default="tr2m_mini", help="(default: tr2m_mini)")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--limit", type=int, help="pictures of each dataset, evenly spaced (default: all)")
    parser.add_argument("--out", type=Path, default=Path("work_dirs/confidence"))
    parser.add_argument("--into", type=Path, help="document whose part between the marks is replaced")
    args = parser.parse_args(argv)
    return report("confidence", lambda: run(args))


if __name__ == "__main__":
    sys.exit(main())
