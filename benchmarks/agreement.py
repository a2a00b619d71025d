"""Does offline foretell online? Sixty initiatives on simulated services whose truth is known, evaluated in four ways.

    python benchmarks/agreement.py [--seeds 10] [--requests 12000] [--services as-assumed cascade drift unwritten]
                                   [--processes 1] [--json FILE] [--of FILE ...] [--figure FILE]

naive       nDCG@10 of the raw model order: no steps, every user alike, labels are the list's clicks; as in many notebooks
plain       Rankcast: the lists that users would have seen, graded labels, dcg@10, every user alike
usage       the same, ranks weighted by how far users look (discount=examined), users by how much they use the service
full        the same, and labels are what users found without the list: what production showed has no start

For each: Pearson's correlation of the relative offline difference with the true online effect; the same with one
simulated online test of each initiative (120,000 users), as a team would see it; and the correlation behind the noise,
as `rankcast history report` gives it from offline numbers and tests alone. Services:

as-assumed  users look at places of the list; posts promise more, or less, than they keep
cascade     users read from the top until they have enough
drift       a part of their taste is another one by the time of the online test
unwritten   production has a rule that is not in service.yaml (and Rankcast's fidelity says so)
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import rankcast
from initiatives import AWAY, PRODUCTION, Initiative, initiatives
from outcomes import Point, misses, picture, table
from rankcast.config.write import to_yaml
from rankcast.runs.folder import Run
from rankcast.stats.agreement.pairs import Floats
from rankcast.testing.jobboard import JobBoard, Nature, simulate
from rankcast.testing.jobboard import truth as truths
from rankcast.testing.jobboard.arrays import NONE, Ints, normal
from rankcast.testing.jobboard.behaviour import CLICK
from rankcast.testing.jobboard.truth import Latent

BAIT = 0.4
SERVICES = {
    "as-assumed": Nature(bait=BAIT),
    "cascade": Nature("cascade", bait=BAIT),
    "drift": Nature(bait=BAIT),
    "unwritten": Nature(pauses=True, bait=BAIT),
}
DRIFT = 0.3  # share of the variance of taste that is another one
TESTED = 120_000  # users of an online test, in both arms
PLAIN, EXAMINED = "dcg@10", "dcg(discount=examined)@10"
ON_LIST = {"click": 1, "bookmark": 2, "apply": 4}
WITHOUT_LIST = {f"found_{kind}": grade for kind, grade in ON_LIST.items()}
EVENTS = """
SELECT user_id, item_id, timestamp, request_id, CASE WHEN request_id IS NULL THEN 'found_' || event ELSE event END AS event
FROM log
"""


@dataclass(frozen=True)
class World:
    """A service with sixty initiatives, what really happens, and Rankcast's run."""

    board: JobBoard
    made: tuple[Initiative, ...]
    run: Run
    unprompted: Run


def world_of(folder: Path, nature: Nature, seed: int, requests: int, processes: int) -> World:
    """Simulate a service, write it down as its team would, and evaluate all initiatives in one study."""
    board = simulate(seed, requests, nature)
    made = initiatives(board.latent, seed)
    board.write(folder / "data")
    (folder / "studies").mkdir()
    labels = {"service": {**ON_LIST, **WITHOUT_LIST}, "unprompted": WITHOUT_LIST}
    for name, grades in labels.items():
        (folder / f"{name}.yaml").write_text(to_yaml(service_document(grades)), encoding="utf-8")
    variants: dict[str, Any] = {"production": {"scores": {"path": "../data/scores/production.parquet"}}}
    for at, one in enumerate(made):
        table_of(board, one).write_parquet(folder / "data" / "scores" / f"{at}.parquet")
        variants[one.name] = {"scores": {"path": f"../data/scores/{at}.parquet"}}
        if one.serving != PRODUCTION:
            variants[one.name]["steps"] = one.serving.steps()
    runs = []
    for name in labels:
        study = folder / "studies" / f"by-{name}.yaml"
        study.write_text(to_yaml(study_document(f"../{name}.yaml", variants)), encoding="utf-8")
        runs.append(rankcast.run(study, folder / "runs", processes=processes))
    return World(board, made, *runs)


def service_document(grades: dict[str, int]) -> dict[str, Any]:
    """The service as its team knows it: without a rule that nobody wrote down."""
    tables = {name: {"path": f"data/{name}.parquet"} for name in ("items", "availability", "impressions")}
    return {
        "rankcast": 1,
        "service": "jobboard-home",
        "timezone": "Asia/Tokyo",
        "tables": {
            "requests": {"path": "data/requests.parquet", "columns": {"timestamp": "requested_at"}},
            **tables,
            "events": {"sql": EVENTS.strip(), "files": {"log": "data/events.parquet"}},
            "users": {"path": "data/users.parquet"},
        },
        "production": {"candidates": "scored", "steps": PRODUCTION.steps(), "served": 10},
        "labels": {"grades": grades, "horizon": "7d", "attribute": "last_request"},
        "behaviour": {"clicks": ["click"]},
        "targets": {
            "where": "request.surface = 'home' AND NOT request.is_bot",
            "without_labels": "exclude",
            "average": ["request", "user"],
        },
    }


def study_document(service: str, variants: dict[str, Any]) -> dict[str, Any]:
    """All initiatives in one study."""
    return {
        "rankcast": 1,
        "study": "sixty",
        "service": service,
        "why": "what offline says of sixty initiatives whose truth is known",
        "treatment": ["scores", "steps"],
        "period": {"from": "2023-10-02", "to": "2023-10-16"},
        "variants": variants,
        "baseline": "production",
        "metrics": {"primary": EXAMINED, "also": [PLAIN]},
        "seed": 7,
    }


def table_of(board: JobBoard, one: Initiative) -> pl.DataFrame:
    """The scores of an initiative as its team would write them down."""
    latent = board.latent
    pools = replace(latent.pools, scores={"production": one.scores})
    table = pools.table("production", latent.world.users.ids, latent.world.posts.ids)
    return table.filter(pl.col("score") != float(AWAY))


def drifted(latent: Latent, seed: int) -> Latent:
    """The same service when a part of everybody's taste has become another one."""
    rng = np.random.default_rng([seed, 2024])
    users, posts = latent.world.utility.shape
    rank = 8
    other = normal(rng, users, rank) @ normal(rng, rank, posts) / np.float32(rank**0.5)
    spread = latent.world.utility.std()
    mixed = np.float32((1 - DRIFT) ** 0.5) * latent.world.utility + np.float32(DRIFT**0.5) * spread * other
    return replace(latent, world=replace(latent.world, utility=mixed))


def points(service: str, seed: int, world: World) -> Iterator[Point]:
    """What is true, what a test would show and what each way says of every initiative."""
    latent = world.board.latent
    later = drifted(latent, seed) if service == "drift" else latent
    rng = np.random.default_rng([seed, 2025])
    said = {
        "naive": naive_differences(world),
        "plain": differences(world.run, PLAIN, "user"),
        "usage": differences(world.run, EXAMINED, "request"),
        "full": differences(world.unprompted, EXAMINED, "request"),
    }
    noise = truths.ab_test(later, "production", truths.counted_slates(latent, "production"), seed)
    error = noise.standard_error / noise.control * (noise.users / TESTED) ** 0.5
    for one in world.made:
        slates = one.serving.slates(latent, one.scores)
        true = truths.online(later, one.name, one.serving.liked(latent, slates)).relative_applications
        yield Point(
            service,
            seed,
            one.name,
            one.kind,
            true,
            true + error * float(rng.standard_normal()),
            error,
            {way: values[one.name] for way, (values, _) in said.items()},
            {way: errors[one.name] for way, (_, errors) in said.items()},
        )


def naive_differences(world: World) -> tuple[dict[str, float], dict[str, float | None]]:
    """Of nDCG@10 of the raw order on the list's clicks, a mean over users, as a notebook makes it; its error by users."""
    latent = world.board.latent
    events = latent.events.take((latent.events.kind == CLICK) & (latent.events.request != NONE))
    clicks = np.unique(np.stack([events.request, events.post]), axis=1)
    chosen = np.intersect1d(clicks[0], np.flatnonzero(latent.requests.counted & (latent.pools.of_request != NONE)))
    user = np.unique(latent.requests.user[chosen], return_inverse=True)[1]
    base = by_user(raw_ndcg(latent, world.board.latent.pools.scores["production"], chosen, clicks), user)
    values: dict[str, float] = {}
    errors: dict[str, float | None] = {}
    for one in world.made:
        mine = by_user(raw_ndcg(latent, one.scores, chosen, clicks), user)
        values[one.name] = float(mine.mean() / base.mean() - 1)
        rest = mine - mine.mean() / base.mean() * base
        errors[one.name] = float(rest.std(ddof=1) / base.mean() / len(base) ** 0.5)
    return values, errors


def by_user(value: Floats, user: Ints) -> Floats:
    """The mean of each user."""
    result: Floats = np.bincount(user, weights=value) / np.bincount(user)
    return result


def raw_ndcg(latent: Latent, scores: Any, chosen: Ints, clicks: Ints) -> Floats:
    """nDCG@10 of each chosen request; `clicks`: requests and posts of the labels."""
    base = 100_000
    pool = latent.pools.of_request[chosen]
    order = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    ranked = np.take_along_axis(latent.pools.post[pool], order[pool], axis=1)
    hit = np.isin(chosen[:, None] * base + ranked, clicks[0] * base + clicks[1])
    discount = 1.0 / np.log2(np.arange(2, 12))
    many = np.bincount(np.searchsorted(chosen, clicks[0][np.isin(clicks[0], chosen)]), minlength=len(chosen))
    ideal = np.concatenate([[0.0], np.cumsum(discount)])[np.minimum(many, 10)]
    value: Floats = (hit * discount).sum(axis=1) / ideal
    return value


def differences(run: Run, metric: str, average: str) -> tuple[dict[str, float], dict[str, float | None]]:
    """Relative differences of a run under an average, with their standard errors."""
    values, errors = {}, {}
    for row in run.results.averages:
        if (row.metric, row.average) == (metric, average) and row.relative is not None:
            values[row.variant] = row.relative
            errors[row.variant] = error_of(row.relative_low, row.relative_high)
    return values, errors


def error_of(low: float | None, high: float | None) -> float | None:
    """The standard error behind a 95 % interval of so many users."""
    return None if low is None or high is None else (high - low) / 2 / 1.96


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--requests", type=int, default=12_000)
    parser.add_argument("--services", nargs="+", default=list(SERVICES), choices=list(SERVICES))
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write every point")
    parser.add_argument("--figure", type=Path, help="write the picture (SVG)")
    parser.add_argument("--of", type=Path, nargs="+", help="points that were written before: nothing is run")
    given = parser.parse_args(arguments)
    found: list[Point] = []
    for path in given.of or ():
        found += [Point(**one) for one in json.loads(path.read_text(encoding="utf-8"))]
    for seed in () if given.of else range(given.first, given.first + given.seeds):
        found += of_seed(seed, given)
        if given.json:
            given.json.write_text(json.dumps([asdict(one) for one in found]), encoding="utf-8")
    print("\n".join(table(found)))
    for way in ("naive", "full"):
        print(f"\nwhere {way} fails most ({found[0].service})")
        print("\n".join(f"  {line}" for line in misses([one for one in found if one.service == found[0].service], way)))
    if given.figure:
        given.figure.write_text(picture(found), encoding="utf-8")


def of_seed(seed: int, given: argparse.Namespace) -> Iterator[Point]:
    """All services with one seed; drift shares the logs of the first."""
    shared: dict[Nature, World] = {}
    with tempfile.TemporaryDirectory() as folder:
        for service in given.services:
            nature = SERVICES[service]
            if nature not in shared:
                place = Path(folder) / service
                place.mkdir()
                shared[nature] = world_of(place, nature, seed, given.requests, given.processes)
            print(f"seed {seed} {service}", file=sys.stderr)
            yield from points(service, seed, shared[nature])


if __name__ == "__main__":
    main()
