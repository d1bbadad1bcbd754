"""The paper's result tables, its rows above measured ones, as Markdown and LaTeX."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml

from tr2m_plugin.benchmark.conditions import DESCRIPTIONS
from tr2m_plugin.benchmark.results import KINDS, common_kind, file_name
from tr2m_plugin.errors import InputError
from tr2m_plugin.evaluation.metrics import HIGHER_IS_BETTER, METRICS

PAPER: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("paper.yaml").read_text(encoding="utf-8"))
TABLES: dict[str, Any] = PAPER["tables"]
"""Layout and rows of the tables there are, by their number in the paper."""

HEADINGS = {**PAPER["headings"], "sq_rel": "SqRel ↓", "silog": "silog ↓"}
METRES = {"m": 1.0, "mm": 0.001}
MISSING = "–"


@dataclass(frozen=True)
class TableRow:
    """A method of a table.

    Args:
        cells: what each column shows.
        kind: one of `KINDS`.
        grey: whether the method uses ground truth.
        measured: whether it is ours, not the paper's.
    """

    cells: tuple[str, ...]
    kind: str
    grey: bool
    measured: bool

    @property
    def ranked(self) -> bool:
        """Whether it can be best: fixtures and rows that use ground truth cannot."""
        return not self.grey and self.kind != "fixture"


@dataclass(frozen=True)
class Table:
    """A table that is ready to be written.

    Args:
        title: with its number in the paper.
        header: one row of headings; above it one of dataset names where there are several.
        texts: how many columns precede the numbers.
        rows: the paper's, then measured ones.
        best: per column the cell that is best among `ranked` rows; None where none is.
        second: the same, second best.
        notes: what stands below the table.
    """

    title: str
    header: tuple[tuple[str, ...], ...]
    texts: int
    rows: tuple[TableRow, ...]
    best: tuple[str | None, ...]
    second: tuple[str | None, ...]
    notes: tuple[str, ...]

    def places(self, row: TableRow) -> list[tuple[str, str | None, str | None]]:
        """Cells of a row, each with the best and second best of its column where the row is ranked."""
        none = (None,) * len(row.cells)
        best, second = (self.best, self.second) if row.ranked else (none, none)
        return list(zip(row.cells, best, second, strict=True))


def _number(value: float | None, digits: int = 3) -> str:
    return MISSING if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def _value(dataset: str, result: Mapping[str, Any], metric: str) -> float | None:
    """A metric in the paper's unit."""
    value, expected = result.get(metric), PAPER["datasets"][dataset]["unit"]
    if metric != "rmse" or value is None:
        return value
    unit = result.get("unit") or expected
    if unit not in METRES:
        raise InputError(f"{dataset} has the unit {unit!r}; units are {', '.join(METRES)}")
    return value * METRES[unit] / METRES[expected]


def _heading(facts: Mapping[str, Any]) -> str | None:
    """How Table 10 calls a method's sentences; None without any."""
    return DESCRIPTIONS[facts["description"]].heading if facts.get("description") else None


def _row(layout: Mapping[str, Any], facts: Mapping[str, Any], results: Mapping[str, Any], measured: bool) -> TableRow:
    facts = {**facts, "description": _heading(facts)}
    cells = [" ".join(str(facts.get(key) or MISSING).split()) for key in layout["columns"].values()]
    cells += [_number(_value(name, results.get(name, {}), m)) for name in layout["datasets"] for m in layout["metrics"]]
    if layout.get("ranked"):
        cells.append(_number(facts.get("rank"), digits=1))
    return TableRow(tuple(cells), facts["kind"], bool(facts.get("uses_ground_truth")), measured)


def _measured(number: str, metrics: Mapping[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Facts and results of the methods that belong into a table."""
    chosen = []
    for method, entry in metrics.items():
        if entry.get("kind") not in KINDS:
            raise InputError(f"{method} has the kind {entry.get('kind')!r}; kinds are {', '.join(KINDS)}")
        about = entry.get("about") or {}
        description = about.get("description")
        if description is not None and description not in DESCRIPTIONS:
            raise InputError(f"{method} has the description {description!r}, not one of {', '.join(DESCRIPTIONS)}")
        results = {name: entry["datasets"][name] for name in TABLES[number]["datasets"] if name in entry["datasets"]}
        if results and (description is not None if number == "10" else description in (None, "right")):
            label = " ".join((entry.get("label") or method).split())
            told = "scaling" in TABLES[number]["columns"].values()
            if entry.get("uses_ground_truth") and "scaling" in about and not told:
                label = f"{label}, {about['scaling']}"
            marks = {
                "kind": _kind(entry, results),
                "uses_ground_truth": entry.get("uses_ground_truth", False),
                "rank": None,
            }
            chosen.append(({**about, **marks, "model": label, "method": label}, results))
    return chosen


def _kind(entry: Mapping[str, Any], results: Mapping[str, Mapping[str, Any]]) -> str:
    return common_kind(result.get("kind", entry["kind"]) for result in results.values())


def _evaluated(facts: Mapping[str, Any], results: Mapping[str, Any]) -> str:
    """How a measured row came about."""
    parts = []
    for name, result in results.items():
        empty = f" ({result['empty']} without valid depth)" if "empty" in result else ""
        failed = f", {result['failed']} failed" if result.get("failed") else ""
        images = str(result["images"])
        if result.get("published", result["images"]) != result["images"]:
            images = f"{images} of {result['published']}"
        protocol = " ".join(str(result[key]) for key in ("protocol", "protocol_hash") if result.get(key))
        parts.append(f"{name} {images} images{empty}{failed}" + (f", protocol {protocol}" if protocol else ""))
    description = _heading(facts)
    return f"{facts['model']}{f', {description}' if description else ''}: {'; '.join(parts)}."


def _notes(layout: Mapping[str, Any], rows: Sequence[TableRow], ours: Sequence[tuple[Any, Any]]) -> tuple[str, ...]:
    grey = any(row.grey for row in rows)
    notes = ["Best in bold, second best underlined" + (", among the rows without †." if grey else ".")]
    notes += ["†: uses ground truth."] if grey else []
    notes.append("Kind: " + "; ".join(f"{k} = {v}" for k, v in KINDS.items() if any(r.kind == k for r in rows)) + ".")
    if any("*" in row.cells[0] for row in rows if not row.measured):
        notes.append("A * behind a name: run by the paper's authors.")
    if "rmse" in layout["metrics"]:
        datasets = [PAPER["datasets"][name] for name in layout["datasets"]]
        notes.append("RMSE: " + ", ".join(f"{facts['title']} in {facts['unit']}" for facts in datasets) + ".")
    if layout.get("ranked") and ours:
        notes.append("Rank: mean place over datasets and metrics; a measured row's is among the paper's rows.")
    notes += [layout["note"]] if "note" in layout else []
    return (*notes, *dict.fromkeys(_evaluated(*method) for method in ours))


def _places(
    rows: Sequence[TableRow], columns: Sequence[tuple[int, str]], width: int
) -> tuple[tuple[str | None, ...], tuple[str | None, ...]]:
    """Best and second best cell of every column that holds a metric."""
    best: list[str | None] = [None] * width
    second: list[str | None] = [None] * width
    for i, metric in columns:
        shown = {row.cells[i] for row in rows if row.ranked} - {MISSING}
        best[i], second[i], *_ = (*sorted(shown, key=float, reverse=metric in HIGHER_IS_BETTER), None, None)
    return tuple(best), tuple(second)


def _with_rank(row: TableRow, rows: Sequence[TableRow], columns: Sequence[tuple[int, str]]) -> TableRow:
    """A measured row with its mean place among the paper's; what shows the same number shares the better place.

    It has none where a metric is missing, or where it cannot be best.
    """
    if not row.ranked or any(row.cells[i] == MISSING for i, _ in columns):
        return row
    places = []
    for i, metric in columns:
        sign = -1 if metric in HIGHER_IS_BETTER else 1
        places.append(1 + sum(sign * float(other.cells[i]) < sign * float(row.cells[i]) for other in rows))
    return replace(row, cells=(*row.cells[:-1], _number(sum(places) / len(places), digits=1)))


def build_table(number: str, metrics: Mapping[str, Any]) -> Table:
    """A table of the paper with measured rows below the paper's.

    Values that look the same, with three decimals, share a place. Methods of which no dataset of the table was measured
    are left out. The paper's ranks are as printed; each measured row is ranked among the paper's alone: its rank
    does not change with what else was measured.

    Args:
        number: one of `TABLES`.
        metrics: content of metrics.json, method → entry. What an entry has under `about` fills the columns before the
            numbers. With `description` there, one of `DESCRIPTIONS`, it is a row of Table 10, and with
            another than the right one of no other.

    Raises:
        InputError: there is no such table, or an entry's kind, description or unit does not exist.
    """
    if number not in TABLES:
        raise InputError(f"there is no table {number!r}; tables are {', '.join(TABLES)}")
    layout, ours = TABLES[number], _measured(number, metrics)
    rows = [_row(layout, {**row, "kind": "paper"}, row["values"], False) for row in layout["rows"]]
    measured = [_row(layout, facts, results, True) for facts, results in ours]

    titles = [PAPER["datasets"][name]["title"] for name in layout["datasets"]]
    pairs = [(title, metric) for title in titles for metric in layout["metrics"]]
    texts, last = tuple(layout["columns"]), ("Rank",) if layout.get("ranked") else ()
    header = [(*texts, *(PAPER["headings"][metric] for _, metric in pairs), *last)]
    if len(titles) > 1:
        header.insert(0, ("",) * len(texts) + tuple(title for title, _ in pairs) + ("",) * len(last))
    columns = [(i, metric) for i, (_, metric) in enumerate(pairs, len(texts))]
    if last:
        measured = [_with_rank(row, rows, columns) for row in measured]
    rows += measured
    best, second = _places(rows, columns, len(header[-1]))
    title = f"Table {number}: {layout['title']}"
    return Table(title, tuple(header), len(texts), tuple(rows), best, second, _notes(layout, rows, ours))


def dataset_table(dataset: str, metrics: Mapping[str, Any]) -> Table:
    """All metrics of every measured method on one dataset, whether the paper has it or not.

    Args:
        dataset: its name.
        metrics: see `build_table`.
    """
    columns = ("Method", "Alignment", "Kind")
    rows, notes = [], []
    for method, entry in metrics.items():
        result = entry["datasets"].get(dataset)
        if result is None:
            continue
        grey = bool(entry.get("uses_ground_truth"))
        kind = _kind(entry, {dataset: result})
        texts = (" ".join(method.split()), entry.get("alignment") or MISSING, kind)
        rows.append(TableRow((*texts, *(_number(result.get(m)) for m in METRICS)), kind, grey, True))
        notes.append(_evaluated({"model": method}, {dataset: result}))
        unit = result.get("unit", "m")
    shown = [(i, metric) for i, metric in enumerate(METRICS, len(columns))]
    header = (*columns, *(HEADINGS[metric] for metric in METRICS))
    best, second = _places(rows, shown, len(header))
    grey = any(row.grey for row in rows)
    notes = [
        *(["†: uses ground truth."] if grey else []),
        f"RMSE in {unit}; silog is KITTI's, 100 · sqrt(mean(ε²) − mean(ε)²) of log depth.",
        *notes,
    ]
    return Table(dataset, (header,), len(columns), tuple(rows), best, second, tuple(notes))


def _styled(
    table: Table, row: TableRow, escape: Callable[[str], str], best: str, second: str, grey: str = "{}"
) -> list[str]:
    """Cells of a row with marks, each a format string."""
    if row.grey:
        return [grey.format(escape(cell if i else f"{cell} †")) for i, cell in enumerate(row.cells)]
    marks = [best if cell == b else second if cell == s else "{}" for cell, b, s in table.places(row)]
    return [mark.format(escape(cell)) for mark, cell in zip(marks, row.cells, strict=True)]


def _markdown(text: str) -> str:
    return re.sub(r"([\\`*|<])", r"\\\1", _line(text))


def _line(text: str) -> str:
    """In one line: a line break would end a comment or a row, and what follows would count."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def to_markdown(table: Table) -> str:
    """A table for GitHub: its title, the table, and a list of notes."""

    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cells)} |"

    heads = ["<br>".join(filter(None, column)) for column in zip(*table.header, strict=True)]
    rule = ["---" if i < table.texts else "---:" for i in range(len(heads))]
    rows = [_styled(table, row, _markdown, "**{}**", "<u>{}</u>") for row in table.rows]
    notes = [f"- {_markdown(note)}" for note in table.notes]
    return "\n".join([f"**{_markdown(table.title)}**", "", *map(line, (heads, rule, *rows)), "", *notes, ""])


_LATEX = str.maketrans(
    {char: f"\\{char}" for char in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"}
    | {"→": r"$\rightarrow$", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "†": r"$^\dagger$", "–": "--", "×": r"$\times$"}
)


def _latex(text: str) -> str:
    text = re.sub(r"δ(\d)", r"$\\delta_\1$", _line(text).translate(_LATEX))
    return f"{{}}{text}" if text.startswith(("[", "*")) else text  # else part of the line break before


def to_latex(table: Table) -> str:
    """A tabular of booktabs with its notes below; measured rows stand below a line."""
    lines = [r"% needs \usepackage{booktabs,xcolor}", f"% {_line(table.title)}"]
    lines += [rf"\begin{{tabular}}{{{'l' * table.texts}{'r' * (len(table.best) - table.texts)}}}", r"\toprule"]
    if len(table.header) > 1:
        cells, rules, at = [], [], 1
        for name, members in groupby(table.header[0]):
            width = len(list(members))
            cells += [rf"\multicolumn{{{width}}}{{c}}{{{_latex(name)}}}"] if name else [""] * width
            rules += [rf"\cmidrule(lr){{{at}-{at + width - 1}}}"] if name else []
            at += width
        lines += [" & ".join(cells) + r" \\", " ".join(rules)]
    lines += [" & ".join(map(_latex, table.header[-1])) + r" \\", r"\midrule"]
    for measured, rows in groupby(table.rows, key=lambda row: row.measured):
        lines += [r"\midrule"] if measured else []
        for row in rows:
            cells = _styled(table, row, _latex, r"\textbf{{{}}}", r"\underline{{{}}}", r"\textcolor{{gray}}{{{}}}")
            lines.append(" & ".join(cells) + r" \\")
    notes = "\n".join(rf"{_latex(note)}\par" for note in table.notes)
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", "", rf"{{\footnotesize\raggedright {notes}}}", ""])


def write_tables(folder: str | Path, metrics: Mapping[str, Any]) -> list[Path]:
    """Writes tables as Markdown and LaTeX; returns the files' paths.

    `table_1.md`, `table_1.tex` and so on are the paper's tables that have a measured row; `dataset_NAME` has all
    metrics on a dataset.
    """
    folder, written = Path(folder), []
    numbered = {number: build_table(number, metrics) for number in TABLES}
    tables = {f"table_{n}": table for n, table in numbered.items() if any(row.measured for row in table.rows)}
    names = [name for entry in metrics.values() for name in entry["datasets"]]
    tables |= {f"dataset_{file_name(name)}": dataset_table(name, metrics) for name in dict.fromkeys(names)}
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        for ending, text in {"md": to_markdown(table), "tex": to_latex(table)}.items():
            path = folder / f"{name}.{ending}"
            path.write_text(text, encoding="utf-8")
            written.append(path)
    return written
