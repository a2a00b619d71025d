"""How lists are held against labels: what must be the same where two scores are compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from rankcast.errors import ConfigError, show
from rankcast.evaluate.ordering import Ties

Fate = Literal["zero", "exclude"]


@dataclass(frozen=True)
class Settings:
    """The least relevant grade, the order of ties, what becomes of requests without a slate or a relevant label, the average."""

    level: float | None
    ties: Ties
    missing: Fate
    without_labels: Fate
    average: str

    def check(self) -> None:
        """ConfigError where a value is none of those that there are."""
        for name, choices in (
            ("ties", get_args(Ties)),
            ("missing", get_args(Fate)),
            ("without_labels", get_args(Fate)),
        ):
            value = getattr(self, name)
            if value not in choices:
                raise ConfigError(f"{name}: expected {' or '.join(choices)}, found {show(value)}")
        if self.level is not None and not (_is_number(self.level) and 0 < self.level < float("inf")):
            raise ConfigError(f"level: expected a grade above 0, found {show(self.level)}")
        if not isinstance(self.average, str):
            raise ConfigError(f"average: expected request, user or a column of the labels, found {show(self.average)}")


def check_confidence(confidence: float) -> None:
    """ConfigError where it is none."""
    if not _is_number(confidence) or not 0.5 <= confidence < 1:
        raise ConfigError(f"confidence: expected a number from 0.5 to below 1, found {show(confidence)}")


def check_smallest_effect(effect: float | None) -> None:
    """ConfigError where it is none."""
    if effect is not None and not (_is_number(effect) and 0 < effect < float("inf")):
        raise ConfigError(f"smallest_effect: expected a share above 0, such as 0.01, found {show(effect)}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
