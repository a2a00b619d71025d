"""A simulated job board whose truth is known, so that every claim about a ranking can be checked against it.

>>> from rankcast.testing.jobboard import simulate
>>> board = simulate(seed=7, requests=300)
>>> board.requests.height
300
"""

from rankcast.testing.jobboard.board import JobBoard, simulate
from rankcast.testing.jobboard.life import Nature
from rankcast.testing.jobboard.models import VARIANTS, Variant
from rankcast.testing.jobboard.truth import ABResult, OnlineTruth

__all__ = ["VARIANTS", "ABResult", "JobBoard", "Nature", "OnlineTruth", "Variant", "simulate"]
