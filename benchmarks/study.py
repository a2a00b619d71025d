"""How long a study takes, and whether its cost is linear in rows.

    python benchmarks/study.py [--requests 12500 50000 200000]

Each size is a simulated job board whose study runs in a process of its own; the columns come from the run's manifest.
Ratios are to the smallest size of the same call: the cost is linear where they stay about 1.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rankcast.study import schema_files
from rankcast.testing.demo import write_demo


def measure(requests: int, folder: Path) -> dict[str, Any]:
    """Seconds per stage, candidate rows and peak memory of one study."""
    write_demo(folder, requests, seed=7, schemas=schema_files())
    command = [
        sys.executable,
        "-m",
        "rankcast",
        "run",
        str(folder / "studies" / "two-tower.yaml"),
        "--out",
        str(folder),
        "-q",
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    result = json.loads(done.stdout)
    manifest = json.loads((folder / "two-tower" / result["run"] / "manifest.json").read_text())
    return {
        "requests": requests,
        "rows": sum(variant["candidates"] for variant in result["results"]["variants"]),
        "memory": max(stage["peak_memory_mb"] for stage in manifest["stages"]),
        **{stage["stage"]: stage["seconds"] for stage in manifest["stages"]},
    }


def main() -> None:
    """Print a row per size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, nargs="+", default=[12_500, 50_000, 200_000])
    sizes = parser.parse_args().requests
    print(
        f"{'requests':>9} {'rows':>12} {'load s':>7} {'replay s':>9} {'compare s':>10} {'report s':>9} "
        f"{'Mrows/s replay':>15} {'peak MB':>8} {'s/row ratio':>12}"
    )
    first: float | None = None
    for requests in sizes:
        with tempfile.TemporaryDirectory() as folder:
            one = measure(requests, Path(folder))
        cost = (one["load"] + one["replay"]) / one["rows"]
        first = first or cost
        print(
            f"{requests:>9,} {one['rows']:>12,} {one['load']:>7.2f} {one['replay']:>9.2f} {one['compare']:>10.2f} "
            f"{one['report']:>9.2f} {one['rows'] / one['replay'] / 1e6:>15.2f} {one['memory']:>8.0f} {cost / first:>12.2f}"
        )


if __name__ == "__main__":
    main()
