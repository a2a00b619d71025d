"""What rules cost, and how often they warn where nothing is wrong.

    python benchmarks/rules.py [FOLDER]

Runs the demo's study on 20 simulated services that nobody has spoilt (other seeds, 2,000 to 20,000 requests), counts what fires,
and takes the share of a run that goes into rules from each manifest.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path

import rankcast
from rankcast.study import schema_files
from rankcast.testing.demo import write_demo

SEEDS = range(101, 121)
REQUESTS = (2_000, 5_000, 10_000, 20_000)


def main(folder: Path) -> None:
    """Run all services and print the table."""
    warned: Counter[str] = Counter()
    errors: list[str] = []
    shares = []
    for at, seed in enumerate(SEEDS):
        place = folder / str(seed)
        write_demo(place, REQUESTS[at % len(REQUESTS)], seed, schema_files())
        done = rankcast.run(place / "studies" / "two-tower.yaml", place / "runs")
        stages = {one["stage"]: one["seconds"] for one in done.manifest["stages"]}
        shares.append(stages["rules"] / sum(stages.values()))
        for one in done.findings:
            if one.status == "fired" and one.severity == "error":
                errors.append(f"{seed}: {one.rule} {one.evidence}")
            elif one.status == "fired":
                warned[f"{one.rule} {one.name}"] += 1
    print(f"{len(SEEDS)} services: {len(errors)} errors")
    for line in errors:
        print(f"  {line}")
    print("| warning | services of 20 |")
    print("| --- | ---: |")
    for name, count in sorted(warned.items()):
        print(f"| {name} | {count} |")
    print(f"rules take {sum(shares) / len(shares):.1%} of a run, at most {max(shares):.1%}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(Path(folder))
