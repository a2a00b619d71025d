"""What to expect online of a variant that was not tested yet, and what a test of it would teach."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log, pi, sqrt

import numpy as np

from rankcast.history.link import ENOUGH, FEWEST
from rankcast.history.pairing import pairs_of
from rankcast.history.tests import Change
from rankcast.records.history import Forecast, Link
from rankcast.stats.agreement.calibration import LEVELS
from rankcast.stats.agreement.denoised import Posterior, posterior_of
from rankcast.stats.agreement.mixture import Mixture
from rankcast.text import effect


@dataclass(frozen=True)
class Candidate:
    """A variant that was evaluated and not tested."""

    variant: str
    change: Change


@dataclass(frozen=True)
class Worth:
    """Of testing a candidate: the expected online gain if it is launched only where the effect is above 0, and how much a test
    would teach about the link (bits, about).
    """

    gain: float
    teaches: float


class Oracle:
    """Forecasts by one link; its posterior is made once. `remark`: on how few tests there are; `refusal`: why there is none."""

    def __init__(self, link: Link, remark: str = "", refusal: str | None = None) -> None:
        self.link = link
        self.remark, self.refusal = remark, refusal
        pairs = pairs_of(link.pairs)
        self.posterior: Posterior | None = posterior_of(pairs) if pairs.n >= FEWEST else None
        known = pairs.error_y[np.isfinite(pairs.error_y)]
        self.usual_error = float(np.median(known)) if len(known) else 0.0

    def forecast(self, candidate: Candidate, smallest: float | None) -> Forecast:
        """The predictive distribution of the true online effect. `smallest`: the effect that matters, as a relative change."""
        given = self._given(candidate)
        missing = self._missing(given)
        if missing is not None or given is None or self.posterior is None:
            return self._row(candidate, given, missing or "it cannot be made")
        mixture = self.posterior.forecast(*given)
        least = self._smallest(smallest)
        intervals = tuple(mixture.interval(level) for level in LEVELS)
        row = self._row(candidate, given, "")
        told = row.model_copy(
            update={
                "mean": mixture.mean,
                "intervals": intervals,
                "positive": mixture.above(0.0),
                "smallest": least,
                "above_smallest": None if least is None else mixture.above(least),
            }
        )
        return told.model_copy(update={"says": self._says(told)})

    def worth(self, candidate: Candidate) -> Worth | None:
        """None where no forecast can be made."""
        given = self._given(candidate)
        if self._missing(given) is not None or given is None or self.posterior is None:
            return None
        mixture = self.posterior.forecast(*given)
        return Worth(_positive_part(mixture), _information(mixture.with_error(self.usual_error)))

    def _given(self, candidate: Candidate) -> tuple[float, float] | None:
        change, scale = candidate.change, self.link.scale_offline
        value, error = (
            (change.log_ratio, change.error_log_ratio) if scale == "relative" else (change.difference, change.error)
        )
        return None if value is None or error is None else (value, error)

    def _missing(self, given: tuple[float, float] | None) -> str | None:
        link, n = self.link, len(self.link.pairs)
        if self.refusal is not None or n < FEWEST:
            told = f"{n} past tests pair {link.offline} with {link.online}{self.remark}"
            return self.refusal or f"{told}; at least {FEWEST} are needed, {ENOUGH} to trust it"
        if "level" in (link.scale_offline, link.scale_online):
            return "the past has levels, not differences from a control"
        lacking = [one for one in link.pairs if one.offline_error is None or one.online_error is None]
        if lacking:
            some = f"{len(lacking)} of {n} past tests lack a standard error"
            return f"{some}, such as {lacking[0].test} ({lacking[0].variant})"
        if self.posterior is None:
            return "one of the two numbers does not vary in the past"
        if given is None:
            return f"the {link.scale_offline} difference of {link.offline}, or its standard error, is not known"
        return None

    def _smallest(self, relative: float | None) -> float | None:
        if relative is None or self.link.scale_online != "relative":
            return None
        return log(1.0 + relative)

    def _row(self, candidate: Candidate, given: tuple[float, float] | None, missing: str) -> Forecast:
        link = self.link
        return Forecast(
            variant=candidate.variant,
            offline=link.offline,
            online=link.online,
            n=len(link.pairs),
            scale=link.scale_online,
            scale_offline=link.scale_offline,
            turned=link.online in link.turned,
            turned_offline=link.offline in link.turned,
            group=link.group,
            given=None if given is None else given[0],
            mean=None,
            standing=link.standing,
            says=f"Nothing can be foretold of {link.online}: {missing}." if missing else "",
        )

    def _says(self, row: Forecast) -> str:
        """In words; a metric of which less is better is told as it is seen, not with its sign turned."""
        scale, sign = row.scale, -1 if row.turned else 1
        of_group = f" of {row.group}" if row.group else ""
        low, high = sorted(sign * one for one in row.intervals[1])
        told = (
            f"By {row.n} past tests{of_group}, {row.online} will change by {effect(sign * (row.mean or 0.0), scale)} (80 %: "
            f"{effect(low, scale)} to {effect(high, scale)}); the chance of {'an improvement' if row.turned else 'a gain'} is "
            f"{row.positive:.0%}"
        )
        if row.above_smallest is not None and row.smallest:
            told += f", of more than {effect(row.smallest, scale).lstrip('+')} {row.above_smallest:.0%}"
        if row.standing != "earned":
            told += f". {row.offline} has not earned trust: take it as what the past allows, not as what it proves"
        return f"{told}."


def _positive_part(mixture: Mixture) -> float:
    """E max(effect, 0): of a normal distribution m Phi(m / s) + s phi(m / s)."""
    from scipy.special import ndtr

    spread = np.maximum(mixture.deviations, 1e-12)
    z = mixture.means / spread
    return float(mixture.weight @ (mixture.means * ndtr(z) + spread * np.exp(-0.5 * z * z) / sqrt(2 * pi)))


def _information(mixture: Mixture) -> float:
    """About the mutual information, in bits, of a test's result and the link: log of how much wider the forecast is than it
    would be if the link were known, both taken as normal.
    """
    within = exp(float(mixture.weight @ np.log(np.maximum(mixture.deviations, 1e-12))))
    return max(0.0, log(mixture.deviation / within) / log(2.0)) if within > 0 else 0.0
