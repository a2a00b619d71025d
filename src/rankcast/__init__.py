"""Rankcast: hindcasts for rankings.

>>> import rankcast
>>> run = rankcast.run("study.yaml")  # doctest: +SKIP
>>> run.result.decision, run.values  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rankcast.runs.folder import Run
    from rankcast.study import run

__version__ = "0.1.0"
__all__ = ["Run", "__version__", "run"]


def __getattr__(name: str) -> Any:
    """Names resolve on demand, so that importing costs nothing."""
    if name == "run":
        from rankcast.study import run

        return run
    if name == "Run":
        from rankcast.runs.folder import Run

        return Run
    raise AttributeError(f"module 'rankcast' has no attribute {name!r}")
