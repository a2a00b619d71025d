"""ON04 pair-misaligned."""

from __future__ import annotations

from rankcast.rules.later import OfHistory


class PairMisaligned(OfHistory):
    """The offline number and the online number describe two different things.

    Check: model, goal, population or version of the pipeline differ; the periods lie further apart than the
    threshold; the sample ratio of the online test is off. Remedy: run the study again for what was shipped; leave
    such tests out. Source: Fabijan and others, KDD 2019.
    """

    code = "ON04"
    name = "pair-misaligned"
    moment = "history"
    severity = "error"
    at = ("study", "online")
    good = """
# history: the run's model is the one that was shipped
"""
    bad = """
# history: the shipped model was trained again, months later
"""
