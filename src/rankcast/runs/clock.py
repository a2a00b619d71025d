"""How long the stages of a run take."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from time import perf_counter
from typing import Any, TypeVar

from rankcast.progress import Progress
from rankcast.runs.manifest import peak_memory_mb

Answer = TypeVar("Answer")


class Clock:
    """Times the stages for the manifest."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.started = datetime.now(tz=UTC)
        self.stages: list[dict[str, Any]] = []

    def time(self, stage: str, work: Callable[[], Answer]) -> Answer:
        """Do the work and note how long it took."""
        begun = perf_counter()
        outcome = work()
        self.stages.append(
            {"stage": stage, "seconds": round(perf_counter() - begun, 3), "peak_memory_mb": peak_memory_mb()}
        )
        self.progress.note(stage, f"done in {perf_counter() - begun:.1f} s")
        return outcome
