"""Rankcast: hindcasts for rankings.

>>> import rankcast
>>> run = rankcast.run("study.yaml")  # doctest: +SKIP
>>> run.result.decision, run.values  # doctest: +SKIP
>>> rankcast.score({"q": {"a": 2.0, "b": 1.0}}, {"q": {"b": 1}}, ["rr@10", "ndcg@10"])
rr@10 = 0.5000 (–, 1 requests)
ndcg@10 = 0.6309 (–, 1 requests)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rankcast.runs.folder import Run
    from rankcast.scoring.compare import compare
    from rankcast.scoring.score import score
    from rankcast.scoring.scores import Comparison, Scores
    from rankcast.study import run

__version__ = "0.1.0"
__all__ = ["Comparison", "Run", "Scores", "__version__", "compare", "run", "score"]

_HOMES = {
    "Comparison": "rankcast.scoring.scores",
    "Run": "rankcast.runs.folder",
    "Scores": "rankcast.scoring.scores",
    "compare": "rankcast.scoring.compare",
    "run": "rankcast.study",
    "score": "rankcast.scoring.score",
}


def __getattr__(name: str) -> Any:
    """Names resolve on demand, so that importing costs nothing."""
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'rankcast' has no attribute {name!r}")
