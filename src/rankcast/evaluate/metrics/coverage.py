"""Catalogue coverage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rankcast.evaluate.metric import Metric


@dataclass(frozen=True)
class Coverage(Metric):
    """coverage@k = share of the available items that stand within rank k of at least one slate.

    Available is an item that was open at the time of at least one target; without an availability table, every item of
    `items`. 0 to 1, higher is better; a number per variant, so its interval comes from a bootstrap over users.
    """

    name: ClassVar[str] = "coverage"
    needs_labels: ClassVar[bool] = False
    per_request: ClassVar[bool] = False
