"""`submit:` in service.yaml: how a study of this service runs in a cluster."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from rankcast.config.fields import DurationField, Name, Names, Several, Strict, wrong
from rankcast.errors import show
from rankcast.tables.duration import Duration

_QUANTITY = re.compile(r"(?=[0-9.]*[1-9])[0-9]+(\.[0-9]+)?(m|k|[MGTPE]|[KMGTPE]i)?")
_DNS = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED = re.compile(r"(RANKCAST_|GIT_CONFIG_).*|HOME|PATH|TMPDIR")


def _quantity(value: object) -> str:
    text = str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not _QUANTITY.fullmatch(text):
        raise wrong(f"expected a quantity of Kubernetes such as 2, 500m or 8Gi, found {show(value)}")
    return text


def _dns(value: str) -> str:
    if not _DNS.fullmatch(value):
        raise wrong(f"expected a name of Kubernetes (small letters, digits, - and .), found {show(value)}")
    return value


def _variable(value: str) -> str:
    if not _VARIABLE.fullmatch(value) or _RESERVED.fullmatch(value):
        raise wrong(f"expected the name of a variable that is not Rankcast's own, found {show(value)}")
    return value


def _secret(value: object) -> object:
    if isinstance(value, str) and value.count("/") == 1 and all(value.split("/")):
        secret, key = value.split("/")
        return {"secret": secret, "key": key}
    if not isinstance(value, dict):
        raise wrong(f"expected secret/key, such as warehouse/token, found {show(value)}")
    return value


def _mount(value: str) -> str:
    if not value.startswith("/") or value.rstrip("/") in ("", "/study", "/scratch") or ".." in value.split("/"):
        raise wrong(
            f"expected an absolute path other than / and Rankcast's own /study and /scratch, found {show(value)}"
        )
    return value


def _out(value: str) -> str:
    if not value.startswith(("s3://", "/")):
        raise wrong(
            f"expected s3://bucket/prefix, or a path on a volume, found {show(value)}: the pod's own disk goes with it"
        )
    return value


Quantity = Annotated[
    str, BeforeValidator(_quantity), WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "number"}]})
]  # fmt: skip
DnsName = Annotated[str, AfterValidator(_dns)]
Variable = Annotated[str, AfterValidator(_variable)]
ShortText = Annotated[str, Field(max_length=10_000)]


class SecretKey(Strict):
    """A key of a secret."""

    secret: DnsName
    """name of the secret"""
    key: Name
    """which of its keys"""


SecretRef = Annotated[
    SecretKey, BeforeValidator(_secret), PlainSerializer(lambda one: f"{one.secret}/{one.key}"),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object"}]}),
]  # fmt: skip


class Resources(Strict):
    """What the pod asks for; memory is its limit too."""

    cpu: Quantity = "2"
    """processors"""
    memory: Quantity = "8Gi"
    """memory; a run plans with six tenths of it"""
    disk: Quantity = "20Gi"
    """disk for what is at work"""


class Volume(Strict):
    """A volume that the pod sees."""

    claim: DnsName
    """name of the persistent volume claim"""
    mount: Annotated[str, AfterValidator(_mount)]
    """where it is mounted"""
    read_only: bool = True
    """whether it can only be read; a volume for `out` must be writable"""


class FromGit(Strict):
    """The files come from a repository that the pod clones at a commit."""

    repository: Annotated[str, Field(max_length=1_000)]
    """address, such as https://github.com/team/evaluation.git"""
    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None = None
    """commit; silent: the one that is checked out here"""
    token: SecretRef | None = None
    """secret/key of a token that may read it"""
    image: Annotated[str, Field(min_length=1, max_length=1_000)] = "alpine/git:2.47.1"
    """image with git and sh"""


def _files(value: object) -> object:
    if value == "configmap" or isinstance(value, dict):
        return value["git"] if isinstance(value, dict) and set(value) == {"git"} else value
    raise wrong(f"expected configmap or `{{git: {{repository: ...}}}}`, found {show(value)}")


class Submit(Strict):
    """submit: values of the Job that `rankcast submit` makes."""

    image: Annotated[str, Field(min_length=1, max_length=1_000)]
    """image with Rankcast and what your variants import"""
    out: Annotated[str, AfterValidator(_out)]
    """where runs are kept: s3://bucket/prefix, or a path on a volume"""
    namespace: DnsName | None = None
    """silent: that of the kubeconfig"""
    context: Name | None = None
    """context of the kubeconfig; silent: the current one"""
    files: Annotated[Literal["configmap"] | FromGit, BeforeValidator(_files)] = "configmap"
    """how the two files come to the pod: configmap, or {git: {repository: ...}}"""
    resources: Resources = Resources()
    """what the pod asks for"""
    processes: int = Field(default=1, ge=1, le=256)
    """how many processes share the work"""
    service_account: DnsName | None = None
    """service account of the pod, such as one with a role in AWS"""
    env: dict[Variable, ShortText] = Field(default_factory=dict)
    """variables of the pod: NAME: value"""
    secrets: dict[Variable, SecretRef] = Field(default_factory=dict)
    """variables from secrets: NAME: secret/key"""
    volumes: Annotated[tuple[Volume, ...], Several] = ()
    """volumes, such as the one that holds the logs"""
    ttl: DurationField = Duration.parse("7d")
    """how long the finished Job stays"""
    timeout: DurationField | None = None
    """how long it may take in all"""
    retries: int = Field(default=3, ge=0, le=20)
    """further pods after one that crashed; each takes the run up where it was"""
    image_pull_secrets: Names = ()
    """secrets by which the image may be pulled"""
    node_selector: dict[str, str] = Field(default_factory=dict)
    """labels of nodes that it may run on"""
    tolerations: Annotated[tuple[dict[str, Any], ...], Several] = ()
    """taints that it tolerates, as Kubernetes writes them"""
    labels: dict[str, str] = Field(default_factory=dict)
    """further labels"""
    annotations: dict[str, str] = Field(default_factory=dict)
    """further annotations"""

    @model_validator(mode="after")
    def _once(self) -> Submit:
        twice = sorted(set(self.env) & set(self.secrets))
        if twice:
            raise wrong(f"{', '.join(twice)}: expected in `env` or in `secrets`, found in both")
        return self
