import pytest


def test_the_package_offers_its_hook():
    import tr2m_plugin
    from tr2m_plugin.hooks import SOCHook

    assert tr2m_plugin.SOCHook is SOCHook
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = tr2m_plugin.Nothing
