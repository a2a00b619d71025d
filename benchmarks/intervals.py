"""How often 95 % intervals hold the truth, and how often nothing but chance ends in a decision.

    python benchmarks/intervals.py [--replications 2000] [--users 30 100 1000] [--methods clustered bootstrap] [--quick]

A demo is simulated and run; the targets of its run, with the values that the variants really got, are the populations. Each
replication draws users with replacement, all of a user's requests with them, and compares; the truth is the population's own
weighted mean. `naive` is the interval of a notebook: requests as if they were independent, 1.96 standard errors. `effective`:
Kish's effective number of users, (sum W)^2 / sum W^2 over users' weights W; `touched`: users with any difference; both are
medians of the samples. An interval without bounds holds everything. Shares below 93.5 % and above 96.5 % are bold.

The second table asks how often decisions come of nothing: of variants that are production's lists in an order of more or less
noise, or that are better or worse by just the margin. `--quick`: 200 replications and up to 300 users.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import get_args

import numpy as np
import numpy.typing as npt
import polars as pl

from rankcast.comparison.decision import decide
from rankcast.comparison.table import MetricColumn, Part, Terms, ValuesTable
from rankcast.comparison.verdicts import compare
from rankcast.progress import Progress
from rankcast.records import ComparisonRow, Method, Segment
from rankcast.runs.folder import Run
from rankcast.study import run, schema_files
from rankcast.testing.demo import write_demo

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Grades = npt.NDArray[np.float64]  # (requests, places)

CONFIDENCE = 0.95
METHODS: tuple[Method, ...] = ("clustered", "robust", "bootstrap")
USERS = (30, 50, 100, 300, 1000)
DRAWS = 999  # bootstrap replications
SEED = 7
FAITHFUL = 5  # requests from which on a user's own habits are known
_ROWS = 400_000  # targets that are compared at once


# --- Populations ---


@dataclass(frozen=True)
class Population:
    """Targets, those of a user together: how many each user has, the baseline's value and the difference of each target.

    `by_user`: the average weighs users alike. `whale`: the share of a sample's requests that one of its users makes.
    """

    name: str
    size: Ints
    baseline: Floats
    difference: Floats
    by_user: bool = False
    whale: float = 0.0

    @cached_property
    def start(self) -> Ints:
        """The first target of each user."""
        first: Ints = np.cumsum(self.size) - self.size
        return first

    @cached_property
    def regulars(self) -> Ints:
        """Users with so many requests that they may stand for a whale."""
        return np.flatnonzero(self.size >= FAITHFUL)

    @cached_property
    def truth(self) -> float:
        """The mean difference that intervals should hold."""
        by_user = np.add.reduceat(self.difference, self.start) / self.size
        mean = by_user.mean() if self.by_user else self.difference.mean()
        return float((1 - self.whale) * mean + self.whale * by_user[self.regulars].mean() if self.whale else mean)

    def draw(self, users: int, generator: np.random.Generator) -> tuple[Ints, Ints]:
        """The targets of so many users, and whose they are."""
        drawn = generator.integers(0, len(self.size), users - bool(self.whale))
        rows, user = _all_of(self.start[drawn], self.size[drawn])
        if not self.whale:
            return rows, user
        one = generator.choice(self.regulars)
        own = self.start[one] + generator.integers(0, self.size[one], round(len(rows) * self.whale / (1 - self.whale)))
        return np.concatenate([rows, own]), np.concatenate([user, np.full(len(own), users - 1)])

    def weight(self, user: Ints) -> Floats:
        """Weights of the targets of a sample."""
        return 1.0 / np.bincount(user)[user] if self.by_user else np.ones(len(user))


def _all_of(start: Ints, size: Ints) -> tuple[Ints, Ints]:
    """The rows of runs, and the number of the run of each."""
    owner = np.repeat(np.arange(len(size)), size)
    return np.arange(len(owner)) - np.repeat(np.cumsum(size) - size, size) + np.repeat(start, size), owner


def observed(name: str, values: pl.DataFrame, variant: str, metric: str = "dcg@10") -> Population:
    """The values of a run, a variant against production."""
    wide = values.pivot(on="variant", index=["request_id", "user_id"], values=metric).sort("user_id", "request_id")
    size = wide.group_by("user_id", maintain_order=True).len()["len"].to_numpy().astype(np.int64)
    baseline = wide["production"].to_numpy()
    return Population(name, size, baseline, wide[variant].to_numpy() - baseline)


def asked_again(population: Population, times: int = 4) -> Population:
    """Every request so many times, with the same outcome: reloads, with events that count for all of them."""
    return replace(
        population,
        name=f"{population.name}, every request {times} times",
        size=population.size * times,
        baseline=np.repeat(population.baseline, times),
        difference=np.repeat(population.difference, times),
    )


def unequal(population: Population, sigma: float = 1.5, users: int = 20_000) -> Population:
    """Users with a lognormal number of requests, which repeat those of a user of the population."""
    generator = np.random.default_rng(SEED)
    size = np.ceil(generator.lognormal(0.0, sigma, users)).astype(np.int64)
    whose = np.repeat(generator.integers(0, len(population.size), users), size)
    rows = population.start[whose] + generator.integers(0, population.size[whose])
    name = f"{population.name}, lognormal activity"
    return Population(name, size, population.baseline[rows], population.difference[rows])


def sparse(population: Population, share: float = 0.01) -> Population:
    """Only this share of the requests have a difference."""
    generator = np.random.default_rng(SEED)
    kept = share / (population.difference != 0).mean()
    thinned = np.where(generator.random(len(population.difference)) < kept, population.difference, 0.0)
    return replace(population, name=f"{population.name}, {share:.0%} of requests move", difference=thinned)


def populations(values: pl.DataFrame) -> list[Population]:
    """What a service may look like."""
    model, popular = observed("a new model", values, "two_tower"), observed("popular posts", values, "popular")
    return [
        model,
        replace(model, name="a new model, users alike", by_user=True),
        popular,
        asked_again(model),
        replace(popular, name="popular posts, one user makes 2 %", whale=0.02),
        unequal(model),
        unequal(popular),
        sparse(model),
    ]


# --- Coverage ---


@dataclass(frozen=True)
class Samples:
    """Samples of a population of so many users each, side by side: the targets of each, whose they are, in which sample."""

    population: Population
    rows: Ints
    user: Ints
    sample: Ints
    count: int

    @cached_property
    def weight(self) -> Floats:
        """Weights of the targets."""
        return np.concatenate([self.population.weight(self.user[self.sample == at]) for at in range(self.count)])

    def table(self) -> ValuesTable:
        """The values table of which every sample is a segment."""
        baseline = self.population.baseline[self.rows]
        values = {"production": baseline, "variant": baseline + self.population.difference[self.rows]}
        parts = tuple(Part(Segment(column="sample", value=at), self.sample == at) for at in range(self.count))
        metric = MetricColumn("metric", "primary", higher_is_better=True, values=values)
        variants = ("production", "variant")
        return ValuesTable("production", variants, frozenset({"variant"}), self.user, self.weight, parts, (metric,))


def samples(population: Population, users: int, replications: int, seed: int = SEED) -> Iterator[Samples]:
    """Samples of so many users, as many at once as there is room for."""
    generator = np.random.default_rng([seed, users, zlib.crc32(population.name.encode())])
    left = replications
    while left:
        drawn: list[tuple[Ints, Ints]] = []
        while len(drawn) < left and sum(len(rows) for rows, _ in drawn) * len(drawn) < _ROWS * 50:
            drawn.append(population.draw(users, generator))
        left -= len(drawn)
        sample = np.repeat(np.arange(len(drawn)), [len(rows) for rows, _ in drawn])
        rows, user = (np.concatenate(column) for column in zip(*drawn, strict=True))
        yield Samples(population, rows, user, sample, len(drawn))


def compared(drawn: Samples, method: Method, seed: int) -> list[ComparisonRow]:
    """The package's comparison of each sample."""
    terms = Terms(CONFIDENCE, None, "none", seed, method=method, replications=DRAWS, least_users=2)
    return list(compare(drawn.table(), terms).comparisons)


def naive(drawn: Samples) -> list[tuple[float, float]]:
    """The interval of each sample, had every request been a user of its own."""
    intervals = []
    for at in range(drawn.count):
        mask = drawn.sample == at
        d, w = drawn.population.difference[drawn.rows[mask]], drawn.weight[mask]
        mean = float((w * d).sum() / w.sum())
        half = 1.96 * math.sqrt(float((w**2 * (d - mean) ** 2).sum())) / float(w.sum())
        intervals.append((mean - half, mean + half))
    return intervals


@dataclass(frozen=True)
class Coverage:
    """Share of the samples whose interval holds the truth, by method; what the samples were like (medians)."""

    shares: dict[str, float]
    effective: float
    touched: float


def coverage(
    population: Population, users: int, replications: int, methods: Sequence[Method] = METHODS, seed: int = SEED
) -> Coverage:
    """Intervals of samples of so many users against the truth. No interval is one without bounds: it claims nothing."""
    held: dict[str, list[bool]] = {name: [] for name in ("naive", *methods)}
    like: list[tuple[float, float]] = []
    for number, drawn in enumerate(samples(population, users, replications, seed)):
        held["naive"] += [low <= population.truth <= high for low, high in naive(drawn)]
        rows: list[ComparisonRow] = []
        for method in methods:
            rows = compared(drawn, method, seed + number)
            held[method] += [
                row.low is None or row.high is None or row.low <= population.truth <= row.high for row in rows
            ]
        like += [(row.effective_users or 0.0, float(row.users_touched or 0)) for row in rows]
    shares = {name: float(np.mean(found)) for name, found in held.items()}
    effective, touched = np.median(like, axis=0).tolist() if like else (math.nan, math.nan)
    return Coverage(shares, effective, touched)


# --- Decisions by chance ---


@dataclass(frozen=True)
class Lists:
    """The lists that production really gave to the targets, those of a user together: the grades by place."""

    size: Ints
    grades: Grades

    @classmethod
    def of(cls, found: Run, places: int = 10) -> Lists:
        """Those of a run."""
        rows = found.slates.filter((pl.col("variant") == "production") & pl.col("target") & (pl.col("rank") <= places))
        rows = rows.sort("user_id", "request_id", "rank")
        requests = rows.group_by("user_id", "request_id", maintain_order=True).len()
        grades = np.zeros((requests.height, places))
        at = np.repeat(np.arange(requests.height), requests["len"].to_numpy())
        grades[at, rows["rank"].to_numpy() - 1] = rows["grade"].fill_null(0.0).to_numpy()
        size = requests.group_by("user_id", maintain_order=True).len()["len"].to_numpy().astype(np.int64)
        return cls(size, grades)

    def reordered(self, generator: np.random.Generator, noise: float) -> Grades:
        """The same lists, every item moved by chance."""
        places = np.arange(self.grades.shape[1]) + generator.normal(0.0, noise, self.grades.shape)
        return np.take_along_axis(self.grades, np.argsort(places, axis=1), axis=1)


def dcg(grades: Grades) -> Floats:
    """dcg of lists."""
    gained: Floats = (grades / np.log2(np.arange(2, grades.shape[1] + 2))).sum(axis=1)
    return gained


def early(grades: Grades) -> Floats:
    """The share of a list's hits that are in its first half; 0 without hits."""
    hits = (grades > 0).sum(axis=1)
    share: Floats = (grades[:, : grades.shape[1] // 2] > 0).sum(axis=1) / np.maximum(hits, 1)
    return share


def first(grades: Grades) -> Floats:
    """1 / place of the first hit; 0 without one."""
    hit = grades > 0
    return np.where(hit.any(axis=1), 1.0 / (1.0 + hit.argmax(axis=1)), 0.0)


JUDGED_BY: dict[str, Callable[[Grades], Floats]] = {"dcg": dcg, "first": first, "early": early}


@dataclass(frozen=True)
class Chance:
    """Systems that differ by chance alone: values (systems, targets, metrics), and the requests of each user."""

    size: Ints
    values: Floats

    @classmethod
    def of(cls, lists: Lists, systems: int, noise: float = 2.0) -> Chance:
        """Lists in an order that is production's but for noise."""
        generator = np.random.default_rng(SEED)
        orders = [lists.reordered(generator, noise) for _ in range(systems)]
        return cls(lists.size, np.stack([np.stack([of(order) for of in JUDGED_BY.values()], -1) for order in orders]))

    def draw(self, users: int, generator: np.random.Generator) -> tuple[Ints, Floats]:
        """Users and values of a sample. Who is which system is drawn anew for each user: no system is better than another."""
        drawn = generator.integers(0, len(self.size), users)
        rows, user = _all_of((np.cumsum(self.size) - self.size)[drawn], self.size[drawn])
        who = generator.permuted(np.tile(np.arange(len(self.values)), (users, 1)), axis=1)
        return user, np.stack([self.values[who[user, system], rows] for system in range(len(self.values))])


def decided(
    chance: Chance, users: int, replications: int, method: Method = "clustered", seed: int = SEED
) -> dict[str, float]:
    """Share of A/A studies with a primary and two guardrails in which any variant is `go`, and any guardrail `worse`."""
    generator = np.random.default_rng([seed, users])
    names = ("production", *(f"variant-{number}" for number in range(1, len(chance.values))))
    went = harmed = 0
    for number in range(replications):
        user, values = chance.draw(users, generator)
        metrics = tuple(
            MetricColumn(name, "guardrails" if at else "primary", True, dict(zip(names, values[:, :, at], strict=True)))
            for at, name in enumerate(JUDGED_BY)
        )
        table = _table(names, user, metrics)
        rows = compare(
            table, Terms(CONFIDENCE, None, "holm", seed + number, method=method, replications=DRAWS)
        ).comparisons
        went += any(one.decision == "go" for one in decide(table, rows, None, ()).values())
        harmed += any(row.verdict == "worse" and row.family == "guardrails" for row in rows)
    return {"go": went / replications, "worse": harmed / replications}


def said(
    chance: Chance,
    users: int,
    replications: int,
    margin: float,
    effect: float,
    proportional: bool = False,
    seed: int = SEED,
) -> dict[str, float]:
    """Share of studies that call a variant equivalent, or not inferior, within a margin, given its true relative effect.

    The variant of the first is better by `effect`, that of the second worse. `proportional`: the effect is that share of each
    request's own value; else it is the same for all requests. `equivalent` counts p below 5 %, `verdict` the verdict.
    """
    generator = np.random.default_rng([seed, users, proportional])
    level = float(chance.values[:2, :, 0].mean())
    found = {"equivalent": 0, "verdict": 0, "noninferior": 0}
    names = ("production", "variant")
    for number in range(replications):
        user, (baseline, other) = chance.draw(users, generator)
        baseline, other = baseline[:, 0], other[:, 0]
        moved = effect * (baseline if proportional else np.full(len(user), level))
        up, down = ({"production": baseline, "variant": other + sign * moved} for sign in (1, -1))
        metrics = (
            MetricColumn("up", "primary", True, up),
            MetricColumn("down", "guardrails", True, down, at_most_worse=margin),
        )
        rows = compare(_table(names, user, metrics), Terms(CONFIDENCE, margin, "none", seed + number)).comparisons
        found["equivalent"] += rows[0].p_equivalent is not None and rows[0].p_equivalent < 1 - CONFIDENCE
        found["verdict"] += rows[0].verdict == "equivalent"
        found["noninferior"] += bool(rows[1].noninferior)
    return {name: count / replications for name, count in found.items()}


def _table(variants: tuple[str, ...], user: Ints, metrics: tuple[MetricColumn, ...]) -> ValuesTable:
    """All targets of a sample, by traffic."""
    everything = Part(None, np.ones(len(user), dtype=bool))
    return ValuesTable(variants[0], variants, frozenset(variants[1:]), user, np.ones(len(user)), (everything,), metrics)


# --- The tables ---


def simulated(folder: Path, requests: int) -> Run:
    """A demo of so many requests, written and run."""
    write_demo(folder, requests=requests, seed=SEED, schemas=schema_files())
    return run(folder / "studies" / "two-tower.yaml", folder / "runs", Progress())


def shown(share: float) -> str:
    """A coverage, bold where it is not what was promised."""
    text = f"{share:.1%}"
    return text if 0.935 <= share <= 0.965 else f"**{text}**"


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--replications", type=int, default=2000)
    parser.add_argument("--users", type=int, nargs="*", default=list(USERS))
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=get_args(Method))
    parser.add_argument("--requests", type=int, default=50_000, help="of the simulated service")
    parser.add_argument("--quick", action="store_true", help="200 replications, up to 300 users")
    arguments = parser.parse_args()
    replications = 200 if arguments.quick else arguments.replications
    sizes = [users for users in arguments.users if users <= 300 or not arguments.quick]
    with tempfile.TemporaryDirectory() as folder:
        found = simulated(Path(folder), arguments.requests)
        services, lists = populations(found.values), Lists.of(found)
    columns = ["population", "users", "effective", "touched", "naive", *arguments.methods]
    error = 1.96 * math.sqrt(CONFIDENCE * (1 - CONFIDENCE) / replications)
    print(f"Share of {replications:,} intervals at 95 % that hold the truth (+-{error:.1%} by chance)\n")
    print(f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
    for population in services:
        for users in sizes:
            one = coverage(population, users, replications, arguments.methods)
            cells = [
                population.name,
                str(users),
                f"{one.effective:.0f}",
                f"{one.touched:.0f}",
                *map(shown, one.shares.values()),
            ]
            print(f"| {' | '.join(cells)} |", flush=True)
    print(f"\nWrong by chance, of {replications:,} studies of 200 users\n")
    print("| what | share | at most |\n| --- | --- | --- |")
    chance = decided(Chance.of(lists, systems=6), 200, replications)
    print(
        f"| any `go` of 5 variants that are production but for noise (primary, 2 guardrails) | {chance['go']:.1%} | 5.0% |"
    )
    for noise in (2.0, 0.3):
        two = Chance.of(lists, systems=2, noise=noise)
        apart = f"{(two.values[0, :, 0] != two.values[1, :, 0]).mean():.0%} of requests move"
        for proportional in (False, True):
            border = said(two, 200, replications, 0.05, 0.05, proportional)
            effect = (
                f"within 5 %, of a variant 5 % off ({'each value' if proportional else 'every request alike'}; {apart})"
            )
            print(f"| `p_equivalent` below 5 % {effect} | {border['equivalent']:.1%} | 5.0% |")
            print(f"| verdict `equivalent` {effect} | {border['verdict']:.1%} | 2.5% |")
            print(f"| `noninferior` {effect} | {border['noninferior']:.1%} | 2.5% |", flush=True)


if __name__ == "__main__":
    main()
