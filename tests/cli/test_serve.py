import socket
import sys

import pytest

from tr2m_plugin.cli import main


@pytest.fixture(autouse=True)
def _settings(monkeypatch):
    """What the command sets for its process goes again."""
    for name in ("GRADIO_TEMP_DIR", "GRADIO_ANALYTICS_ENABLED", "HF_HUB_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr("signal.signal", lambda *_: None)


@pytest.mark.parametrize("module", ["gradio", "trimesh", "uvicorn"])
def test_without_its_packages_the_extra_is_named(module, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr("tr2m_plugin.page.serving.make_app", lambda *_: pytest.fail("made"))
    assert main(["serve", "--port", "0"]) == 2
    assert capsys.readouterr().err == (
        f"tr2m: {module} is not installed; it is needed to serve the page: pip install 'tr2m_plugin[page]'\n"
    )


def test_an_address_that_is_taken_is_named(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["serve", "--port", port, "--model", "nowhere"]) == 2
        assert f"nothing can listen at 127.0.0.1, port {port}: Address already in use" in capsys.readouterr().err
    assert main(["serve", "--host", "nowhere.invalid"]) == 2
    assert "nothing can listen at nowhere.invalid, port 7860: " in capsys.readouterr().err
    assert main(["serve", "--port", "99999"]) == 2
    assert "nothing can listen at 127.0.0.1, port 99999: " in capsys.readouterr().err


def test_options_of_nobody_are_refused(capsys):
    assert main(["serve", "--describe-options", "model=here"]) == 2
    assert "name it with --describe" in capsys.readouterr().err
