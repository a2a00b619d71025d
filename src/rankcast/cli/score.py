"""`rankcast score`: metrics of any slates file against any labels file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rankcast.cli.guard import guarded
from rankcast.cli.show import plain, print_json
from rankcast.errors import ConfigError

if TYPE_CHECKING:
    from rankcast.scoring.scores import Scores

NAME, NEEDS_ARGUMENTS = "score", True
FORMATS = ("table", "json", "csv")


@guarded
def command(
    slates: Annotated[
        str,
        typer.Argument(
            help="Lists: request_id, item_id, and score or rank; parquet, csv, ndjson or a TREC run. A glob in quotes will do.",
            show_default=False,
        ),
    ],
    labels: Annotated[
        str,
        typer.Argument(help="Labels: request_id, item_id, grade; the same kinds, or TREC qrels.", show_default=False),
    ],
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            "-m",
            help="A metric, such as ndcg@10; several times, or several in one. Without it, five of them @10.",
        ),
    ] = None,
    per_request: Annotated[
        Path | None, typer.Option(help="Also write the value of each request to this .parquet or .csv file.")
    ] = None,
    average: Annotated[
        str, typer.Option(help="What weighs the same: request, user, or a column of the labels.")
    ] = "request",
    level: Annotated[
        float | None, typer.Option(help="The least grade that is relevant; without it, any above 0.")
    ] = None,
    ties: Annotated[
        str, typer.Option(help="Order of equal scores: item_id, reverse_item_id (as trec_eval has it) or given.")
    ] = "item_id",
    missing: Annotated[str, typer.Option(help="Requests without a slate: zero or exclude.")] = "zero",
    without_labels: Annotated[str, typer.Option(help="Requests without a relevant label: zero or exclude.")] = "zero",
    columns: Annotated[
        list[str] | None, typer.Option(help="ours=theirs, such as request_id=query; several times, or a,b in one.")
    ] = None,
    items: Annotated[
        str | None, typer.Option(help="The catalogue, for metrics such as coverage: item_id and attributes.")
    ] = None,
    history: Annotated[
        str | None, typer.Option(help="What users did before, for metrics such as novelty: user_id, item_id.")
    ] = None,
    confidence: Annotated[float, typer.Option(help="Of the intervals.")] = 0.95,
    form: Annotated[str, typer.Option("--format", help="table, json or csv.")] = "table",
    json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Metrics of any slates against any labels, with intervals. Every request in the labels counts."""
    if form not in FORMATS:
        raise ConfigError(f"--format {form}: expected {', '.join(FORMATS)}")
    if per_request is not None and per_request.suffix not in {".parquet", ".csv"}:
        raise ConfigError(f"--per-request {per_request}: expected a name ending in .parquet or .csv")
    from rankcast.scoring.score import METRICS, score

    if per_request is not None:
        _spare_inputs(per_request, [one for one in (slates, labels, items, history) if one is not None])
    scores = score(
        slates,
        labels,
        _words(metric) if metric else METRICS,
        level=level,
        ties=ties,  # type: ignore[arg-type]
        missing=missing,  # type: ignore[arg-type]
        without_labels=without_labels,  # type: ignore[arg-type]
        average=average,
        columns=_mapping(columns or []),
        items=items,
        history=history,
        confidence=confidence,
    )
    if per_request is not None:
        scores.write_values(per_request)
    for note in scores.notes:
        print(f"note: {plain(note)}", file=sys.stderr)
    _print(scores, "json" if json else form)


def _spare_inputs(target: Path, inputs: list[str]) -> None:
    """ConfigError where the file to write is one of those to read."""
    from rankcast.sources.rankings import files_of

    for given in inputs:
        if target.resolve() in files_of(given):
            raise ConfigError(f"--per-request {target}: this file is read ({given}); name another one")


def _words(given: list[str]) -> list[str]:
    """Metrics as they were given; one argument may hold several, apart by spaces outside parentheses."""
    words: list[str] = []
    for text in given:
        depth, start = 0, 0
        for at, char in enumerate(text):
            depth += (char == "(") - (char == ")")
            if char.isspace() and depth == 0:
                words.append(text[start:at])
                start = at + 1
        words.append(text[start:])
    return [word for word in words if word]


def _mapping(pairs: list[str]) -> dict[str, str]:
    mapping = {}
    for pair in (part for text in pairs for part in text.split(",")):
        ours, equals, theirs = pair.partition("=")
        if not equals or not ours.strip() or not theirs.strip():
            raise ConfigError(f"--columns {pair}: expected ours=theirs, such as request_id=query")
        if ours.strip() in mapping:
            raise ConfigError(f"--columns {pair}: `{ours.strip()}` is mapped twice")
        mapping[ours.strip()] = theirs.strip()
    return mapping


def _print(scores: Scores, form: str) -> None:
    if form == "json":
        print_json(scores.document())
    elif form == "csv":
        print(scores.to_frame().write_csv(), end="")
    else:
        head = ("metric", "value", f"{scores.confidence * 100:g} % interval", "requests")
        rows = [head, *scores.lines()]
        wide = [max(len(row[at]) for row in rows) for at in range(4)]
        for metric, value, bounds, n in rows:
            print(f"{plain(metric):<{wide[0]}}  {value:>{wide[1]}}  {bounds:>{wide[2]}}  {n:>{wide[3]}}")
