"""Sentences about scenes: object lists, templates and, from files, what somebody else wrote."""

from tr2m_plugin.description.object_list import object_sentences
from tr2m_plugin.description.templates import ColonTemplate, colon_sentence

__all__ = ["ColonTemplate", "colon_sentence", "object_sentences"]
