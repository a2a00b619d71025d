"""`${NAME}` takes an environment variable. Its value never reaches the run folder, a log, a message or a report."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rankcast.errors import Problem

LEAST_HIDDEN = 4
_NAME = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True)
class Environment:
    """The variables that the two files name, with their values on this machine."""

    values: Mapping[str, str]

    @classmethod
    def of(cls, names: Iterable[str], environ: Mapping[str, str]) -> Environment:
        """The named variables, as far as they are set."""
        return cls({name: environ[name] for name in sorted(set(names)) if name in environ})

    def expand(self, text: str) -> str:
        """The text with its variables filled in; a variable that is not set stays as it is written."""
        return _NAME.sub(lambda match: self.values.get(match[1], match[0]), text)

    def filled(self, value: Any) -> Any:
        """A value of a file with the variables of all its texts filled in."""
        if isinstance(value, str):
            return self.expand(value)
        if isinstance(value, dict):
            return {key: self.filled(inner) for key, inner in value.items()}
        return [self.filled(inner) for inner in value] if isinstance(value, list) else value

    @property
    def hidden(self) -> dict[str, str]:
        """Value -> `${NAME}`, longest value first, so that no part of a value survives.

        Values of fewer than 4 characters are no secrets, and would be found in every other word.
        """
        values = [(value, name) for name, value in self.values.items()]
        values += [(value.strip(), name) for value, name in values if value != value.strip()]
        filled = [(value, name) for value, name in values if len(value) >= LEAST_HIDDEN]
        return {value: f"${{{name}}}" for value, name in sorted(filled, key=lambda pair: -len(pair[0]))}

    def mask(self, text: str) -> str:
        """The text with every value replaced by its name."""
        for value, name in self.hidden.items():
            text = text.replace(value, name)
        return text

    def mask_problem(self, problem: Problem) -> Problem:
        """A problem whose message shows no value."""
        file = None if problem.file is None else self.mask(problem.file)
        return Problem(self.mask(problem.message), file, problem.line, problem.key)


def names_in(text: str) -> list[str]:
    """The variables that a text names.

    >>> names_in("${DATA}/${DAY}.csv")
    ['DATA', 'DAY']
    """
    return _NAME.findall(text)
