"""SQL over request.*, item.*, user.* and score, one row at a time: a boolean (`where`; null drops) or a number (`rerank`).

Polars parses and evaluates it; nothing else in SQL (files, tables, other rows) can be reached.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

from rankcast.errors import ConfigError, DataError, clip, show
from rankcast.tables.logs import Bools, Floats

Gather = Callable[[str, str], pl.Series]
SCOPES = ("request", "item", "user")
_TOKEN = re.compile(
    r"""(?P<text>'(?:[^']|'')*')
      |(?P<column>\b(?:request|item|user)\s*\.\s*(?:"[^"]+"|[A-Za-z_][A-Za-z0-9_]*))
      |(?P<quoted>"[^"]*")
      |(?P<truth>\bIS\s+(?P<negated>NOT\s+)?(?P<value>TRUE|FALSE)\b)
      |(?P<call>\b[A-Za-z_][A-Za-z0-9_]*\s*(?=\())
      |(?P<word>\b[A-Za-z_][A-Za-z0-9_]*\b)""",
    re.VERBOSE | re.IGNORECASE,
)
_FUNCTIONS = frozenset({
    "abs", "ceil", "ceiling", "floor", "round", "sign", "sqrt", "exp", "ln", "log", "log2", "log10", "log1p", "mod", "pow",
    "power", "greatest", "least", "coalesce", "ifnull", "nullif", "if", "concat", "concat_ws", "contains", "starts_with",
    "ends_with", "left", "right", "substr", "substring", "replace", "reverse", "lower", "upper", "trim", "ltrim", "rtrim",
    "btrim", "length", "char_length", "octet_length", "strpos", "position", "regexp_like", "date", "date_part", "extract", "cast",
    "try_cast", "array_contains", "array_length", "in", "and", "or", "not", "when", "then", "else", "between", "like", "ilike",
    "case", "is", "from",
})  # fmt: skip
_KEYWORDS = frozenset({
    "and", "or", "not", "in", "is", "null", "true", "false", "between", "like", "ilike", "rlike", "regexp", "similar", "to",
    "escape", "case", "when", "then", "else", "end", "distinct", "from", "as", "for", "date", "time", "timestamp", "datetime",
    "interval", "int", "integer", "bigint", "smallint", "tinyint", "float", "double", "precision", "real", "decimal", "numeric",
    "varchar", "char", "text", "string", "boolean", "bool", "div", "xor", "year", "month", "day", "hour", "minute", "second",
    "week", "dow", "isodow", "quarter", "doy", "epoch",
})  # fmt: skip
MOST_CHARACTERS = 4_000  # the parser's cost grows faster than the text


@dataclass(frozen=True)
class Expression:
    """A parsed expression. `columns` are the (scope, column) that it reads; `score` says whether it reads the score."""

    text: str
    columns: frozenset[tuple[str, str]]
    score: bool
    rewritten: str

    @classmethod
    def parse(cls, text: object, scopes: tuple[str, ...] = SCOPES, score: bool = True) -> Expression:
        """ConfigError says what is wrong.

        >>> sorted(Expression.parse("item.wage > 3 AND NOT request.is_bot").columns)
        [('item', 'wage'), ('request', 'is_bot')]
        """
        if not isinstance(text, str) or not text.strip():
            raise ConfigError(f'expected SQL such as "NOT item.is_test", found {show(text)}')
        if len(text) > MOST_CHARACTERS:
            raise ConfigError(
                f"{len(text):,} characters; expected at most {MOST_CHARACTERS:,}; make it a column of a table with `sql`"
            )
        columns: set[tuple[str, str]] = set()
        words: set[str] = set()

        def rewrite(match: re.Match[str]) -> str:
            if match["column"]:
                scope, _, name = (part.strip() for part in match["column"].partition("."))
                columns.add((scope.lower(), name.strip('"')))
                return f'"{scope.lower()}.{name.strip(chr(34))}"'
            if match["truth"]:  # Polars answers null to `null IS NOT TRUE`; SQL says true
                return f"IS {'' if match['negated'] else 'NOT '}DISTINCT FROM {match['value']}"
            if match["call"] and match["call"].strip().lower() not in _FUNCTIONS:
                raise ConfigError(
                    f"the function `{match['call'].strip()}` cannot be used here: a condition looks at one row at a time; "
                    f"known: {', '.join(sorted(_FUNCTIONS - _KEYWORDS))}"
                )
            if match["quoted"]:
                name = match["quoted"]
                raise ConfigError(f"{name} is no column here; expected request.{name}, item.{name} or user.{name}")
            word = (match["word"] or "").lower()
            words.add(word)
            return "score" if word == "score" else match[0]

        rewritten = _TOKEN.sub(rewrite, text)
        unknown = sorted(words - _KEYWORDS - {"", "score"})
        if unknown:
            name = unknown[0]
            raise ConfigError(f"`{name}` is no column here; expected request.{name}, item.{name} or user.{name}")
        try:
            pl.sql_expr(rewritten)
        except (pl.exceptions.PolarsError, BaseExceptionGroup) as error:
            raise ConfigError(f"cannot be parsed: {_first_line(error)}: `{clip(text, 200)}`") from error
        foreign = sorted(f"{scope}.{name}" for scope, name in columns if scope not in scopes)
        if foreign:
            raise ConfigError(f"`{foreign[0]}` cannot be read here; expected columns of {', '.join(scopes)}")
        reads_score = "score" in words
        if reads_score and not score:
            raise ConfigError("`score` cannot be read here: there is no item yet")
        return cls(text, frozenset(columns), reads_score, rewritten)

    def evaluate(self, gather: Gather, size: int, score: pl.Series | None = None) -> Bools:
        """Where it is true, over `size` rows; `gather(scope, column)` gives a column's value for each row."""
        answer = self._answer(gather, size, score)
        if answer.dtype not in (pl.Boolean, pl.Null):
            raise DataError(f"expected a boolean, `{clip(self.text, 200)}` gives {answer.dtype}")
        return answer.cast(pl.Boolean).fill_null(value=False).to_numpy()

    def numbers(self, gather: Gather, size: int, score: pl.Series | None = None) -> Floats:
        """Its value in each of `size` rows, NaN where it is null; `gather` as in `evaluate`."""
        answer = self._answer(gather, size, score)
        if not answer.dtype.is_numeric() and answer.dtype != pl.Null:
            raise DataError(f"expected a number, `{clip(self.text, 200)}` gives {answer.dtype}")
        numbers: Floats = answer.cast(pl.Float64).fill_null(np.nan).to_numpy()
        return numbers

    def _answer(self, gather: Gather, size: int, score: pl.Series | None) -> pl.Series:
        columns = [gather(scope, name).alias(f"{scope}.{name}") for scope, name in sorted(self.columns)]
        if self.score and score is not None:
            columns.append(score.alias("score"))
        frame = pl.DataFrame(columns) if columns else pl.DataFrame({"": pl.repeat(0, size, eager=True)})
        try:
            answer = frame.select(answer=pl.sql_expr(self.rewritten))["answer"]
        except pl.exceptions.PolarsError as error:
            raise DataError(f"{_first_line(error)}: `{clip(self.text, 200)}`") from error
        return answer.new_from_index(0, size) if len(answer) == 1 != size else answer

    def needs(self) -> frozenset[str]:
        """The columns that it reads, as `scope.column`, and `score`."""
        score = {"score"} if self.score else set()
        return frozenset(f"{scope}.{name}" for scope, name in self.columns) | score


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
