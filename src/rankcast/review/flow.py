"""What a workflow does with a change: check every study that it touches, say what differs, run what may be run, tell all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rankcast.errors import ConfigError, RankcastError, clip
from rankcast.records import Finding
from rankcast.report.annotations import problem_finding
from rankcast.report.review import Reviewed
from rankcast.review.studies import Change, Touched
from rankcast.runs.folder import Run
from rankcast.study import check

_LONGEST = 300
Runner = Callable[[Path], Run]
"""Runs a study, here or in a cluster."""


@dataclass(frozen=True)
class Review:
    """Every study of a change, all findings (with the paths of files), and the runs."""

    studies: tuple[Reviewed, ...]
    findings: tuple[Finding, ...]
    runs: tuple[Run, ...]

    @property
    def exit_code(self) -> int:
        """0: every study is fit, and no run is invalid; 2: a file was refused; 5: a rule found an error, or a run is invalid.

        A verdict (no-go, undecided) is what a run is for: it is no failure of the change.
        """
        if any(one.problems for one in self.studies):
            return 2
        invalid = any(word == "invalid" for one in self.studies for word in one.verdict.values())
        return 5 if invalid or not all(one.fit for one in self.studies) else 0


def review(
    change: Change, runner: Runner | None, link: str | None, with_data: bool = False, only: Sequence[str] = ()
) -> Review:
    """Look at every study that a change touches, or at those that are named; run those that were changed themselves.

    `link`: the address of a run's report, with {study} and {run} in it. Without a runner nothing of the change is executed.
    """
    touched = [Touched(path, own=True) for path in only] or change.touched()
    done = [_study(change, one, runner, link, with_data) for one in touched]
    return Review(
        tuple(one for one, _, _ in done),
        tuple(finding for _, findings, _ in done for finding in findings),
        tuple(run for _, _, run in done if run is not None),
    )


def _study(
    change: Change, touched: Touched, runner: Runner | None, link: str | None, with_data: bool
) -> tuple[Reviewed, list[Finding], Run | None]:
    seen = Reviewed(touched.path, own=touched.own, gone=touched.gone)
    if touched.gone:
        return seen, [], None
    place = Path(os.path.relpath(change.repository.root / touched.path))
    try:
        difference = change.difference(touched.path)  # reads files of the repository only, whatever links there are
        plan, found = check(place, with_data)
    except RankcastError as error:
        told = [replace(problem, file=problem.file or touched.path) for problem in error.problems]
        return replace(seen, problems=[str(one) for one in told]), [problem_finding(one) for one in told], None
    files = {"study": plan.study_file, "service": plan.service_file}
    findings = _placed(found, files)
    seen = replace(seen, findings=findings, change=difference.document(), new=change.is_new(touched.path))
    if runner is None or not touched.own or not seen.fit:
        return replace(seen, note=_why_not(runner, touched, seen)), findings, None
    return _run(seen, place, runner, link, findings)


def _why_not(runner: Runner | None, touched: Touched, seen: Reviewed) -> str | None:
    if runner is None:
        return None
    return "not run: only its service changes" if not touched.own else "not run: not fit" if not seen.fit else None


def _run(
    seen: Reviewed, place: Path, runner: Runner, link: str | None, findings: list[Finding]
) -> tuple[Reviewed, list[Finding], Run | None]:
    try:
        run = runner(place)
        report = (run.folder / "report.md").read_text(encoding="utf-8")
    except RankcastError as error:
        told = [clip(str(problem), _LONGEST) for problem in error.problems]
        return replace(seen, problems=told), [*findings, *(problem_finding(one) for one in error.problems)], None
    verdict = {name: one.decision for name, one in run.decision.items()}
    address = None if link is None else link.replace("{study}", run.result.study).replace("{run}", run.id)
    files = {name: os.path.relpath(run.folder.resolve() / file["path"]) for name, file in run.manifest["files"].items()}
    seen = replace(seen, verdict=verdict, report=report, link=address, findings=run.findings)
    return seen, _placed(run.findings, files), run


def _placed(findings: Iterable[Finding], files: dict[str, str]) -> list[Finding]:
    """Findings with the paths of their files."""
    return [one.model_copy(update={"file": files.get(one.file or "", one.file)}) for one in findings]


def check_link(link: str | None) -> None:
    """ConfigError where an address would not do."""
    if link is not None and not (link.startswith(("https://", "http://")) and "{run}" in link and ")" not in link):
        raise ConfigError(
            f"--link {clip(link, 120)}: expected an address such as https://runs.example/runs/{{study}}/{{run}}/report.html"
        )
