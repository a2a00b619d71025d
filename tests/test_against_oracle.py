"""Every figure of `result.json` against the plain-Python oracle, on random worlds."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

import agreement
import worlds


@settings(max_examples=120)
@given(world=worlds.worlds())
def test_every_figure_equals_the_oracle(world: worlds.World, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("world")
    for study in world.write(folder):
        assert agreement.differences(study, folder / "runs") == []


@pytest.mark.slow
@settings(max_examples=25)
@given(world=worlds.worlds(large=True))
def test_worlds_large_enough_for_verdicts_by_segment(
    world: worlds.World, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("world")
    for study in world.write(folder):
        assert agreement.differences(study, folder / "runs") == []


def test_the_comparison_sees_a_wrong_figure(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rankcast.replay import candidates

    folder = tmp_path_factory.mktemp("world")
    studies = worlds.World(1, {"size": "small", "steps": 3, "metrics": 5}).write(folder)
    assert agreement.differences(studies[0], folder / "runs") == []
    monkeypatch.setattr(candidates.Batches, "candidates", _backwards(candidates.Batches.candidates))
    assert agreement.differences(studies[0], folder / "other") != []


def _backwards(candidates):  # type: ignore[no-untyped-def]
    """Lists in the wrong order: worst first."""
    from dataclasses import replace

    from rankcast.replay.lists import ordered

    def wrong(self, requests, logs, *what_if):  # type: ignore[no-untyped-def]
        scored = candidates(self, requests, logs, *what_if)
        lists = scored.lists
        return replace(scored, lists=ordered(requests, lists.position, lists.item, -lists.value))

    return wrong
