"""`rankcast schema`: JSON Schema, for editors and programs."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from rankcast.cli.guard import guarded
from rankcast.cli.show import print_json

NAME, NEEDS_ARGUMENTS = "schema", True


class Subject(StrEnum):
    """What has a schema."""

    SERVICE = "service"
    STUDY = "study"
    RESULT = "result"
    ONLINE_TEST = "online_test"


@guarded
def command(
    subject: Annotated[Subject, typer.Argument(help="Which file.", show_default=False)],
) -> None:
    """Print the JSON Schema of service.yaml, study.yaml, result.json or a file of history/."""
    from rankcast.study import schema

    print_json(schema(subject.value))
