"""Rankcast against the simulated service's truth: the slates that it replays are those that the service would show."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest


def slates(demo: Any, variant: str) -> pl.DataFrame:
    return demo.run.slates.filter(pl.col("variant") == variant).select("request_id", "item_id", "rank")


def test_replayed_production_is_what_was_shown(demo: Any) -> None:
    fidelity = demo.run.result.results.fidelity
    assert (fidelity.overlap, fidelity.exact) == (1.0, 1.0)


@pytest.mark.parametrize("variant", ["production", "two_tower"])
def test_replayed_slates_online_are_the_variant_online(demo: Any, variant: str) -> None:
    replayed, served = demo.board.online(slates(demo, variant)), demo.board.online(variant)
    assert replayed.applications == pytest.approx(served.applications, rel=1e-12)
    assert replayed.clicks == pytest.approx(served.clicks, rel=1e-12)


def test_any_slates_can_be_put_online(demo: Any) -> None:
    popular = demo.board.online(slates(demo, "popular"))
    assert popular.relative_applications < -0.2  # as its offline value says
    test = demo.board.ab_test(slates(demo, "popular"), seed=0)
    assert test.high < 0


@pytest.mark.parametrize(
    ("left_out", "least"), [("available", 0.02), ("cap", 0.005), ("not_seen", 0.005), ("match", 0.05)]
)
def test_a_step_that_is_not_replayed_costs_fidelity(demo: Any, tmp_path: Any, left_out: str, least: float) -> None:
    import rankcast

    for name in ("data", "schema", "history"):
        (tmp_path / name).symlink_to(demo.folder / name)
    (tmp_path / "studies").mkdir()
    service = [line for line in (demo.folder / "service.yaml").read_text().splitlines() if f"- {left_out}" not in line]
    (tmp_path / "service.yaml").write_text("\n".join(service))
    (tmp_path / "studies" / "study.yaml").write_text(demo.study("two-tower").read_text())
    fidelity = rankcast.run(tmp_path / "studies" / "study.yaml", out=tmp_path / "runs").result.results.fidelity
    assert fidelity is not None
    assert fidelity.overlap is not None
    assert fidelity.overlap < 1 - least
