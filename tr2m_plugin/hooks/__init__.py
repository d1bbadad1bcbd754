"""Hooks for MMEngine runners."""

from tr2m_plugin.hooks.checkpoint_hook import SafeCheckpointHook
from tr2m_plugin.hooks.schedule_hook import ScheduleHook
from tr2m_plugin.hooks.seed_hook import EpochSeedHook
from tr2m_plugin.hooks.soc_hook import SOCHook

__all__ = ["EpochSeedHook", "SOCHook", "SafeCheckpointHook", "ScheduleHook"]
