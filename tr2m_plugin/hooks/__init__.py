"""Hooks for MMEngine runners."""

from tr2m_plugin.hooks.soc_hook import SOCHook

__all__ = ["SOCHook"]
