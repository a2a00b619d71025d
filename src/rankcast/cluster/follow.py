"""Following a Job: its pods one after the other, their logs line by line, until it is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rankcast.cluster.client import Cluster
from rankcast.cluster.job import CONTAINER
from rankcast.errors import RunError, clip

_PAUSE = 2.0  # seconds between two looks


@dataclass(frozen=True)
class End:
    """How a Job ended: whether it is complete, why not, the exit code of its last pod and the last words of that."""

    complete: bool
    reason: str
    exit_code: int | None
    words: str


@dataclass
class Follower:
    """`say` prints what happens, `line` a line of the log."""

    cluster: Cluster
    job: str
    say: Callable[[str], None]
    line: Callable[[str], None]
    pause: float = _PAUSE
    _shown: dict[str, int] = field(default_factory=dict)
    _told: dict[str, str] = field(default_factory=dict)

    def follow(self) -> End:
        """Until the Job is complete or has failed."""
        while True:
            job = self.cluster.job(self.job)
            if job is None:
                raise RunError(f"the Job {self.job} is gone: somebody deleted it, or its time to live is over")
            pods = self.cluster.pods(self.job)
            for pod in pods:
                self._look_at(pod)
            if not pods:
                self._tell(self.job, self._without_pod(job))
            end = _end(job)
            if end is not None:
                pods = self.cluster.pods(self.job)
                for pod in pods:
                    self._look_at(pod)
                code, words = _last_words(pods)
                return End(end[0], end[1], code, words)
            time.sleep(self.pause)

    def _look_at(self, pod: Mapping[str, Any]) -> None:
        """Show what is new of a pod. A log whose connection is cut is read again from its beginning, without what was shown."""
        name, phase = pod["metadata"]["name"], pod.get("status", {}).get("phase", "Pending")
        if self._told.get(name) == "over":
            return
        if phase == "Pending":
            self._tell(name, self._waiting(pod))
            return
        if name not in self._shown:
            self._tell(name, "runs")
        shown = self._shown.setdefault(name, 0)
        over = phase in ("Succeeded", "Failed")
        try:
            for number, line in enumerate(self.cluster.log(name, over)):
                if number >= shown:
                    self.line(line)
                    self._shown[name] = number + 1
        except RunError as error:
            self._tell(f"{name} (log)", str(error))
        if over:
            self._tell(name, _how_it_ended(pod))
            self._told[name] = "over"

    def _without_pod(self, job: Mapping[str, Any]) -> str:
        """Why a Job has no pod."""
        if job.get("spec", {}).get("suspend"):
            return "waits: it is suspended"
        warned = self.cluster.events(self.job)
        return f"waits: {warned[-1]}" if warned else "waits for a pod"

    def _waiting(self, pod: Mapping[str, Any]) -> str:
        """Why a pod does not run yet."""
        status = pod.get("status", {})
        states = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
        for one in states:
            if (one.get("state") or {}).get("running"):
                return f"is being prepared: `{one['name']}` works"
            waiting = (one.get("state") or {}).get("waiting") or {}
            if waiting.get("reason") not in (None, "PodInitializing"):
                return f"waits: {waiting['reason']} {waiting.get('message') or ''}".strip()
        for one in status.get("conditions") or []:
            if one.get("type") == "PodScheduled" and one.get("status") == "False":
                return f"waits: {one.get('reason')} {one.get('message') or ''}".strip()
        warned = self.cluster.events(pod["metadata"]["name"])
        return f"waits: {warned[-1]}" if warned else "waits for a node"

    def _tell(self, pod: str, what: str) -> None:
        if self._told.get(pod) != what:
            self._told[pod] = what
            self.say(f"{pod} {clip(what, 400)}")


def _end(job: Mapping[str, Any]) -> tuple[bool, str] | None:
    for one in job.get("status", {}).get("conditions") or []:
        if one.get("status") == "True" and one.get("type") in ("Complete", "Failed"):
            reason = " ".join(part for part in (one.get("reason"), one.get("message")) if part)
            return one["type"] == "Complete", reason
    return None


def _state(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    """How the container of a pod ended; empty where that is not known."""
    for one in pod.get("status", {}).get("containerStatuses") or []:
        if one.get("name") == CONTAINER:
            ended: Mapping[str, Any] = (one.get("state") or {}).get("terminated") or {}
            return ended
    return {}


def _how_it_ended(pod: Mapping[str, Any]) -> str:
    status, state = pod.get("status", {}), _state(pod)
    if status.get("reason"):
        return f"ended: {status['reason']} {status.get('message') or ''}; the next one takes the run up".strip()
    for one in status.get("initContainerStatuses") or []:
        failed = (one.get("state") or {}).get("terminated") or {}
        if failed.get("exitCode"):
            said = f": {failed['message'].strip()}" if failed.get("message") else ""
            return f"ended: its container `{one['name']}` failed with exit code {failed['exitCode']}{said}"
    reason = f" ({state['reason']})" if state.get("reason") not in (None, "Completed", "Error") else ""
    return f"ended with exit code {state.get('exitCode', 'unknown')}{reason}"


def _last_words(pods: list[dict[str, Any]]) -> tuple[int | None, str]:
    state = _state(pods[-1]) if pods else {}
    return state.get("exitCode"), state.get("message") or ""
