"""Opening a record, wherever it is kept."""

from __future__ import annotations

from pathlib import Path

from rankcast.errors import RunError
from rankcast.experiment.past import Record, of_folder, of_table, source_of
from rankcast.history.table import Layout

FOLDER = "history"


def open_record(where: str, layout: Layout, timezone: str = "UTC") -> Record:
    """A folder of YAML files, or a table (parquet, csv, csv.gz, ndjson)."""
    path = Path(where)
    if path.is_dir():
        found = of_folder(path, where)
        if not found.tests:
            raise RunError(f"{where} holds no past online test (*.yaml); `rankcast history add` writes one")
        return found
    if not path.exists():
        raise RunError(
            f"no folder or file {where}; `rankcast history add RUN --online results.yaml` begins a record in {FOLDER}/"
        )
    if path.suffix in (".yaml", ".yml"):
        raise RunError(
            f"{where} is one file; expected the folder that holds it, or a table (parquet, csv, csv.gz, ndjson)"
        )
    return of_table(source_of([where], where, Path.cwd()), layout, timezone)
