import argparse
import itertools
import subprocess
import sys

import pytest

import tr2m_plugin
from tr2m_plugin.cli import main, make_parser


def test_commands_with_one_file_replace_only_their_own(tmp_path, capsys):
    out = tmp_path / "photo.png"
    out.write_bytes(b"\x89PNG a photograph")
    for command in (["features", "config.py", "a.pth"], ["data", "show", "nyu", "nowhere", "0"], ["describe", "a.png"]):
        assert main([*command, "--out", str(out)]) == 2
        assert "photo.png is there already and is not a" in capsys.readouterr().err
    for name in ("summary.csv", "metrics.json"):
        (tmp_path / name).write_text("[1]")
        assert main(["evaluate", "--predictions", "nowhere", "--out", str(tmp_path)]) == 2
        assert f"{name} is there already and is not an evaluation's" in capsys.readouterr().err
        (tmp_path / name).unlink()
    assert out.read_bytes() == b"\x89PNG a photograph"


COMMANDS = (
    "",
    "predict",
    "download",
    "convert",
    "features",
    "describe",
    "evaluate",
    "data",
    "data verify",
    "data show",
)
HEAVY = ("torch", "mmengine", "numpy", "cv2", "pyarrow", "transformers", "yaml")
ALONE = f"""
import sys
sys.argv[0] = "tr2m"
class Refused:
    def find_spec(self, name, path=None, target=None):
        assert name.partition(".")[0] not in {HEAVY!r}, name
sys.meta_path.insert(0, Refused())
from tr2m_plugin.cli import main, make_parser
main()
"""


@pytest.mark.parametrize("arguments", ["--version", *(f"{command} --help".strip() for command in COMMANDS)])
def test_help_and_version_import_nothing_heavy(arguments):
    done = subprocess.run([sys.executable, "-c", ALONE, *arguments.split()], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == f"{tr2m_plugin.__version__}\n" or done.stdout.startswith("usage: tr2m")


def parsers(parser):
    """The parser of the command and those of the commands below it."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from parsers(below)


def one_letter_apart(a, b):
    """Whether one letter more, less or other makes one name of the other."""
    short, long = sorted((a, b), key=len)
    cut = {long[:i] + long[i + 1 :] for i in range(len(long))}
    return short in cut or (len(a) == len(b) and sum(x != y for x, y in zip(a, b, strict=True)) == 1)


@pytest.mark.parametrize(
    ("a", "b", "near"), [("--set", "--sets", True), ("--top", "--tap", True), ("--a", "--abc", False)]
)
def test_the_distance_of_names(a, b, near):
    assert one_letter_apart(a, b) is near


@pytest.mark.parametrize("parser", list(parsers(make_parser())), ids=lambda parser: parser.prog)
def test_no_two_options_of_a_command_are_one_letter_apart(parser):
    names = [name for action in parser._actions for name in action.option_strings if name.startswith("--")]
    assert [pair for pair in itertools.combinations(names, 2) if one_letter_apart(*pair)] == []


@pytest.mark.parametrize(
    "given",
    [
        ["evaluate", "--description", "right"],
        ["evaluate", "--descriptions", "a"],
        ["data", "show", "a", "b", "c", "--descriptions", "a"],
    ],
)
def test_an_unknown_option_is_refused(given, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(given)
    assert stopped.value.code == 2
    assert f"unrecognized arguments: {' '.join(given[-2:])}" in capsys.readouterr().err


def test_version(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.strip() == tr2m_plugin.__version__
