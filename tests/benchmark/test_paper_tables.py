import re

import numpy as np
import pytest
from scipy.stats import rankdata

from tr2m_plugin.benchmark.paper_tables import (
    PAPER,
    TABLES,
    build_table,
    dataset_table,
    to_latex,
    to_markdown,
    write_tables,
)
from tr2m_plugin.errors import InputError
from tr2m_plugin.evaluation import HIGHER_IS_BETTER, METRICS

FACTS = {"images": 654, "empty": 0, "unit": "m", "protocol": "release", "protocol_hash": "ab12"}


def values(text, names):
    return dict(zip(names.split(), map(float, text.split()), strict=True))


def entry(label="TR2M (tr2m_mini)", kind="fixture", truth=False, about=None, **results):
    """An entry of metrics.json with results by dataset."""
    facts = {"kind": kind, "uses_ground_truth": truth, "label": label, "about": about or {}}
    return facts | {"datasets": {name: {**FACTS, **result} for name, result in results.items()}}


def paper_row(number, at=-1):
    return TABLES[number]["rows"][at]


def numbers(table, row):
    return row.cells[table.texts :]


def latex_cells(line):
    """How many columns a line of a tabular fills."""
    spans = [int(n) - 1 for n in re.findall(r"\\multicolumn\{(\d+)\}", line)]
    return len(re.findall(r"(?<!\\)&", line)) + 1 + sum(spans)


def balanced(text):
    text, depth = re.sub(r"\\[{}]", "", text), 0
    for char in re.findall("[{}]", text):
        depth += 1 if char == "{" else -1
        assert depth >= 0, text
    return depth == 0


def test_the_papers_numbers():
    """Typed from the paper a second time."""
    nyu, kitti = "d1 d2 d3 abs_rel log10 rmse", "d1 d2 d3 abs_rel rmse_log rmse"
    assert paper_row("1")["values"]["nyu"] == values(".954 .996 .999 .082 .035 .293", nyu)
    assert paper_row("1", 6)["values"]["nyu"] == values(".980 .997 .999 .067 .030 .260", nyu)
    assert paper_row("2")["values"]["kitti"] == values(".965 .996 .999 .066 .093 2.328", kitti)
    assert paper_row("2", 9)["values"]["kitti"] == values(".663 .932 .981 .191 .228 5.273", kitti)
    assert paper_row("3")["values"]["simcol"] == values(".284 .445", "abs_rel d1")
    assert [row["rank"] for row in TABLES["3"]["rows"]] == [3.6, 1.6, 3.8, 4.5, 1.4]
    assert paper_row("7", 0)["values"]["c3vd"] == values(".183 10.236 .728", "abs_rel rmse d1")
    assert paper_row("7")["values"]["void"] == values(".103 .205 .899", "abs_rel rmse d1")
    assert paper_row("10", 0)["values"]["c3vd"] == values(".221 .445", "abs_rel d1")
    assert paper_row("10")["values"]["nyu"] == values(".082 .954", "abs_rel d1")
    zero = paper_row("1", 4)
    assert (zero["model"], zero["train_params"], zero["values"]["nyu"]["d3"]) == ("ZeroDepth", None, None)


def test_the_papers_rows():
    assert {number: len(table["rows"]) for number, table in TABLES.items()} == {
        "1": 15,
        "2": 15,
        "3": 5,
        "7": 4,
        "10": 3,
    }
    for number in ("1", "2"):
        aligned = [row for row in TABLES[number]["rows"] if row.get("uses_ground_truth")]
        assert [row["alignment"] for row in aligned] == ["median", "linear", "global"]
    for table in TABLES.values():
        assert set(table["metrics"]) <= set(METRICS) & set(PAPER["headings"])
        for row in table["rows"]:
            assert list(row["values"]) == table["datasets"]
            assert all(list(value) == table["metrics"] for value in row["values"].values())
    arrows = {metric: heading[-1] for metric, heading in PAPER["headings"].items()}
    assert all((arrow == "↑") == (metric in HIGHER_IS_BETTER) for metric, arrow in arrows.items())


@pytest.mark.parametrize("number", TABLES)
def test_layout(number):
    table, layout = build_table(number, {}), TABLES[number]
    width = len(layout["columns"]) + len(layout["datasets"]) * len(layout["metrics"]) + (number == "3")
    lines = (*table.header, *(row.cells for row in table.rows), table.best, table.second)
    assert {len(line) for line in lines} == {width}
    assert len(table.header) == (1 if number in ("1", "2") else 2)
    assert all(row.kind == "paper" and not row.measured for row in table.rows)


def test_headings():
    (headings,) = build_table("2", {}).header
    assert headings[:6] == ("Model", "Type", "Scaling", "Domains", "Train Params", "Kind")
    assert headings[6:] == ("δ1 ↑", "δ2 ↑", "δ3 ↑", "AbsRel ↓", "RMSElog ↓", "RMSE ↓")
    groups, headings = build_table("3", {}).header
    assert groups[2:6] == ("", "SUN RGB-D", "SUN RGB-D", "iBims-1")
    assert headings[-3:] == ("AbsRel ↓", "δ1 ↑", "Rank")


def table_3(rows, kind="reproduced"):
    """Metrics of table 3 measured: by label the values of each dataset."""
    return {label: entry(label, kind, **values) for label, values in rows.items()}


def test_the_papers_rows_measured_again_have_the_papers_ranks():
    again = {row["method"]: row["values"] for row in TABLES["3"]["rows"]}
    table = build_table("3", table_3(again))
    printed = [row.cells[-1] for row in table.rows[:5]]
    assert printed == ["3.6", "1.6", "3.8", "4.5", "1.4"], "as they are in the paper, whatever stands below"
    assert [row.cells[-1] for row in table.rows[5:]] == printed
    assert any(note.startswith("Rank: ") for note in table.notes)
    assert not any(note.startswith("Rank: ") for note in build_table("3", {}).notes)


@pytest.mark.parametrize("seed", range(3))
def test_a_measured_rows_rank_is_its_mean_place(seed):
    layout, rng = TABLES["3"], np.random.default_rng(seed)
    ours = {name: {m: round(rng.uniform(0.15, 0.7), 3) for m in layout["metrics"]} for name in layout["datasets"]}
    places = []
    for name in layout["datasets"]:
        for metric in layout["metrics"]:
            column = np.array([*(row["values"][name][metric] for row in layout["rows"]), ours[name][metric]])
            places.append(rankdata(-column if metric in HIGHER_IS_BETTER else column, "min")[-1])
    other = {name: {"abs_rel": 0.001, "d1": 1.0} for name in layout["datasets"]}
    table = build_table("3", table_3({"other": other, "ours": ours}))
    assert [row.cells[-1] for row in table.rows[5:]] == ["1.0", f"{np.mean(places):.1f}"]


def test_what_cannot_be_best_or_lacks_a_number_has_no_rank():
    whole = TABLES["3"]["rows"][0]["values"]
    part = {name: value for name, value in whole.items() if name != "simcol"}
    empty = {**whole, "simcol": {"abs_rel": None, "d1": 0.5}}
    metrics = table_3({"part": part, "empty": empty}) | table_3({"fixture": whole}, "fixture")
    metrics["fit"] = entry("fit", "reproduced", True, **whole)
    assert [row.cells[-1] for row in build_table("3", metrics).rows[5:]] == ["–"] * 4


def test_measured_rows_come_last_with_what_is_known_about_them():
    about = {"type": "(I, L) R → M", "scaling": "Rescale maps", "train_params": "19M"}
    result = {"d1": 0.9, "abs_rel": float("nan"), "log10": None, "rmse": 0.4567}
    table = build_table("1", {"tr2m": entry(about=about, nyu=result), "other": entry(kitti={"d1": 0.5})})
    assert len(table.rows) == 16
    row = table.rows[-1]
    assert row.cells[:6] == ("TR2M (tr2m_mini)", "(I, L) R → M", "Rescale maps", "–", "19M", "fixture")
    assert row.cells[6:] == ("0.900", "–", "–", "–", "–", "0.457")
    assert (row.kind, row.grey, row.measured) == ("fixture", False, True)
    assert build_table("3", {"tr2m": entry(ibims={"d1": 0.5})}).rows[-1].cells[-1] == "–"


def test_the_papers_marks():
    """As its text counts them."""
    text = to_markdown(build_table("3", {}))
    tr2m = next(line for line in text.splitlines() if line.startswith("| TR2M"))
    best, second = re.findall(r"\*\*([\d.]+)\*\*", tr2m), re.findall(r"<u>([\d.]+)</u>", tr2m)
    assert best == ["0.451", "0.736", "0.357", "0.361", "0.673", "0.284"]  # "six best evaluation metrics
    assert second == ["0.591", "0.154", "0.274", "0.445"]  # and four second-best metrics"


def test_table_7_has_the_papers_marks():
    line = next(line for line in to_markdown(build_table("7", {})).splitlines() if line.startswith("| TR2M"))
    assert line.endswith("| **0.103** | **0.205** | **0.899** | <u>0.092</u> | **2.952** | <u>0.918</u> |")


def test_equal_values_share_a_place():
    ours = {
        "a": entry("first", kind="reproduced", nyu={"d1": 0.98004, "abs_rel": 0.01}),
        "b": entry("second", kind="reproduced", nyu={"d1": 0.9691, "abs_rel": 0.02}),
    }
    table = build_table("1", ours)
    assert (table.best[6], table.second[6]) == ("0.980", "0.969")
    assert (table.best[9], table.second[9]) == ("0.010", "0.020")
    lines = to_markdown(table).splitlines()
    assert [line.split(" |")[0] for line in lines if "**0.980**" in line] == ["| Metric3Dv2", "| first"]
    assert [line.split(" |")[0] for line in lines if "<u>0.969</u>" in line] == ["| DA V2", "| second"]


def test_fixtures_are_never_best():
    table = build_table("1", {"a": entry("first", kind="fixture", nyu={"d1": 1.0, "abs_rel": 0.001})})
    assert (table.best[6], table.best[9]) == ("0.980", "0.067")
    same = build_table("1", {"a": entry("first", kind="fixture", nyu={"d1": 0.98, "abs_rel": 0.067})})
    line = next(line for line in to_markdown(same).splitlines() if line.startswith("| first"))
    assert "**" not in line


def test_rows_with_ground_truth_are_never_best():
    table = build_table("1", {"fit": entry("fit", truth=True, nyu={"d1": 1.0, "abs_rel": 0.067})})
    assert table.rows[-1].grey
    assert (table.best[6], table.best[9]) == ("0.980", "0.067")
    line = next(line for line in to_markdown(table).splitlines() if line.startswith("| fit †"))
    assert "**" not in line
    assert "<u>" not in line
    line = next(line for line in to_latex(table).splitlines() if "fit $^\\dagger$" in line)
    assert line.count(r"\textcolor{gray}") == 12
    assert "textbf" not in line
    assert "- †: uses ground truth." in to_markdown(table)
    assert "†" not in to_markdown(build_table("3", {}))


def test_descriptions():
    methods = {
        "plain": entry("plain", nyu={"d1": 0.5}),
        **{k: entry(k, about={"description": k}, nyu={"d1": 0.5}) for k in ("right", "wrong_scene", "wrong_domain")},
    }
    assert [row.cells[0] for row in build_table("1", methods).rows[15:]] == ["plain", "right"]
    table = build_table("10", methods)
    assert [row.cells[:2] for row in table.rows[3:]] == [
        ("Correct Domain, Correct Scene", "right"),
        ("Correct Domain, Incorrect Scene", "wrong_scene"),
        ("Incorrect Domain", "wrong_domain"),
    ]
    assert numbers(table, table.rows[3]) == ("–", "0.500", "–", "–", "–", "–")
    assert numbers(table, table.rows[0]) == ("0.096", "0.935", "0.164", "0.718", "0.221", "0.445")


def test_rmse_is_in_the_papers_unit():
    ours = {"m": entry("m", c3vd={"rmse": 0.003, "abs_rel": 0.1}), "mm": entry("mm", c3vd={"rmse": 3.0, "unit": "mm"})}
    table = build_table("7", ours)
    assert [numbers(table, row)[4] for row in table.rows[-2:]] == ["3.000", "3.000"]
    assert numbers(table, table.rows[-2])[3] == "0.100"
    assert "RMSE: VOID in m, C3VD in mm." in table.notes


def test_notes():
    table = build_table(
        "1", {"tr2m": entry(nyu={"d1": 0.5}), "b": entry("b", "reproduced", nyu={"d1": 0.5, "empty": 3})}
    )
    text = to_markdown(table)
    assert "- TR2M (tr2m_mini): nyu 654 images (0 without valid depth), protocol release ab12." in text
    assert "- b: nyu 654 images (3 without valid depth), protocol release ab12." in text
    kinds = next(note for note in table.notes if note.startswith("Kind"))
    assert all(f"{kind} = " in kinds for kind in ("paper", "reproduced", "fixture"))
    bare = {"kind": "fixture", "datasets": {"nyu": {"images": 2}}}
    assert build_table("1", {"tr2m": bare}).notes[-1] == "tr2m: nyu 2 images."


@pytest.mark.parametrize("number", TABLES)
def test_markdown_rows_have_the_same_cells(number):
    names = {name: {"d1": 0.5} for name in TABLES[number]["datasets"]}
    text = to_markdown(build_table(number, {"a": entry("a|b", about={"description": "right"}, **names)}))
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
    assert r"a\|b" in text


@pytest.mark.parametrize("number", TABLES)
def test_latex(number):
    names = {name: {"d1": 0.5} for name in TABLES[number]["datasets"]}
    label = r"[a_b] & 50% #1 {x\y} $"
    text = to_latex(build_table(number, {"a": entry(label, about={"description": "right"}, **names)}))
    assert text.startswith(r"% needs \usepackage{booktabs,xcolor}")
    lines = [line for line in text.splitlines() if line.endswith(r" \\")]
    columns = re.search(r"\\begin\{tabular\}\{([lr]+)\}", text).group(1)
    assert {latex_cells(line) for line in lines} == {len(columns)}
    assert all(map(balanced, lines))
    assert balanced(text)
    assert text.replace(r"\$", "").count("$") % 2 == 0
    assert not re.search("[δ↑↓→†–]", text)
    assert r"[a\_b] \& 50\% \#1 \{x\textbackslash{}y\} \$" in text
    assert not re.search(r"\\\\\n\[", text)
    assert r"$\delta_1$ $\uparrow$" in text
    assert (r"\multicolumn{2}{c}{iBims-1}" in text) == (number in ("3", "10"))


def test_write_tables(tmp_path):
    metrics = {"tr2m": entry(nyu={"d1": 0.5}, ibims={"d1": 0.5})}
    paths = write_tables(tmp_path / "tables", metrics)
    names = ("table_1", "table_3", "dataset_nyu", "dataset_ibims")
    names = [f"{name}.{ending}" for name in names for ending in ("md", "tex")]
    assert [path.name for path in paths] == names
    assert paths[0].read_text(encoding="utf-8") == to_markdown(build_table("1", metrics))
    assert paths[3].read_text(encoding="utf-8") == to_latex(build_table("3", metrics))
    assert write_tables(tmp_path / "none", {}) == []


def test_alignments_of_one_model_are_told_apart():
    fits = {
        name: entry("net", truth=True, about={"scaling": name}, ibims={"d1": 0.5}, nyu={"d1": 0.5})
        for name in ("Median", "Linear Fit")
    }
    assert [row.cells[0] for row in build_table("3", fits).rows[-2:]] == ["net, Median", "net, Linear Fit"]
    table = build_table("1", fits)
    assert [row.cells[:3:2] for row in table.rows[-2:]] == [("net", "Median"), ("net", "Linear Fit")]
    assert sum(note.startswith("net: nyu") for note in table.notes) == 1, "what is the same is said once"


def test_any_dataset_has_a_table_of_all_metrics():
    metrics = {
        "net": entry(mine={"abs_rel": 0.2, "d1": 0.9, "unit": "mm"}),
        "net median": entry(truth=True, mine={"abs_rel": 0.1, "d1": 0.95}) | {"alignment": "median"},
        "other": entry(nyu={"d1": 0.5}),
    }
    table = dataset_table("mine", metrics)
    assert [row.cells[:2] for row in table.rows] == [("net", "–"), ("net median", "median")]
    assert table.header[-1][3:] == (
        "δ1 ↑",
        "δ2 ↑",
        "δ3 ↑",
        "AbsRel ↓",
        "SqRel ↓",
        "RMSE ↓",
        "RMSElog ↓",
        "log10 ↓",
        "silog ↓",
    )
    text = to_markdown(table)
    assert "| net median † | median | fixture | 0.950 |" in text
    assert "net: mine 654 images (0 without valid depth)" in text


@pytest.mark.parametrize(
    ("number", "broken", "message"),
    [
        ("8", entry(nyu={}), "no table '8'"),
        ("1", entry(kind="guess", nyu={}), "kind 'guess'"),
        ("1", entry(about={"description": "wrong"}, nyu={}), "description 'wrong'"),
        ("1", entry(nyu={"rmse": 1.0, "unit": "ft"}), "unit 'ft'"),
    ],
)
def test_what_does_not_exist(number, broken, message):
    with pytest.raises(InputError, match=message):
        build_table(number, {"tr2m": broken})


@pytest.mark.parametrize("end", ["\n", "\r", "\x0b", "\u2028", "\x85"])
def test_names_with_line_breaks_stay_in_their_line(end):
    name = f"rooms{end}\\input{{/etc/passwd}} | x"
    entry = {"kind": "fixture", "alignment": f"a{end}\\input b", "datasets": {name: {**FACTS, "abs_rel": 0.1}}}
    table = dataset_table(name, {f"m{end}\\input c": entry})
    tex, markdown = to_latex(table), to_markdown(table)
    assert not any(line.lstrip().startswith("\\input") for line in tex.split("\n"))
    assert tex.split("\n")[1] == "% rooms \\input{/etc/passwd} | x"
    assert "\\input" not in tex.split("\n", 2)[2].replace("\\textbackslash{}input", "")
    assert len(markdown.split("\n")) == len(
        to_markdown(dataset_table("rooms", {"m": {**entry, "datasets": {"rooms": entry["datasets"][name]}}})).split(
            "\n"
        )
    )
