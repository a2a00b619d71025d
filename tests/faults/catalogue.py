"""All faults."""

from __future__ import annotations

from faults import Fault
from faults import first, second

FAULTS: dict[str, Fault] = {**first.FAULTS, **second.FAULTS}
