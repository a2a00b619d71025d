"""Every threshold of every rule, in one place. A service changes one under `rules:`; a rule's page shows them.

Where no source is named in the rule's page, a number is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

FEW = 30  # requests or items below which nothing is said: it cannot be checked
LEAST = 100  # requests (or rows) below which a share makes no error: it may be chance


@dataclass(frozen=True)
class Threshold:
    """A number that a rule goes by, and what it means. Below 1 it is a share, if `bounded`; without a decimal point it counts."""

    value: float
    meaning: str
    bounded: bool = True

    def refuses(self, value: float) -> str | None:
        """What is wrong with another value, if anything is.

        >>> Threshold(0.9, "a share").refuses(95)
        'expected a share from 0 to 1 (95% is 0.95), found 95'
        >>> Threshold(3, "a number").refuses(2.5)
        'expected a whole number, found 2.5'
        """
        if self.value < 1 and self.bounded and value > 1:
            return f"expected a share from 0 to 1 (95% is 0.95), found {value:g}"
        if isinstance(self.value, int) and value != int(value):
            return f"expected a whole number, found {value:g}"
        return None


def _of(**given: tuple[float, str] | tuple[float, str, bool]) -> Mapping[str, Threshold]:
    return MappingProxyType({name: Threshold(*pair) for name, pair in given.items()})


_SHARE = "share above which it is a warning"
_MORE = "share above which it is an error"

THRESHOLDS: Mapping[str, Mapping[str, Threshold]] = {
    "DT03": _of(auc=(0.95, "AUC of a single feature above which it knows the answer")),
    "DT04": _of(
        warn=(0.02, "share of a kind's events still to come, above which it is a warning"),
        error=(0.10, "the same, an error"),
    ),
    "DT05": _of(days=(7, "days of which the period is a multiple")),
    "DT06": _of(
        windows=(3, "least number of windows"),
        days=(7, "days of a window"),
        tau=(0.8, "least Kendall's tau of the order of variants between windows"),
    ),
    "DT07": _of(
        share=(0.01, "share of all events that one user may have"),
        times=(20, "and at least so many times the mean share of a user"),
        gap=(1.0, "seconds: median time between events below which a busy user is no person"),
        busy=(100, "events a day from which a user is busy"),
        least=(50, "least number of events of a user who is too busy"),
        change=(0.10, "relative change of the difference without the busiest users that is told"),
    ),
    "TG01": _of(warn=(0.01, "share of targets without a relevant label that counts as zero")),
    "TG02": _of(warn=(0.01, _SHARE), error=(0.05, _MORE)),
    "TG03": _of(tolerance=(0.001, "share of rows that may be lost without a reason")),
    "TG05": _of(warn=(0.01, _SHARE), error=(0.05, _MORE)),
    "TG06": _of(
        warn=(0.1, "population stability index above which it is a warning", False),
        error=(0.25, "the same, an error", False),
        auc_warn=(0.6, "how well request columns tell targets from the rest (AUC), above which it is a warning"),
        auc_error=(0.75, "the same, an error"),
    ),
    "CA01": _of(share=(0.5, "candidates of a request over items open then, below which they may be a sample")),
    "CA02": _of(error=(0.9, "mean Jaccard overlap of candidate sets below which it is an error")),
    "CA03": _of(error=(0.001, _MORE)),
    "CA04": _of(gap=(0.01, "difference of shares, replayed and logged, that is an error")),
    "CA05": _of(warn=(0.05, _SHARE), error=(0.20, _MORE)),
    "RP01": _of(
        warn=(0.002, "mean overlap over all requests that a missing step brings, above which it is a warning"),
        error=(0.02, "the same, an error"),
    ),
    "RP02": _of(
        warn=(0.9, "overlap below which it is a warning; the error is below the study's fidelity.at_least"),
        rank_mae=(1.0, "mean rank error of common items above which it is a warning"),
        gain=(0.02, "mean overlap that another clock or batch brings, above which it is a warning"),
        covered=(0.95, "share of replayed requests with scores of the baseline below which it is a warning"),
    ),
    "RP03": _of(warn=(0.01, "share of lists cut short above which it is a finding")),
    "RP04": _of(quantile=(0.95, "quantile of the length of shown lists that k may not exceed")),
    "RP06": _of(change=(0.01, "relative spread of the metric by the order of ties that is told")),
    "LB01": _of(
        warn=(0.10, "gap of unjudged shares above which it is a warning"),
        error=(0.25, "the same, an error where the difference on judged items has the other sign"),
    ),
    "LB02": _of(
        ratio=(2.0, "clicks per impression at rank 1 over those at rank k that call for a model of examination")
    ),
    "LB03": _of(
        rbo=(0.98, "rank-biased overlap with the log above which a variant repeats it"),
        closer=(0.02, "and by so much closer to the log than the replayed baseline"),
        correlation=(0.95, "rank correlation of a feature with the logged rank, either sign"),
    ),
    "LB04": _of(share=(0.95, "share of positives that the logged list showed")),
    "LB05": _of(top=(0.01, "share of items that are most shown"), share=(0.5, "share of positives that they hold")),
    "LB07": _of(gap=(0.05, "difference of shares between the two rules")),
    "LB08": _of(
        error=(0.10, "relative error of predicted clicks at a rank"),
        deviations=(3.0, "and at least so many standard errors"),
    ),
    "LB09": _of(
        days=(14, "days after a launch that are too early"),
        p=(0.01, "p of a trend of clicks over the days"),
        change=(0.3, "and relative change from the first day to the last"),
    ),
    "MT01": _of(effective=(100, "least number of equal requests that the weights are worth (Kish)")),
    "MT02": _of(families=(2, "least number of families of metrics")),
    "CM03": _of(ratio=(2.0, "trials of a variant over those of the baseline")),
    "ST02": _of(
        deff=(1.1, "design effect of a person's own requests that is told"),
        market=(2.0, "design effect of the other side of a market that is told"),
    ),
    "ST05": _of(
        seeds=(3, "least number of seeds"),
        deviations=(2.0, "standard deviations of seeds that a difference must exceed"),
    ),
    "CF01": _of(deterministic=(0.99, "share of propensities that are 1")),
    "CF02": _of(warn=(0.01, _SHARE), error=(0.05, _MORE)),
    "CF03": _of(share=(0.05, "least effective sample over requests"), least=(500, "least effective sample")),
    "CF04": _of(deviations=(3.0, "standard errors of the mean weight from 1")),
    "CF05": _of(deviations=(3.0, "standard errors of the estimate from the known value")),
    "CF06": _of(mass=(0.01, "share of the weights that is clipped")),
    "ON01": _of(pairs=(8, "least number of past online tests of the metric")),
    "ON02": _of(reliability=(0.7, "least reliability of an axis")),
    "ON03": _of(ratio=(1.3, "spread of all offline differences over that of the launched")),
    "ON04": _of(days=(60, "days between the offline period and the online test"), p=(0.001, "p of the sample ratio")),
    "ON05": _of(versions=(1, "most versions of the pipeline in one correlation")),
    "DT08": _of(warn=(0.001, _SHARE)),
    "DT09": _of(warn=(0.001, _SHARE)),
    "TG07": _of(warn=(0.05, _SHARE)),
    "CM06": _of(least=(0.05, "share of lists in which a variant must differ from the baseline")),
    "MT05": _of(most=(0.95, "share of targets without any difference")),
    "ST06": _of(least=(1000, "least number of replications")),
}


def of(code: str) -> Mapping[str, Threshold]:
    """The thresholds of a rule, perhaps none."""
    return THRESHOLDS.get(code, MappingProxyType({}))
