"""The settings of a route, which `defaults:` sets for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Literal

from adapters import Kind as FailureKind
from sidecar.config import fields as readers
from sidecar.config.ca_bundle import ca_bundle
from sidecar.config.client_certificate import KEYS as CLIENT_CERTIFICATE_KEYS
from sidecar.config.client_certificate import client_certificate
from sidecar.config.kinds import DURATION, DURATION_OR_OFF, SHARE, Kind, choice, integer, list_of, size
from sidecar.config.problems import Report, near_miss, shown
from sidecar.config.proxies import ENVIRONMENT, Proxy, proxy
from sidecar.config.scope import Scope
from sidecar.config.section import Entries, Field, Section, default_of
from sidecar.config.yaml_tree import MappingEntry
from sidecar.domain.client_certificate import ClientCertificate
from sidecar.domain.snapshot import Admission, Breaker, CaBundle, Retries, Route, Timeouts

DIALECTS: Final = ("a", "b")
# Below 1 KiB no answer fits; 1 GiB is more than a worker's memory should be trusted with.
_RESPONSE_BYTES = (1024, 1024**3)
# A caller waits for all attempts of a call together; more of them only make a provider's bad hour worse.
_RETRIES_MAX = 10
# A failure count or a window's calls: beyond this a breaker never opens.
_BREAKER_COUNT_MAX = 100_000
# Calls of one worker: each holds a socket and some ten KiB.
_CONCURRENT_MAX = 100_000

TIMEOUTS = Section(
    "timeouts",
    Timeouts,
    (
        Field(
            "connect",
            DURATION,
            "Making the connection, TLS included.",
            "A provider that is up answers in well under a second; beyond that another attempt is better.",
        ),
        Field(
            "first_output",
            DURATION,
            "On a stream: from the request's last byte to the first output. For an answer that is not streamed, which comes in "
            "one piece: only while another model can still be tried.",
            "Long prompts and thinking models are silent for a minute and more.",
        ),
        Field("idle", DURATION, "The longest silence between two pieces of a stream."),
        Field(
            "total",
            DURATION,
            "The whole call: the deadline of a caller that sets none, and the cap of one that does.",
            "OpenAI's SDK waits as long.",
        ),
        Field(
            "write",
            DURATION,
            "How long a client may take no piece of a stream (gRPC and Envoy; Nginx has `send_timeout`).",
            "A reader that stops reading holds a provider's connection.",
        ),
    ),
    "Time limits of one call.",
)


def _check_backoff(retries: Retries, entries: Entries, path: str, report: Report) -> None:
    if retries.backoff_s > retries.backoff_max_s:
        line = (entries.get("backoff") or entries["backoff_max"]).line
        hint = f"{retries.backoff_s:g}s, {retries.backoff_max_s:g}s"
        report.error(line, path, "backoff is longer than backoff_max", hint)


RETRIES = Section(
    "retries",
    Retries,
    (
        Field("budget", integer(0, _RETRIES_MAX), "How many further attempts, over all models of the route together."),
        Field(
            "backoff",
            DURATION,
            "The longest wait before the first of them; the actual wait is random, and the limit doubles each time.",
        ),
        Field("backoff_max", DURATION, "What no wait exceeds."),
    ),
    "Further attempts of one call, only before its first output.",
    _check_backoff,
)
BREAKER = Section(
    "breaker",
    Breaker,
    (
        Field("consecutive_failures", integer(1, _BREAKER_COUNT_MAX), "Ejects after this many failures in a row."),
        Field("error_ratio", SHARE, "Ejects when this share of the calls in the window has failed."),
        Field("calls_min", integer(1, _BREAKER_COUNT_MAX), "The share counts from this many calls in the window on."),
        Field("window", DURATION, "How far back the share looks."),
        Field("open", DURATION, "How long the model is ejected; then one real call probes it."),
    ),
    "When a model of several is ejected for a while.",
)
ADMISSION = Section(
    "admission",
    Admission,
    (
        Field(
            "concurrent",
            integer(1, _CONCURRENT_MAX),
            "Calls under way at once.",
            attribute="concurrent_max",
            required=True,
        ),
        Field(
            "queue",
            integer(0, _CONCURRENT_MAX),
            "Calls that may wait for a place; more get 503.",
            attribute="queue_max",
        ),
        Field("queue_time", DURATION, "How long one may wait; then it gets 503.", attribute="queue_s"),
    ),
    "How many calls may be under way and waiting in each worker.",
)
DIALECT = choice(DIALECTS)


@dataclass(frozen=True, slots=True)
class Settings:
    """What `defaults:` sets, and a route may set differently."""

    timeouts: Timeouts = field(default_factory=Timeouts)
    response_bytes_max: int = default_of(Route, "response_bytes_max")
    stream_keepalive_s: float = default_of(Route, "stream_keepalive_s")
    ca_file: CaBundle | None = None
    client_certificate: ClientCertificate | None = None
    proxy: Proxy | None = None
    retries: Retries = field(default_factory=Retries)
    breaker: Breaker = field(default_factory=Breaker)
    fallback_on: frozenset[FailureKind] = default_of(Route, "fallback_on")
    admission: Admission | None = None
    mlflow_dialect: Literal["a", "b"] = default_of(Route, "mlflow_dialect")

    def changed(self, values: Mapping[str, Any]) -> Settings:
        """With those of `values` that are settings."""
        return replace(self, **{key: value for key, value in values.items() if key in _ATTRIBUTES})

    def of_route(self) -> dict[str, Any]:
        """Those that Route has; the others are its upstreams'."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name not in UPSTREAM_KEYS}


# What a model refuses that another may take: in the words of the file.
_FALLBACK_ON = {"context_length": FailureKind.CONTEXT_LENGTH_EXCEEDED, "content_filter": FailureKind.CONTENT_FILTERED}


def _fallback_on(entry: MappingEntry, path: str, scope: Scope) -> frozenset[FailureKind] | None:
    words = readers.texts(entry.value, path, scope.report)
    if words is None:
        return None
    for index, word in enumerate(words):
        if word not in _FALLBACK_ON:
            line = entry.value.items[index].line
            scope.report.error(line, f"{path}[{index}]", f"unknown word {shown(word)}", near_miss(word, _FALLBACK_ON))
    return frozenset(_FALLBACK_ON[word] for word in words if word in _FALLBACK_ON)


_CLIENT_CERTIFICATE = Kind(
    {
        "type": "object",
        "properties": {name: {"type": "string"} for name in CLIENT_CERTIFICATE_KEYS},
        "required": ["certificate"],
        "additionalProperties": False,
    },
    "section",
    client_certificate,
    text=lambda value: "",
)
# They belong to a provider's connection; a split has those of its destinations.
UPSTREAM_KEYS = ("ca_file", "client_certificate", "proxy")
SETTINGS = Section(
    "defaults",
    Settings,
    (
        Field("timeouts", TIMEOUTS, "Time limits of one call.", "[Below](#timeouts)."),
        Field(
            "response_bytes_max",
            size(*_RESPONSE_BYTES),
            "What one answer may hold.",
            "Behind Nginx a slow reader does not slow the provider down, so something must bound an answer; 64 MiB is also the "
            "gRPC message limit.",
        ),
        Field(
            "stream_keepalive",
            DURATION_OR_OFF,
            "After this long a silence on a REST stream a comment is sent, and then each time again, also before the first "
            "output; from the first comment on errors are events in the stream. `off`: no comments.",
            "Balancers cut what is silent for 60 s, some for 30. SDKs skip comments, and fallbacks go on as without them.",
        ),
        Field(
            "ca_file",
            Kind({"type": "string"}, "path", ca_bundle),
            "PEM bundle to trust for this provider; relative paths start at the config file's directory.",
            "It is kept as it was read.",
            default="the system's",
        ),
        Field(
            "client_certificate",
            _CLIENT_CERTIFICATE,
            "PEM files of a certificate, with its chain, and of its key, for a provider that asks for them.",
            "`{certificate: client.pem, key: client.key}`; without `key` it is in the same file. [Below](#client-certificates).",
        ),
        Field(
            "proxy",
            Kind(
                {"type": "string", "pattern": f"^(https?://|{ENVIRONMENT}$)"},
                f"URL or `{ENVIRONMENT}`",
                proxy,
                text=lambda value: "" if value is None else str(value),
            ),
            "HTTP proxy to this provider, as `http://proxy:3128` or `http://user:$PASSWORD@proxy:3128`; `environment`: by "
            "HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY.",
            "User and password are escaped as in any URL. Without the word the variables of the environment are ignored: a "
            "gateway must not change its route because of who started it.",
        ),
        Field(
            "retries", RETRIES, "Further attempts of one call.", "[Below](#retries-breaker-admission), as the next two."
        ),
        Field(
            "fallback_on",
            list_of({"enum": list(_FALLBACK_ON)}, read=_fallback_on),
            "Refusals after which the next model is asked too: `context_length`, `content_filter`.",
            "[Below](#several-models). Without it they are the caller's answer: most often the request is at fault.",
        ),
        Field("breaker", BREAKER, "When a model of several is ejected."),
        Field("admission", ADMISSION, "Calls of the route in each worker.", default="no limit"),
        Field(
            "mlflow_dialect",
            DIALECT,
            "MLflow's wire format on `/gateway/{name}/invocations` where nothing else tells: `a` (2.5 to 2.8) or `b` (2.9 and "
            "later).",
        ),
    ),
    "Settings for every route that does not set them itself.",
)
_ATTRIBUTES = frozenset(each.target for each in SETTINGS.fields)
