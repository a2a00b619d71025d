"""Builtin variants: references against which a model should be seen. One file each, found by their entry points."""
