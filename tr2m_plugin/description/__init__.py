"""Sentences about scenes: object lists, templates and, from files, what somebody else wrote."""
