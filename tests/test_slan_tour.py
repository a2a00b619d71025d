"""The example on real logs: a travel agency's recommendations of July and August 2018. Skipped where the logs are not."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl
import pytest

import rankcast
from rankcast.runs.folder import Run

STUDY = Path(__file__).parents[1] / "examples" / "slan_tour" / "studies" / "reorder.yaml"
GROUPS = {"3-5": (22_495, 157, 100, 24), "16plus": (17_829, 83, 32, 5)}  # shown, clicks, expired, without validity


@pytest.fixture(scope="module", params=GROUPS)
def group_run(
    request: pytest.FixtureRequest, shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Run]:
    """The example's own files over one user group, by other paths: a folder with links to that group's log."""
    folder = tmp_path_factory.mktemp("data") / "slantour_ab"
    folder.mkdir()
    for name in (f"impressions_{request.param}.csv.gz", "item_attributes.csv.gz", "item_validity.csv.gz"):
        os.symlink(shared_data.resolve() / "slantour_ab" / name, folder / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RANKCAST_DATA", str(folder.parent))
        return request.param, rankcast.run(STUDY, out=folder.parent / "runs")


def published(shared_data: Path, group: str, column: str) -> dict[int, int]:
    counts = pl.read_csv(shared_data / "slantour_ab" / "online_counts.csv").filter(pl.col("group") == group)
    return dict(counts.select("variant", column).iter_rows())


def by_arm(frame: pl.DataFrame) -> dict[int, int]:
    return dict(frame.group_by(pl.col("user_id") % 12).len().iter_rows())


def test_shown_per_arm_equals_the_published_counts(group_run: tuple[str, Run], shared_data: Path) -> None:
    group, run = group_run
    shown = run.slates.filter(pl.col("variant") == "as_shown")
    assert len(shown) == GROUPS[group][0]
    assert by_arm(shown) == published(shared_data, group, "shown")


def test_clicks_per_arm_equal_the_published_counts(group_run: tuple[str, Run], shared_data: Path) -> None:
    group, run = group_run
    assert len(run.labels) == GROUPS[group][1]
    assert by_arm(run.labels) == published(shared_data, group, "clicks")


def test_expired_and_unknown_items_are_counted_by_the_available_step(group_run: tuple[str, Run]) -> None:
    group, run = group_run
    shown, _, expired, unknown = GROUPS[group]
    step = next(row for row in run.result.results.steps if (row.variant, row.step) == ("logged", "available"))
    assert (step.in_, step.removed, step.unknown) == (shown, expired + unknown, unknown)


def test_the_lists_as_shown_are_the_impressions(group_run: tuple[str, Run]) -> None:
    _, run = group_run
    counts = {row.variant: row for row in run.result.results.steps if row.step == "served"}
    assert counts["as_shown"].removed == 0
    fidelity = run.result.results.fidelity
    assert fidelity is not None
    assert fidelity.overlap is not None
    assert 0.99 < fidelity.overlap < 1  # the expired items are what is missing


def test_no_winner_is_announced(group_run: tuple[str, Run]) -> None:
    _, run = group_run
    primary = [row for row in run.result.results.comparisons if row.metric == "dcg@6" and row.segment is None]
    assert {row.verdict for row in primary if row.variant in ("popular", "recent")} == {"undecided"}
    assert all(row.low is not None and row.high is not None and row.low < row.high for row in primary if row.p != 1)
    assert run.exit_code() == 0  # references only: nothing to decide
