from tr2m_plugin.checks import is_name


def test_names_of_datasets():
    assert all(map(is_name, ("mine", "my rooms", "Küche 2", "a.b", "…")))
    assert not any(map(is_name, ("", " ", "..", "a/b", "a\nb", "a\u2028b", "a\x00", "\udcff", None, 1)))
