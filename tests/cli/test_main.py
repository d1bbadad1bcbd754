import subprocess
import sys

import pytest

import tr2m_plugin
from tr2m_plugin.cli import main


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


def test_help_needs_no_network_library():
    code = (
        "import sys; sys.argv = ['tr2m', '--help']\n"
        "from tr2m_plugin.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'mmengine', 'numpy'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_version(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.strip() == tr2m_plugin.__version__
