"""One offline metric against one online metric: every number of the panel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rankcast.history import wording
from rankcast.history.pairing import Paired, pairs_of
from rankcast.records import history as records
from rankcast.records.history import Way
from rankcast.stats.agreement import correlations, periods
from rankcast.stats.agreement.calibration import Forecasted, calibration
from rankcast.stats.agreement.denoised import COARSE, ROUGH, Posterior, Summary, forward, leaving_one_out, posterior_of
from rankcast.stats.agreement.lines import york
from rankcast.stats.agreement.mixture import Mixture
from rankcast.stats.agreement.pairs import Floats, Ints, Pairs
from rankcast.stats.agreement.restriction import unrestricted
from rankcast.stats.agreement.signs import sign_agreement

FEWEST = 5  # pairs below which nothing is said
ENOUGH = 8  # tests from which a metric can earn trust
CREDIBLE = 0.90  # of posterior intervals
_BOOTSTRAPPED = 20  # pairs below which the bootstrap stands beside Fisher's interval
_SURE = 0.05  # corrected p below which a correlation is none of chance
_MANY = 40  # pairs above which a coarse grid will do: each says little
_OF_PERIOD = 4  # pairs of a period that has a correlation of its own


@dataclass(frozen=True)
class Context:
    """What a link is judged in. `tried`: every offline number of the metric on its scale, tested online or not."""

    confidence: float
    seed: int
    looks: int = 1
    p_adjusted: float | None = None
    tried: tuple[float, ...] = ()


def link_of(found: Paired, context: Context) -> records.Link:
    """Everything that may be said of one pair of metrics."""
    pairs, confidence = found.pairs, context.confidence
    posterior = posterior_of(pairs) if pairs.n >= FEWEST else None
    pearson = correlations.pearson(pairs.x, pairs.y, confidence)
    boot = None
    if FEWEST <= pairs.n < _BOOTSTRAPPED:
        boot = correlations.bootstrapped(pairs.x, pairs.y, confidence, context.seed)
    denoised = None if posterior is None else _denoised(posterior, pairs, confidence)
    by_period = _by_period(found, confidence)
    without = list(_without_each(found, confidence)) if pairs.n >= FEWEST else []
    driver = _driver(found, confidence, denoised, without)
    low = _low_by_test(found, posterior, pearson, confidence)
    standing = _standing(found, low, context.p_adjusted, driver)
    link = records.Link(
        online=found.online,
        offline=found.offline,
        group=found.group,
        scale_offline=found.scale_offline,
        scale_online=found.scale_online,
        turned=found.turned,
        confidence=confidence,
        pairs=found.rows,
        tests=len(found.parts),
        left_out=found.left_out,
        pearson=_row(pearson),
        bootstrap=boot,
        spearman=_row(correlations.spearman(pairs.x, pairs.y, confidence)),
        kendall=_row(correlations.kendall(pairs.x, pairs.y, confidence)),
        signs=_signs(found, pairs, confidence),
        denoised=denoised,
        line=_line(pairs),
        periods=by_period[0],
        trend=by_period[1],
        restriction=_restriction(found, context.tried, denoised),
        driver=driver,
        kept=tuple(_kept(found, without)),
        looks=context.looks,
        p_adjusted=context.p_adjusted,
        low_by_test=low,
        standing=standing,
        says="",
    )
    return link.model_copy(update={"says": wording.of_link(link)})


def _row(found: correlations.Correlation) -> records.Correlation:
    return records.Correlation(value=found.value, low=found.low, high=found.high, p=found.p, n=found.n)


def _estimate(found: Summary) -> records.Estimate:
    return records.Estimate(median=found.median, low=found.low, high=found.high, positive=found.positive)


def _denoised(posterior: Posterior, pairs: Pairs, confidence: float) -> records.Denoised:
    low, high = posterior.allowed(confidence)
    return records.Denoised(
        correlation=_estimate(posterior.correlation(CREDIBLE)),
        allowed_low=low,
        allowed_high=high,
        slope=_estimate(posterior.slope(CREDIBLE)),
        reliability_offline=_estimate(posterior.reliability_x(pairs, CREDIBLE)),
        reliability_online=_estimate(posterior.reliability_y(pairs, CREDIBLE)),
    )


def _signs(found: Paired, pairs: Pairs, confidence: float) -> records.Signs | None:
    """Levels have no sign."""
    if "level" in (found.scale_offline, found.scale_online) or not pairs.n:
        return None
    signs = sign_agreement(pairs, confidence)
    return records.Signs(**{name: getattr(signs, name) for name in records.Signs.model_fields})


def _line(pairs: Pairs) -> records.Line | None:
    line = york(pairs) if pairs.n >= FEWEST else None
    return None if line is None else records.Line(**{name: getattr(line, name) for name in records.Line.model_fields})


# --- Periods ---


def _by_period(found: Paired, confidence: float) -> tuple[tuple[records.PeriodLink, ...], records.Trend | None]:
    """Each period by itself and partly pooled; nothing where there is only one."""
    names = list(dict.fromkeys(one.period for one in found.rows if one.period is not None))
    if len(names) < 2:
        return (), None
    parts = {name: pairs_of([one for one in found.rows if one.period == name]) for name in names}
    pearson = {name: correlations.pearson(part.x, part.y, confidence) for name, part in parts.items()}
    posteriors = {name: posterior_of(part, COARSE) if part.n >= _OF_PERIOD else None for name, part in parts.items()}
    known = {name: one.likelihood_of_z() for name, one in posteriors.items() if one is not None}
    z: Floats = next(iter(known.values()))[0] if known else np.zeros(0)
    pooled = periods.partially_pooled(z, [one[1] for one in known.values()], CREDIBLE) if len(known) > 1 else None
    places = {name: at for at, name in enumerate(known)}
    rows = tuple(
        records.PeriodLink(
            period=name,
            n=parts[name].n,
            pearson=_row(pearson[name]),
            pooled=None
            if pooled is None or name not in places
            else (pooled.medians[places[name]], *pooled.bounds[places[name]]),
        )
        for name in names
    )
    measured = [one for one in pearson.values() if one.value is not None]
    trend = periods.trend([one.value or 0.0 for one in measured], [one.n for one in measured])
    return rows, records.Trend(
        z=None if trend is None else trend.z,
        p=None if trend is None else trend.p,
        rises=None if pooled is None else pooled.rises,
    )


# --- What the result hangs on ---


def _restriction(
    found: Paired, tried: Sequence[float], denoised: records.Denoised | None
) -> records.Restriction | None:
    """The tested against all that was evaluated, tested or not."""
    tested = [one.offline for one in found.rows]
    every = [*tested, *found.untested, *tried]
    if len(tested) < 2 or len(every) < FEWEST:
        return None
    spread = float(np.std(tested, ddof=1))
    ratio = float(np.std(every, ddof=1)) / spread if spread > 0 else None
    corrected = None
    if ratio is not None and denoised is not None and ratio > 1:
        corrected = unrestricted(denoised.correlation.median, ratio, 1.0)
    return records.Restriction(
        evaluated=len(every), tested=len(tested), ratio=ratio, least=min(tested), correlation=corrected
    )


@dataclass(frozen=True)
class _Without:
    """What the others say without one test (`part`: its pairs): their observed correlation, the lower end of what they allow, and
    what they foretell for each of its pairs.
    """

    part: Ints
    pearson: float | None
    low: float | None
    foretold: tuple[Mixture, ...]


def _without_each(found: Paired, confidence: float) -> Iterator[_Without]:
    pairs, parts = found.pairs, found.parts
    posteriors = dict(leaving_one_out(pairs, _cells(pairs), parts))
    for number, part in enumerate(parts):
        rest = pairs.without(part)
        seen = correlations.pearson(rest.x, rest.y, confidence)
        posterior = posteriors.get(number)
        if posterior is None:
            yield _Without(part, seen.value, seen.low, ())
        else:
            low = posterior.allowed(confidence)[0] if rest.n >= FEWEST else None
            yield _Without(part, seen.value, low, _foretold(posterior, pairs, part))


def _foretold(posterior: Posterior, pairs: Pairs, part: Ints) -> tuple[Mixture, ...]:
    return tuple(posterior.forecast(float(pairs.x[one]), float(pairs.error_x[one])) for one in part)


def _cells(pairs: Pairs) -> tuple[int, int]:
    return COARSE if pairs.n <= _MANY else ROUGH


def _driver(
    found: Paired, confidence: float, denoised: records.Denoised | None, without: Sequence[_Without]
) -> records.Driver | None:
    """The test whose removal moves Pearson's correlation most, or one that would take the earned trust away."""
    seen = correlations.pearson(found.pairs.x, found.pairs.y, confidence)
    if not without or seen.value is None:
        return None
    low = seen.low if denoised is None else denoised.allowed_low

    def overturns(one: _Without) -> bool:
        return (low or -1.0) > 0 >= (-1.0 if one.low is None else one.low)

    worst = max(without, key=lambda one: (overturns(one), abs((seen.value or 0.0) - (one.pearson or 0.0))))
    rows = [found.rows[one] for one in worst.part]
    return records.Driver(
        test=rows[0].test,
        variant=", ".join(row.variant for row in rows),
        pearson=seen.value,
        without=worst.pearson,
        overturns=overturns(worst),
    )


def _kept(found: Paired, without: Sequence[_Without]) -> Iterator[records.Kept]:
    """Past forecasts, each made without the test that it foretells; forward in time where every test has a date."""
    pairs, parts = found.pairs, found.parts
    if pairs.n <= FEWEST:
        return
    left_out = [(one.part, one.foretold, pairs.without(one.part)) for one in without]
    ahead = [
        (parts[number], _foretold(posterior, pairs, parts[number]), pairs.take(np.concatenate(parts[:number])))
        for number, posterior in forward(pairs, FEWEST, _cells(pairs), parts)
        if all(row.start is not None for row in found.rows)
    ]
    ways: tuple[tuple[Way, list[tuple[Ints, tuple[Mixture, ...], Pairs]]], ...]
    ways = (("leave one out", left_out), ("forward in time", ahead))
    for way, told in ways:
        past, shown = [], []
        forecasts = [
            (one, mixture, others.y)
            for part, made, others in told
            if made
            for one, mixture in zip(part, made, strict=True)
        ]
        for one, mixture, others in forecasts:
            seen, observed = mixture.with_error(float(pairs.error_y[one])), float(pairs.y[one])
            past.append(Forecasted(mixture.mean, seen.below(observed), observed, float(others.mean())))
            low, high = seen.interval(0.8)
            test, variant = found.rows[one].test, found.rows[one].variant
            shown.append(
                records.Foretold(test=test, variant=variant, mean=mixture.mean, low=low, high=high, observed=observed)
            )
        kept = calibration(past)
        if kept is not None:
            yield records.Kept(
                way=way,
                n=kept.n,
                coverage=(kept.coverage[0], kept.coverage[1], kept.coverage[2]),
                slope=kept.slope,
                intercept=kept.intercept,
                skill=kept.skill,
                forecasts=tuple(shown),
            )


def _low_by_test(
    found: Paired, posterior: Posterior | None, pearson: correlations.Correlation, confidence: float
) -> float | None:
    """The lower end of what is not ruled out, with one pair a test: the variants of a test are no independent witnesses."""
    parts = found.parts
    if len(parts) < found.pairs.n:
        if len(parts) < FEWEST:
            return None
        means = found.pairs.means(parts)
        posterior, pearson = posterior_of(means), correlations.pearson(means.x, means.y, confidence)
    return pearson.low if posterior is None else posterior.allowed(confidence)[0]


def _standing(
    found: Paired, low: float | None, p_adjusted: float | None, driver: records.Driver | None
) -> records.Standing:
    """Trust is earned where enough tests rule out that the metric foretells nothing, after all looks, without any one of them."""
    if len(found.rows) < FEWEST:
        return "too few"
    sure = p_adjusted is not None and p_adjusted < _SURE and low is not None and low > 0
    if len(found.parts) >= ENOUGH and sure and not (driver is not None and driver.overturns):
        return "earned"
    return "unproven"
