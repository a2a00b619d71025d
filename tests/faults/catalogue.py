"""All faults."""

from __future__ import annotations

from faults import Fault, first, second

FAULTS: dict[str, Fault] = {**first.FAULTS, **second.FAULTS}
