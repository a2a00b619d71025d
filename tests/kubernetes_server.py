"""A small Kubernetes API over HTTP: Jobs whose pods follow a script, ConfigMaps, pods, their logs and events.

It answers as an API server would for what a job submitter asks, so that the official client runs against it
unmodified. The kubelet and the job controller are scripted: `server.script` has one `PodScript` for each attempt.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import json
import random
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qsl, unquote, urlsplit

Json = dict[str, Any]
Query = Mapping[str, str]
Write = Callable[[str], None]
Run = Callable[[Json, Write], tuple[int, str]]

NAMESPACE = "recsys"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
USER = f"system:serviceaccount:{NAMESPACE}:submitter"
CONFIGMAP_BYTES = 1024 * 1024
MESSAGE_BYTES = 4096
SUFFIX = "bcdfghjklmnpqrstvwxz2456789"
SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
LABEL = r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"
CONFIG_KEY = r"[-._a-zA-Z0-9]+"
NOT_SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    f"and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{SUBDOMAIN}')"
)
NOT_LABEL = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start "
    f"and end with an alphanumeric character (e.g. 'MyValue', regex used for validation is '{LABEL}')"
)
NOT_CONFIG_KEY = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' "
    f"(e.g. 'key.name', regex used for validation is '{CONFIG_KEY}')"
)
TOO_LONG = "must be no more than 63 characters"
PODS_STAY = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them "
    "or set propagationPolicy=Orphan to suppress this warning"
)
LOW_ON_MEMORY = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 81Mi."
IMAGE_WAITS = {
    "ErrImagePull": "image can't be pulled",
    "ImagePullBackOff": "trying and failing to pull image",
}
REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}
VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
ROUTE = re.compile(
    r"/(?:api/v1/namespaces/(?P<core>[^/]+)/(?P<plain>configmaps|pods|events)"
    r"|apis/batch/v1/namespaces/(?P<batch>[^/]+)/(?P<jobs>jobs))(?:/(?P<name>[^/]+)(?P<log>/log)?)?"
)


@dataclass(frozen=True)
class PodScript:
    """How one pod of a job behaves, from its creation to its end; times are in seconds."""

    log: Sequence[str] = ()
    line_delay: float = 0.02  # before each line
    lingers: float = 0.0  # after the last line
    pending_for: float = 0.0  # `math.inf` for a pod that never starts
    waiting_reason: str = "ContainerCreating"  # "Unschedulable" for a pod that has no node
    waiting_message: str = ""
    exit_code: int = 0
    reason: str = ""  # of the end: Completed or Error by the exit code, unless said
    termination_message: str = ""
    status_lag: float = 0.0  # from the end of the log to the pod's status, and from there to the job's
    evicted: bool = False
    keeps_statuses: bool = False  # an evicted pod still lists its containers
    vanishes: bool = False  # the pod is deleted once it ended, as a drained node does
    drop_log: bool = False  # the first follower loses its connection half-way, and the pod goes on
    drop_cleanly: bool = False  # as above, but the response ends as if the log were complete
    events: Sequence[tuple[str, str]] = ()  # reason and message, about the pod
    run: Run | None = None  # called with the job and a function that writes log lines

    def end_reason(self, exit_code: int) -> str:
        return self.reason or ("Error" if exit_code else "Completed")

    def drop_after(self) -> int | None:
        return max(1, len(self.log) // 2) if self.drop_log or self.drop_cleanly else None


class Request(NamedTuple):
    """What a client asked for; the path has its query."""

    method: str
    path: str
    body: Any


@dataclass(frozen=True)
class _Resource:
    plural: str
    kind: str
    group: str = ""

    @property
    def api_version(self) -> str:
        return f"{self.group}/v1" if self.group else "v1"

    @property
    def full(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def full_kind(self) -> str:
        return f"{self.kind}.{self.group}" if self.group else self.kind


JOBS = _Resource("jobs", "Job", "batch")
CONFIGMAPS = _Resource("configmaps", "ConfigMap")
PODS = _Resource("pods", "Pod")
EVENTS = _Resource("events", "Event")
RESOURCES = {resource.plural: resource for resource in (JOBS, CONFIGMAPS, PODS, EVENTS)}


class ApiError(Exception):
    """A request that the API answers with a `Status` object."""

    def __init__(self, code: int, message: str, reason: str = "", **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.status: Json = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason or REASONS.get(code, "Unknown"),
            "details": {key: value for key, value in details.items() if value},
            "code": code,
        }


@dataclass(frozen=True)
class _Target:
    """What a request is about."""

    resource: _Resource
    namespace: str
    name: str = ""
    log: bool = False

    @property
    def switch(self) -> str:
        return f"{self.resource.plural}/log" if self.log else self.resource.plural

    def refused(self, code: int, message: str, reason: str = "", **details: Any) -> ApiError:
        return ApiError(
            code, message, reason, name=self.name, group=self.resource.group, kind=self.resource.plural, **details
        )

    def missing(self) -> ApiError:
        return self.refused(404, f'{self.resource.full} "{self.name}" not found')

    def forbidden(self, method: str) -> ApiError:
        verb = VERBS.get(method, "get" if self.name else "list")
        named = f'{self.resource.full} "{self.name}"' if self.name else self.resource.full
        where = f'in API group "{self.resource.group}" in the namespace "{self.namespace}"'
        said = f'{named} is forbidden: User "{USER}" cannot {verb} resource "{self.switch}" {where}'
        return self.refused(403, said)

    def invalid(self, name: str, faults: Sequence[tuple[str, str]]) -> ApiError:
        said = [f"{place}: {fault}" for place, fault in faults]
        text = said[0] if len(said) == 1 else f"[{', '.join(said)}]"
        message = f'{self.resource.full_kind} "{name}" is invalid: {text}'
        causes = [{"reason": "FieldValueInvalid", "message": fault, "field": place} for place, fault in faults]
        about = {"name": name, "group": self.resource.group, "kind": self.resource.kind}
        return ApiError(422, message, **about, causes=causes)


@dataclass
class _Switch:
    method: str
    resource: str
    code: int
    message: str
    times: int | None


@dataclass
class _Log:
    lines: list[tuple[datetime, str]] = field(default_factory=list)
    closed: bool = False
    drop_after: int | None = None
    drop_cleanly: bool = False


@dataclass
class _JobRun:
    """The controller's side of a job: `stopped` makes no more pods, `killed` ends those that are there."""

    namespace: str
    name: str
    scripts: tuple[PodScript, ...]
    deadline: float
    stopped: bool = False
    killed: bool = False
    pod: str = ""
    created: datetime = EPOCH

    def next_created(self) -> str:
        """When the next pod is created: a whole second after the one before, as a cluster's own delay would have it."""
        self.created = max(datetime.now(UTC), self.created + timedelta(seconds=1))
        return _stamp(self.created)


class _GoneError(Exception):
    """The job is gone, and its pods with it."""


class _LateError(Exception):
    """The job passed its `activeDeadlineSeconds`."""


def _now() -> str:
    return _stamp(datetime.now(UTC))


def _stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _name_faults(name: str, place: str = "metadata.name") -> Iterator[tuple[str, str]]:
    if not name:
        yield place, "Required value: name or generateName is required"
    elif len(name) > 253 or not re.fullmatch(SUBDOMAIN, name):
        yield place, f'Invalid value: "{name}": {NOT_SUBDOMAIN}'


def _label_faults(metadata: Json, place: str) -> Iterator[tuple[str, str]]:
    for value in (metadata.get("labels") or {}).values():
        if len(value) > 63:
            yield place, f'Invalid value: "{value}": {TOO_LONG}'
        if not re.fullmatch(LABEL, value):
            yield place, f'Invalid value: "{value}": {NOT_LABEL}'


def _exit_code_faults(rule: Json, containers: set[str], place: str) -> Iterator[tuple[str, str]]:
    asked = rule.get("onExitCodes")
    if not asked:
        return
    values, named = asked.get("values") or [], asked.get("containerName")
    if named and named not in containers:
        wrong = "must be one of the container or initContainer names in the pod template"
        yield f"{place}.onExitCodes.containerName", f'Invalid value: "{named}": {wrong}'
    if values != sorted(set(values)):
        yield f"{place}.onExitCodes.values", f"Invalid value: {values}: must be ordered and unique"
    if asked.get("operator") == "In" and 0 in values:
        index = f"{place}.onExitCodes.values[{values.index(0)}]"
        yield index, "Invalid value: 0: must not be 0 for the In operator"


def _job_faults(job: Json) -> Iterator[tuple[str, str]]:
    spec = job.get("spec") or {}
    template = spec.get("template") or {}
    pod = template.get("spec") or {}
    containers = pod.get("containers") or []
    policy, restart = spec.get("podFailurePolicy"), pod.get("restartPolicy", "Always")
    name = job["metadata"].get("name", "")
    yield from _name_faults(name)
    if len(name) > 63:
        yield "spec.template.labels", f'Invalid value: "{name}": {TOO_LONG}'
    yield from _label_faults(job["metadata"], "metadata.labels")
    yield from _label_faults(template.get("metadata") or {}, "spec.template.labels")
    if not containers:
        yield "spec.template.spec.containers", "Required value"
    if restart not in {"Never", "OnFailure"}:
        yield "spec.template.spec.restartPolicy", 'Required value: valid values: "OnFailure", "Never"'
    elif policy and restart != "Never":
        only = 'only "Never" is supported when podFailurePolicy is specified'
        yield "spec.template.spec.restartPolicy", f'Invalid value: "{restart}": {only}'
    names = {each.get("name", "") for each in [*containers, *(pod.get("initContainers") or [])]}
    for index, rule in enumerate((policy or {}).get("rules") or []):
        yield from _exit_code_faults(rule, names, f"spec.podFailurePolicy.rules[{index}]")


def _configmap_faults(configmap: Json) -> Iterator[tuple[str, str]]:
    yield from _name_faults(configmap["metadata"].get("name", ""))
    yield from _label_faults(configmap["metadata"], "metadata.labels")
    data = {**(configmap.get("data") or {}), **(configmap.get("binaryData") or {})}
    for key in data:
        if not re.fullmatch(CONFIG_KEY, key):
            yield f"data[{key}]", f'Invalid value: "{key}": {NOT_CONFIG_KEY}'
    if sum(len(key.encode()) + len(value.encode()) for key, value in data.items()) > CONFIGMAP_BYTES:
        yield "[]", f"Too long: may not be more than {CONFIGMAP_BYTES} bytes"


FAULTS = {JOBS: _job_faults, CONFIGMAPS: _configmap_faults}


def _selected(value_of: Callable[[str], str | None], selector: str) -> bool:
    return all(_term_holds(value_of, term.strip()) for term in selector.split(",") if term.strip())


def _term_holds(value_of: Callable[[str], str | None], term: str) -> bool:
    found = re.fullmatch(r"(?P<key>[^=!\s()]+)\s*(?P<sign>==|=|!=)\s*(?P<value>[^=!\s()]*)", term)
    if found:
        return (value_of(found["key"]) == found["value"]) is (found["sign"] != "!=")
    if re.fullmatch(r"!?[^=!\s()]+", term):
        return (value_of(term.removeprefix("!")) is None) is term.startswith("!")
    raise ApiError(400, f"unable to parse requirement: {term}")


def _field_of(item: Json) -> Callable[[str], str | None]:
    def value_of(path: str) -> str | None:
        value: Any = item
        for key in path.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        return None if value is None else str(value)

    return value_of


def _merged(old: Any, patch: Any, strategic: bool) -> Any:
    """A merge patch; the strategic one joins lists of owners by their uid."""
    if not isinstance(patch, dict):
        return patch
    result = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif strategic and key == "ownerReferences":
            owners = {owner["uid"]: owner for owner in result.get(key) or []}
            for owner in value:
                owners[owner["uid"]] = {**owners.get(owner["uid"], {}), **owner}
            result[key] = list(owners.values())
        else:
            result[key] = _merged(result.get(key), value, strategic)
    return result


def _owner(job: Json) -> Json:
    return {
        "apiVersion": JOBS.api_version,
        "kind": JOBS.kind,
        "name": job["metadata"]["name"],
        "uid": job["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _condition(kind: str, reason: str = "", message: str = "", status: str = "True") -> Json:
    said = {key: value for key, value in {"reason": reason, "message": message}.items() if value}
    return {"type": kind, "status": status, "lastTransitionTime": _now(), **said}


def _job_condition(kind: str, reason: str, message: str) -> Json:
    return {**_condition(kind, reason, message), "lastProbeTime": _now()}


def _defaulted(job: Json) -> Json:
    """The job with what an API server fills in: defaults, the selector and the labels of its pods."""
    uid, name = job["metadata"]["uid"], job["metadata"]["name"]
    own = {
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": name,
        "controller-uid": uid,
        "job-name": name,
    }
    template = job["spec"]["template"]
    labelled = {"labels": {**((template.get("metadata") or {}).get("labels") or {}), **own}}
    defaults = {
        "parallelism": 1,
        "completions": 1,
        "completionMode": "NonIndexed",
        "backoffLimit": 6,
        "suspend": False,
        "manualSelector": False,
    }
    spec = {
        **defaults,
        **job["spec"],
        "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}},
        "template": {**template, "metadata": {**(template.get("metadata") or {}), **labelled}},
    }
    for rule in (spec.get("podFailurePolicy") or {}).get("rules") or []:
        for pattern in rule.get("onPodConditions") or []:
            pattern.setdefault("status", "True")
    return {**job, "spec": spec, "status": {}}


def _container_status(container: Json, state: Json, ready: bool = False) -> Json:
    waits = "waiting" in state
    identity = {} if waits else {"containerID": f"containerd://{uuid.uuid4().hex}"}
    return {
        "name": container["name"],
        "image": container.get("image", ""),
        "imageID": "" if waits else f"{container.get('image', '')}@sha256:{'0' * 64}",
        "ready": ready,
        "started": ready,
        "restartCount": 0,
        "state": state,
        "lastState": {},
        **identity,
    }


def _pending(pod: Json, script: PodScript) -> Json:
    said = {"message": script.waiting_message} if script.waiting_message else {}
    if script.waiting_reason == "Unschedulable":
        unplaced = _condition("PodScheduled", "Unschedulable", script.waiting_message, "False")
        return {"phase": "Pending", "qosClass": "Burstable", "conditions": [unplaced]}
    waiting = {"waiting": {"reason": script.waiting_reason, **said}}
    statuses = [_container_status(each, waiting) for each in pod["spec"]["containers"]]
    conditions = [_condition("PodScheduled"), _condition("Ready", "ContainersNotReady", status="False")]
    return {"phase": "Pending", "qosClass": "Burstable", "conditions": conditions, "containerStatuses": statuses}


def _running(pod: Json) -> Json:
    running = {"running": {"startedAt": _now()}}
    return {
        "phase": "Running",
        "qosClass": "Burstable",
        "startTime": _now(),
        "conditions": [_condition("PodScheduled"), _condition("Ready")],
        "containerStatuses": [_container_status(each, running, ready=True) for each in pod["spec"]["containers"]],
    }


def _ended(pod: Json, script: PodScript, exit_code: int, message: str) -> Json:
    said = {"message": message} if message else {}
    started = pod["status"].get("startTime", _now())
    reason = script.end_reason(exit_code)
    end = {"exitCode": exit_code, "reason": reason, "startedAt": started, "finishedAt": _now(), **said}
    conditions = [_condition("PodScheduled"), _condition("Ready", "PodCompleted", status="False")]
    return {
        "phase": "Failed" if exit_code else "Succeeded",
        "qosClass": "Burstable",
        "startTime": started,
        "conditions": conditions,
        "containerStatuses": [_container_status(each, {"terminated": end}) for each in pod["spec"]["containers"]],
    }


def _evicted(pod: Json, script: PodScript) -> Json:
    status = _ended(pod, script, 137, "")
    if not script.keeps_statuses:
        del status["containerStatuses"]
    disrupted = _condition("DisruptionTarget", "TerminationByKubelet", LOW_ON_MEMORY)
    return {
        **status,
        "reason": "Evicted",
        "message": LOW_ON_MEMORY,
        "conditions": [disrupted, *status["conditions"]],
    }


def _matches_exit_code(asked: Json, pod: Json) -> Json | None:
    """The container whose end the rule is about, if there is one."""
    for status in pod["status"].get("containerStatuses", ()):
        code = status["state"].get("terminated", {}).get("exitCode", 0)
        listed = code in asked["values"]
        named = asked.get("containerName") in {None, status["name"]}
        if code and named and listed is (asked["operator"] == "In"):
            return dict(status)
    return None


def _matches_condition(asked: Sequence[Json], pod: Json) -> Json | None:
    for pattern, met in itertools.product(asked, pod["status"].get("conditions", ())):
        if (pattern["type"], pattern["status"]) == (met["type"], met["status"]):
            return dict(met)
    return None


def _policy(job: Json, pod: Json) -> tuple[str, str]:
    """The action of the job's first rule that the failed pod matches, and what the controller says about it."""
    where = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
    for index, rule in enumerate((job["spec"].get("podFailurePolicy") or {}).get("rules") or []):
        matching = f"matching {rule['action']} rule at index {index}"
        if rule.get("onExitCodes") and (status := _matches_exit_code(rule["onExitCodes"], pod)):
            code = status["state"]["terminated"]["exitCode"]
            return rule["action"], f"Container {status['name']} for pod {where} failed with exit code {code} {matching}"
        if rule.get("onPodConditions") and (met := _matches_condition(rule["onPodConditions"], pod)):
            return rule["action"], f"Pod {where} has condition {met['type']} {matching}"
    return "Count", ""


def _needed_configmaps(pod: Json) -> set[str]:
    volumes = [volume.get("configMap") or {} for volume in pod["spec"].get("volumes") or ()]
    return {volume["name"] for volume in volumes if volume.get("name") and not volume.get("optional")}


class _Cluster:
    """Objects by resource, namespace and name, and a thread for each job that plays its script."""

    def __init__(self) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.objects: dict[tuple[_Resource, str, str], Json] = {}
        self.logs: dict[str, _Log] = {}
        self.runs: dict[str, _JobRun] = {}
        self.namespaces = {NAMESPACE, "default"}
        self.retry_after = 0.02
        self.closed = False
        self._versions = itertools.count(1001)

    def close(self) -> None:
        with self.changed:
            self.closed = True
            self.changed.notify_all()

    def get(self, target: _Target) -> Json:
        with self.changed:
            found = self.objects.get((target.resource, target.namespace, target.name))
            if found is None:
                raise target.missing()
            return copy.deepcopy(found)

    def list(self, target: _Target, query: Query) -> Json:
        with self.changed:
            items = [
                {key: copy.deepcopy(value) for key, value in item.items() if key not in {"kind", "apiVersion"}}
                for (resource, namespace, _), item in sorted(self.objects.items(), key=lambda each: each[0][2])
                if (resource, namespace) == (target.resource, target.namespace)
                and _selected((item["metadata"].get("labels") or {}).get, query.get("labelSelector", ""))
                and _selected(_field_of(item), query.get("fieldSelector", ""))
            ]
            metadata = {"resourceVersion": str(next(self._versions))}
        kind, version = f"{target.resource.kind}List", target.resource.api_version
        return {"kind": kind, "apiVersion": version, "metadata": metadata, "items": items}

    def create(self, target: _Target, body: Json, scripts: tuple[PodScript, ...], dry: bool) -> Json:
        made = self._checked(target, body)
        named = _Target(target.resource, target.namespace, made["metadata"]["name"])
        if target.resource is JOBS:
            made = _defaulted(made)
        with self.changed:
            if target.namespace not in self.namespaces:
                raise ApiError(404, f'namespaces "{target.namespace}" not found', name=target.namespace)
            if (named.resource, named.namespace, named.name) in self.objects:
                raise named.refused(409, f'{named.resource.full} "{named.name}" already exists', "AlreadyExists")
            if dry:
                return made
            self._put(named, made)
            reply = copy.deepcopy(made)
            if target.resource is JOBS:
                self._start(made, scripts)
            return reply

    def replace(self, target: _Target, body: Json) -> Json:
        with self.changed:
            old = self.get(target)
            asked = (body.get("metadata") or {}).get("resourceVersion")
            if asked and asked != old["metadata"]["resourceVersion"]:
                said = "the object has been modified; please apply your changes to the latest version and try again"
                raise target.refused(
                    409, f'Operation cannot be fulfilled on {target.resource.full} "{target.name}": {said}'
                )
            kept = {key: old["metadata"][key] for key in ("uid", "creationTimestamp", "name", "namespace")}
            new = self._checked(target, {**body, "metadata": {**(body.get("metadata") or {}), **kept}})
            new["metadata"] |= kept
            if old.get("immutable") and any(new.get(key) != old.get(key) for key in ("data", "binaryData")):
                raise target.invalid(target.name, [("data", "Forbidden: field is immutable when `immutable` is set")])
            return copy.deepcopy(self._put(target, new))

    def patch(self, target: _Target, body: Any, content_type: str) -> Json:
        if content_type not in {"application/merge-patch+json", "application/strategic-merge-patch+json"}:
            raise target.refused(415, f"the body of the request was in an unknown format: {content_type}")
        with self.changed:
            return self.replace(target, _merged(self.get(target), body, "strategic" in content_type))

    def delete(self, target: _Target, policy: str) -> Json:
        """What the API answers: the object while it waits for its finalizer, else a `Status`."""
        with self.changed:
            gone = self.get(target)
            del self.objects[target.resource, target.namespace, target.name]
            uid = gone["metadata"]["uid"]
            if target.resource is JOBS:
                self._stop(self.runs.pop(uid), uid, orphan=policy == "Orphan")
            self.changed.notify_all()
        if target.resource is JOBS and policy in {"Orphan", "Foreground"}:
            waits = {"Orphan": "orphan", "Foreground": "foregroundDeletion"}[policy]
            gone["metadata"] |= {"deletionTimestamp": _now(), "finalizers": [waits]}
            return gone
        details = {"name": target.name, "group": target.resource.group, "kind": target.resource.plural, "uid": uid}
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Success",
            "details": {key: value for key, value in details.items() if value},
        }

    def event(self, about: Json, kind: str, reason: str, message: str) -> None:
        """A warning about an object, which has at least a name and a namespace in its metadata."""
        metadata = about["metadata"]
        name, namespace = metadata["name"], metadata["namespace"]
        event: Json = {
            "kind": EVENTS.kind,
            "apiVersion": EVENTS.api_version,
            "metadata": self._metadata({"name": f"{name}.{uuid.uuid4().hex[:16]}", "namespace": namespace}),
            "involvedObject": {"kind": kind, "namespace": namespace, "name": name, "uid": metadata.get("uid", "")},
            "reason": reason,
            "message": message,
            "type": "Warning",
            "source": {"component": "default-scheduler" if reason == "FailedScheduling" else "kubelet"},
            "firstTimestamp": _now(),
            "lastTimestamp": _now(),
            "count": 1,
        }
        self._put(_Target(EVENTS, namespace, event["metadata"]["name"]), event)

    def log(self, target: _Target, query: Query) -> _Log | None:
        """The log of a pod's container; none where the pod has no node yet."""
        pod = self.get(target)
        named = [each["name"] for each in pod["spec"]["containers"]]
        asked = query.get("container") or (named[0] if len(named) == 1 else "")
        if not asked:
            choices = " ".join(named)
            message = f"a container name must be specified for pod {target.name}, choose one of: [{choices}]"
            raise ApiError(400, message)
        if asked not in named:
            raise ApiError(400, f"container {asked} is not valid for pod {target.name}")
        if not pod["spec"].get("nodeName"):
            return None
        here = f'container "{asked}" in pod "{target.name}"'
        if query.get("previous") in {"true", "True"}:
            raise ApiError(400, f"previous terminated {here} not found")
        states = {status["name"]: status["state"] for status in pod["status"].get("containerStatuses", ())}
        if asked not in states:
            raise ApiError(400, f"{here} is not available")
        if waits := states[asked].get("waiting"):
            why = IMAGE_WAITS.get(waits["reason"], waits["reason"])
            raise ApiError(400, f"{here} is waiting to start: {why}")
        return self.logs[pod["metadata"]["uid"]]

    def fresh(self, log: _Log, start: int, follow: bool) -> tuple[Sequence[tuple[datetime, str]], bool]:
        """The lines from `start` on, awaited where they are followed, and whether there will be no more."""
        with self.changed:
            if follow:
                self.changed.wait_for(lambda: len(log.lines) > start or log.closed or self.closed)
            return log.lines[start:], log.closed or self.closed or not follow

    def _metadata(self, given: Json) -> Json:
        return {**given, "uid": str(uuid.uuid4()), "creationTimestamp": _now()}

    def _checked(self, target: _Target, body: Json) -> Json:
        given = dict(body.get("metadata") or {})
        if given.setdefault("namespace", target.namespace) != target.namespace:
            said = "the namespace of the provided object does not match the namespace sent on the request"
            raise ApiError(400, said)
        if not given.get("name") and given.get("generateName"):
            given["name"] = given["generateName"][:58] + _suffix()
        given.pop("resourceVersion", None)
        resource = target.resource
        made = {**body, "kind": resource.kind, "apiVersion": resource.api_version, "metadata": self._metadata(given)}
        if faults := list(FAULTS[resource](made)):
            raise target.invalid(given.get("name", ""), faults)
        return copy.deepcopy(made)

    def _put(self, target: _Target, item: Json) -> Json:
        with self.changed:
            item["metadata"]["resourceVersion"] = str(next(self._versions))
            self.objects[target.resource, target.namespace, target.name] = item
            self.changed.notify_all()
            return item

    def _start(self, job: Json, scripts: tuple[PodScript, ...]) -> None:
        metadata, limit = job["metadata"], job["spec"].get("activeDeadlineSeconds")
        deadline = float("inf") if limit is None else time.monotonic() + limit
        run = _JobRun(metadata["namespace"], metadata["name"], scripts or (PodScript(),), deadline)
        self.runs[metadata["uid"]] = run
        threading.Thread(target=self._control, args=(run, job), name=metadata["name"], daemon=True).start()

    def _stop(self, run: _JobRun, uid: str, orphan: bool) -> None:
        run.stopped, run.killed = True, not orphan
        for key, item in list(self.objects.items()):
            owners = item["metadata"].get("ownerReferences") or []
            left = [owner for owner in owners if owner["uid"] != uid]
            if len(left) == len(owners):
                continue
            item["metadata"]["ownerReferences"] = left
            if not orphan and not left:
                self._remove(key)

    def _remove(self, key: tuple[_Resource, str, str]) -> None:
        with self.changed:
            gone = self.objects.pop(key, None)
            if gone and (log := self.logs.get(gone["metadata"]["uid"])):
                log.closed = True
            self.changed.notify_all()

    def _pause(self, run: _JobRun, seconds: float) -> None:
        ends = time.monotonic() + seconds
        self._wait(run, lambda: time.monotonic() >= ends, ends)

    def _wait(self, run: _JobRun, ready: Callable[[], bool], ends: float = float("inf")) -> None:
        ends = min(ends, run.deadline)
        with self.changed:
            left = None if ends == float("inf") else ends - time.monotonic()
            self.changed.wait_for(lambda: run.killed or self.closed or ready(), left)
            if run.killed or self.closed:
                raise _GoneError
            if time.monotonic() >= run.deadline:
                raise _LateError

    def _control(self, run: _JobRun, job: Json) -> None:
        try:
            try:
                self._attempts(run, job)
            except _LateError:
                self._remove((PODS, run.namespace, run.pod))
                late = "Job was active longer than specified deadline"
                self._finish(run, job, "Failed", "DeadlineExceeded", late)
            self._expire(run, job)
        except _GoneError:
            return

    def _attempts(self, run: _JobRun, job: Json) -> None:
        with self.changed:
            job["status"] = {"startTime": _now(), "uncountedTerminatedPods": {}}
        for attempt in itertools.count():
            script = run.scripts[min(attempt, len(run.scripts) - 1)]
            pod = self._new_pod(run, job, script)
            self._live(run, job, pod, script)
            if self._counted(run, job, pod, script.vanishes) or run.stopped:
                return
            self._pause(run, self.retry_after)

    def _new_pod(self, run: _JobRun, job: Json, script: PodScript) -> Json:
        with self.changed:
            if run.stopped:
                raise _GoneError
            run.pod = f"{run.name}-"[:58] + _suffix()
            template = copy.deepcopy(job["spec"]["template"])
            given = {**template["metadata"], "name": run.pod, "namespace": run.namespace}
            given |= {"generateName": f"{run.name}-", "ownerReferences": [_owner(job)]}
            pod = {"kind": PODS.kind, "apiVersion": "v1", "metadata": self._metadata(given), "spec": template["spec"]}
            pod["status"] = _pending(pod, script)
            if script.waiting_reason != "Unschedulable" or not script.pending_for:
                pod["spec"]["nodeName"] = "node-1"
            pod["metadata"]["creationTimestamp"] = run.next_created()
            self.logs[pod["metadata"]["uid"]] = _Log(drop_after=script.drop_after(), drop_cleanly=script.drop_cleanly)
            self._put(_Target(PODS, run.namespace, run.pod), pod)
            for reason, message in script.events:
                self.event(pod, PODS.kind, reason, message)
            self._say(job, active=1, ready=0, terminating=0)
            return pod

    def _live(self, run: _JobRun, job: Json, pod: Json, script: PodScript) -> None:
        log = self.logs[pod["metadata"]["uid"]]
        self._pause(run, script.pending_for)
        needed = [(CONFIGMAPS, run.namespace, name) for name in _needed_configmaps(pod)]
        self._wait(run, lambda: all(key in self.objects for key in needed))
        with self.changed:
            pod["spec"]["nodeName"] = "node-1"
            self._set(pod, _running(pod))
            self._say(job, ready=1)
        exit_code, message = self._work(run, job, log, script)
        with self.changed:
            log.closed = True
            self.changed.notify_all()
        self._pause(run, script.status_lag)
        message = message or _fallback(pod, log, exit_code)
        end = _evicted(pod, script) if script.evicted else _ended(pod, script, exit_code, message)
        self._set(pod, end)
        self._pause(run, script.status_lag)

    def _work(self, run: _JobRun, job: Json, log: _Log, script: PodScript) -> tuple[int, str]:
        def write(text: str) -> None:
            with self.changed:
                log.lines += [(datetime.now(UTC), line) for line in text.split("\n")]
                self.changed.notify_all()

        for line in script.log:
            self._pause(run, script.line_delay)
            write(line)
        exit_code, message = script.exit_code, script.termination_message
        if script.run:
            exit_code, message = script.run(copy.deepcopy(job), write)
        self._pause(run, script.lingers)
        return exit_code, message.encode()[:MESSAGE_BYTES].decode(errors="replace")

    def _counted(self, run: _JobRun, job: Json, pod: Json, vanishes: bool) -> bool:
        """Whether the job is over, now that this pod has ended."""
        with self.changed:
            if vanishes:
                self._remove((PODS, run.namespace, run.pod))
            self._say(job, active=0, ready=0)
            if pod["status"]["phase"] == "Succeeded":
                self._say(job, succeeded=1, completionTime=_now())
                reached = "Reached expected number of succeeded pods"
                return self._finish(run, job, "Complete", "CompletionsReached", reached)
            action, why = _policy(job, pod)
            if action == "Ignore":
                return False
            failed = job["status"].get("failed", 0) + 1
            self._say(job, failed=failed)
            if action == "FailJob":
                return self._finish(run, job, "Failed", "PodFailurePolicy", why)
            if failed > job["spec"]["backoffLimit"]:
                reached = "Job has reached the specified backoff limit"
                return self._finish(run, job, "Failed", "BackoffLimitExceeded", reached)
            return False

    def _finish(self, run: _JobRun, job: Json, kind: str, reason: str, message: str) -> bool:
        first = {"Complete": "SuccessCriteriaMet", "Failed": "FailureTarget"}[kind]
        conditions = [_job_condition(each, reason, message) for each in (first, kind)]
        self._say(job, active=0, ready=0, conditions=conditions)
        run.deadline = float("inf")
        return True

    def _expire(self, run: _JobRun, job: Json) -> None:
        ttl = job["spec"].get("ttlSecondsAfterFinished")
        if ttl is None or run.stopped:
            return
        self._pause(run, ttl)
        with self.changed:
            if not run.stopped:
                self.delete(_Target(JOBS, run.namespace, run.name), "Background")

    def _set(self, pod: Json, status: Json) -> None:
        with self.changed:
            pod["status"] = status
            self._touch(pod)

    def _say(self, job: Json, **news: Any) -> None:
        """The job's status with the news; an API server leaves counts of nothing out."""
        shown = {"ready", "terminating"}
        with self.changed:
            status = {**job["status"], **news}
            job["status"] = {key: value for key, value in status.items() if value != 0 or key in shown}
            self._touch(job)

    def _touch(self, item: Json) -> None:
        item["metadata"]["resourceVersion"] = str(next(self._versions))
        self.changed.notify_all()


def _suffix() -> str:
    return "".join(random.choices(SUFFIX, k=5))


def _fallback(pod: Json, log: _Log, exit_code: int) -> str:
    """The last lines of the log, where the container asks for them in place of a message."""
    policy = pod["spec"]["containers"][0].get("terminationMessagePolicy")
    if not exit_code or policy != "FallbackToLogsOnError":
        return ""
    text = "".join(f"{line}\n" for _, line in log.lines[-80:])
    return text.encode()[-2048:].decode(errors="replace")


def _wanted(log: _Log, query: Query) -> int:
    """The first line that the query asks for."""
    first = 0
    if since := _since(query):
        first = next((index for index, (at, _) in enumerate(log.lines) if at >= since), len(log.lines))
    if tail := query.get("tailLines"):
        first = max(first, len(log.lines) - int(tail))
    return first


def _since(query: Query) -> datetime | None:
    if seconds := query.get("sinceSeconds"):
        return datetime.now(UTC) - timedelta(seconds=int(seconds))
    return datetime.fromisoformat(query["sinceTime"]) if query.get("sinceTime") else None


class _Http(ThreadingHTTPServer):
    """The listening side; it knows its connections, so that closing it ends them."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, api: KubernetesServer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.api = api
        self.connections: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no error of the server."""

    def end(self) -> None:
        self.shutdown()
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Http

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name is the base class's
        """Requests are kept in `server.requests`."""

    def _answer(self) -> None:
        try:
            self._route()
        except ApiError as refused:
            self._send(refused.code, refused.status)
        except ConnectionError:
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815  # `http.server` finds them by these names

    def _route(self) -> None:
        api, parts = self.server.api, urlsplit(self.path)
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            body = json.loads(raw) if raw else None
        except ValueError:
            raise ApiError(
                400, "the object provided is unrecognized: couldn't get version/kind; json parse error"
            ) from None
        api.requests.append(Request(self.command, self.path, body))
        if self.headers.get("Authorization") != f"Bearer {api.token}":
            raise ApiError(401, "Unauthorized")
        found = ROUTE.fullmatch(parts.path)
        if not found:
            raise ApiError(404, "the server could not find the requested resource")
        resource = RESOURCES[found["plain"] or found["jobs"]]
        name = unquote(found["name"] or "")
        target = _Target(resource, unquote(found["core"] or found["batch"]), name, bool(found["log"]))
        api.check(self.command, target)
        self._serve(target, dict(parse_qsl(parts.query)), body)

    def _serve(self, target: _Target, query: Query, body: Any) -> None:
        cluster, writable = self.server.api.cluster, target.resource in FAULTS
        one = bool(target.name)
        match self.command:
            case "GET" if target.log and target.resource is PODS:
                self._log(target, query)
            case "GET" if query.get("watch") in {"true", "True", "1"}:
                raise target.refused(405, "watch is not served here")
            case "GET":
                self._send(200, cluster.get(target) if one else cluster.list(target, query))
            case "POST" if writable and not one:
                scripts = self.server.api.scripts_for(((body or {}).get("metadata") or {}).get("name", ""))
                self._send(201, cluster.create(target, body or {}, scripts, "dryRun" in query))
            case "PUT" if target.resource is CONFIGMAPS and one:
                self._send(200, cluster.replace(target, body or {}))
            case "PATCH" if target.resource is CONFIGMAPS and one:
                self._send(200, cluster.patch(target, body, self.headers.get("Content-Type", "")))
            case "DELETE" if writable and one:
                self._delete(target, query.get("propagationPolicy") or (body or {}).get("propagationPolicy") or "")
            case _:
                raise target.refused(405, "the server does not allow this method on the requested resource")

    def _delete(self, target: _Target, policy: str) -> None:
        silent = target.resource is not JOBS or policy
        warnings = {} if silent else {"Warning": f'299 - "{PODS_STAY}"'}
        self._send(200, self.server.api.cluster.delete(target, policy or "Orphan"), warnings)

    def _send(self, code: int, reply: Json, headers: Mapping[str, str] | None = None) -> None:
        payload = json.dumps(reply).encode()
        self.send_response(code, HTTPStatus(code).phrase)
        for key, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def _log(self, target: _Target, query: Query) -> None:
        log = self.server.api.cluster.log(target, query) or _Log(closed=True)
        start = _wanted(log, query)
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        follow = query.get("follow") in {"true", "True"}
        stamped = query.get("timestamps") in {"true", "True"}
        for sent, (at, line) in enumerate(self._lines(log, start, follow)):
            if follow and log.drop_after is not None and sent >= log.drop_after:
                return self._drop(log)
            self._line(f"{at:%Y-%m-%dT%H:%M:%S.%f}000Z {line}" if stamped else line)
        if follow and log.drop_after is not None:
            return self._drop(log)
        self.wfile.write(b"0\r\n\r\n")
        return None

    def _lines(self, log: _Log, start: int, follow: bool) -> Iterator[tuple[datetime, str]]:
        over = False
        while not over:
            fresh, over = self.server.api.cluster.fresh(log, start, follow)
            yield from fresh
            start += len(fresh)

    def _line(self, line: str) -> None:
        """Two chunks for each line: a reader cannot rely on where a chunk ends."""
        data = f"{line}\n".encode()
        for part in (data[: len(data) // 2], data[len(data) // 2 :]):
            if part:
                self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")

    def _drop(self, log: _Log) -> None:
        log.drop_after = None
        if log.drop_cleanly:
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True


class KubernetesServer:
    """The API on a free port of this machine, while the `with` block lasts.

    `script` says how the pods of every job behave, one `PodScript` for each attempt (the last one repeats);
    `scripts` says it for jobs by their name. Both are read when a job is created.
    """

    def __init__(self, script: Sequence[PodScript] = (), token: str = "token-of-the-submitter") -> None:
        self.script: Sequence[PodScript] = script
        self.scripts: dict[str, Sequence[PodScript]] = {}
        self.token = token
        self.requests: list[Request] = []
        self.cluster = _Cluster()
        self._switches: list[_Switch] = []
        self._http = _Http(self)

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.cluster.close()
        self._http.end()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    def kubeconfig(self, folder: Path, token: str | None = None) -> Path:
        """A kubeconfig in the folder that points here; another token than the server's is refused."""
        context = {"cluster": "scripted", "user": "submitter", "namespace": NAMESPACE}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "scripted",
            "clusters": [{"name": "scripted", "cluster": {"server": self.url}}],
            "users": [{"name": "submitter", "user": {"token": token or self.token}}],
            "contexts": [{"name": "scripted", "context": context}],
        }
        path = folder / "kubeconfig"
        path.write_text(json.dumps(config, indent=2), encoding="utf-8")
        return path

    def refuse(self, method: str, resource: str, code: int, message: str = "", times: int | None = None) -> None:
        """Answer requests for jobs, configmaps, pods, pods/log or events with an error, so many times or always."""
        self._switches.append(_Switch(method, resource, code, message, times))

    def allow(self) -> None:
        """Take back every refusal."""
        self._switches.clear()

    def event(self, name: str, reason: str, message: str, kind: str = "Pod", namespace: str = NAMESPACE) -> None:
        """Add a warning about an object to the events."""
        self.cluster.event({"metadata": {"name": name, "namespace": namespace}}, kind, reason, message)

    def job(self, name: str, namespace: str = NAMESPACE) -> Json:
        return self._object(JOBS, namespace, name)

    def configmap(self, name: str, namespace: str = NAMESPACE) -> Json:
        return self._object(CONFIGMAPS, namespace, name)

    def pods(self, job: str, namespace: str = NAMESPACE) -> list[Json]:
        """The pods of a job that are still there, in the order of its attempts."""
        listed = self.cluster.list(_Target(PODS, namespace), {"labelSelector": f"job-name={job}"})
        return sorted(listed["items"], key=lambda pod: str(pod["metadata"]["creationTimestamp"]))

    def scripts_for(self, job: str) -> tuple[PodScript, ...]:
        return tuple(self.scripts.get(job, self.script))

    def check(self, method: str, target: _Target) -> None:
        """Raise what a switch says about this request."""
        for switch in self._switches:
            if (switch.method, switch.resource) == (method, target.switch) and switch.times != 0:
                switch.times = None if switch.times is None else switch.times - 1
                raise self._refusal(switch, target)

    @staticmethod
    def _refusal(switch: _Switch, target: _Target) -> ApiError:
        if switch.code == 403 and not switch.message:
            return target.forbidden(switch.method)
        if switch.code == 422:
            return target.invalid(target.name, [("spec", switch.message or "Invalid value")])
        return target.refused(switch.code, switch.message or HTTPStatus(switch.code).phrase)

    def _object(self, resource: _Resource, namespace: str, name: str) -> Json:
        try:
            return self.cluster.get(_Target(resource, namespace, name))
        except ApiError as refused:
            raise KeyError(name) from refused
