"""Errors, chosen by who must act. Every message says what was found, what was expected, where, and what to do next.

Problems are data: they are collected and raised once, so that a user mends a file in one round.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

MOST_SHOWN = 20  # an error must fit a screen
_LONGEST = 600
_MOST_CHOICES = 20


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with what the user gave us.

    >>> str(Problem("unknown key `perod`; did you mean `period`?", file="study.yaml", line=4, key="perod"))
    'study.yaml:4: perod: unknown key `perod`; did you mean `period`?'
    """

    message: str
    file: str | None = None
    line: int | None = None
    key: str | None = None

    def __str__(self) -> str:
        place = "" if self.file is None else self.file if self.line is None else f"{self.file}:{self.line}"
        return " ".join(clip(": ".join(part for part in (place, self.key, self.message) if part), _LONGEST).split("\n"))


@dataclass(frozen=True)
class Place:
    """Where in the two files something is written."""

    file: str | None = None
    line: int | None = None
    key: str | None = None

    @contextmanager
    def blamed(self) -> Iterator[None]:
        """Problems of data that come up inside are told as problems of this place."""
        try:
            yield
        except RankcastError as error:
            if self.file is None:
                raise
            raise DataError(Problem(one.message, self.file, self.line, self.key) for one in error.problems) from error


NOWHERE = Place()


class Terminated(BaseException):
    """Somebody said stop; no `SystemExit`, which foreign code may raise and which is told as its fault."""


class RankcastError(Exception):
    """Base of all errors that are the user's to mend; the command line answers with exit code 2."""

    problems: tuple[Problem, ...]

    def __init__(self, problems: Problem | str | Iterable[Problem]) -> None:
        if isinstance(problems, str):
            problems = Problem(problems)
        self.problems = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__(self.render())

    def render(self) -> str:
        """All problems, a line each, cut to a screen."""
        lines = [str(problem) for problem in self.problems[:MOST_SHOWN]]
        more = len(self.problems) - MOST_SHOWN
        return "\n".join(lines + ([f"... and {more} more"] if more > 0 else []))


class ConfigError(RankcastError):
    """service.yaml or study.yaml is wrong."""


class DataError(RankcastError):
    """A table is wrong: it is checked once, at the border."""


class PluginError(RankcastError):
    """A metric, step, rule or builtin cannot be found or built."""


class RunError(RankcastError):
    """A run folder cannot be written, found or read."""


def nearest(word: str, choices: Iterable[str]) -> str:
    """A hint that ends an error about an unknown name.

    >>> nearest("perod", ["period", "why"])
    '; did you mean `period`?'
    >>> nearest("zzz", ["b", "a"])
    '; known: a, b'
    """
    known = sorted(choices)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f"; did you mean `{clip(close[0], 60)}`?"
    shown = [clip(one, 40) for one in known[:_MOST_CHOICES]] + (["..."] if len(known) > _MOST_CHOICES else [])
    return f"; known: {', '.join(shown)}" if known else ""


def clip(text: str, longest: int) -> str:
    """A text cut to a length, and seen to be cut."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def show(value: object) -> str:
    """A value as it stands in a file, not as Python says it.

    >>> show(None), show(True), show("a"), show([1])
    ('nothing', 'true', '"a"', '[1]')
    """
    if value is None:
        return "nothing"
    return clip(json.dumps(value, ensure_ascii=False, default=str), 80)
