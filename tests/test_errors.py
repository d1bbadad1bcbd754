import pytest

from tr2m_plugin.errors import MissingExtraError, TR2MError, require


def test_a_missing_extra_is_named():
    with pytest.raises(
        MissingExtraError, match=r"no_such_module.sub is not installed; .* pip install 'tr2m_plugin\[data\]'"
    ):
        require("no_such_module.sub", "to test", "data")
    assert issubclass(MissingExtraError, TR2MError)
    assert issubclass(MissingExtraError, ImportError)


def test_an_error_inside_an_installed_package_is_not_hidden(tmp_path, monkeypatch):
    (tmp_path / "breaks.py").write_text("import something_it_lacks")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="something_it_lacks") as caught:
        require("breaks", "to test", "data")
    assert not isinstance(caught.value, MissingExtraError)


def test_present_packages_are_imported():
    assert require("json", "to test", "data").dumps(1) == "1"
