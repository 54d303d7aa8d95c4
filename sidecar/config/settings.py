"""The settings of a route, which `defaults:` sets for all routes."""

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
# No answer fits into less than 1 KiB; more than 1 GiB endangers a worker's memory.
_RESPONSE_BYTES = (1024, 1024**3)
# A caller waits for all attempts of a call; more of them only prolong a provider's outage.
_RETRIES_MAX = 10
# A failure count or a window's calls: with more, a breaker would never open.
_BREAKER_COUNT_MAX = 100_000
# Calls per worker: each holds a socket and some ten KiB.
_CONCURRENT_MAX = 100_000

TIMEOUTS = Section(
    "timeouts",
    Timeouts,
    (
        Field(
            "connect",
            DURATION,
            "Opening the connection, including TLS.",
            "A provider that is up takes well under a second; after that, another attempt is better.",
        ),
        Field(
            "first_output",
            DURATION,
            "For a stream: from the last byte of the request to the first output. For an answer that is not "
            "streamed: to its head, but only while another model can still be tried.",
            "Long prompts and reasoning models can be silent for more than a minute.",
        ),
        Field("idle", DURATION, "The longest pause between two pieces of a stream."),
        Field(
            "total",
            DURATION,
            "The whole call: the default deadline, and the upper bound for a deadline that the caller sets.",
            "OpenAI's SDK waits equally long.",
        ),
        Field(
            "write",
            DURATION,
            "How long a client may read nothing of a stream (gRPC and Envoy; Nginx has `send_timeout`).",
            "A client that stops reading holds a connection to the provider.",
        ),
    ),
    "Time limits for one call.",
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
        Field(
            "budget", integer(0, _RETRIES_MAX), "The number of further attempts, over all models of the route together."
        ),
        Field(
            "backoff",
            DURATION,
            "The longest wait before the first retry; the actual wait is random, and this limit doubles each time.",
        ),
        Field("backoff_max", DURATION, "The upper limit for any wait."),
    ),
    "Further attempts for one call, only before its first output.",
    _check_backoff,
)
BREAKER = Section(
    "breaker",
    Breaker,
    (
        Field("consecutive_failures", integer(1, _BREAKER_COUNT_MAX), "Ejects after this many failures in a row."),
        Field("error_ratio", SHARE, "Ejects when this share of the calls in the window have failed."),
        Field(
            "calls_min",
            integer(1, _BREAKER_COUNT_MAX),
            "The minimum number of calls in the window for the ratio to count.",
        ),
        Field("window", DURATION, "The time over which the ratio is taken."),
        Field("open", DURATION, "How long the model is ejected; then one real call probes it."),
    ),
    "When one of several models is ejected for a while.",
)
ADMISSION = Section(
    "admission",
    Admission,
    (
        Field(
            "concurrent",
            integer(1, _CONCURRENT_MAX),
            "Concurrent calls.",
            attribute="concurrent_max",
            required=True,
        ),
        Field(
            "queue",
            integer(0, _CONCURRENT_MAX),
            "Calls that may wait for a slot; further calls get 503.",
            attribute="queue_max",
        ),
        Field("queue_time", DURATION, "How long a call may wait; then it gets 503.", attribute="queue_s"),
    ),
    "How many calls may be in progress and waiting in each worker.",
)
DIALECT = choice(DIALECTS)


@dataclass(frozen=True, slots=True)
class Settings:
    """What `defaults:` sets and a route may override."""

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
        """A copy changed by those of `values` that are settings."""
        return replace(self, **{key: value for key, value in values.items() if key in _ATTRIBUTES})

    def of_route(self) -> dict[str, Any]:
        """The settings that Route has; the others belong to its upstreams."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name not in UPSTREAM_KEYS}


# Refusals after which another model may succeed, by their names in the file.
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
# They belong to a provider's connection; a split uses those of its destinations.
UPSTREAM_KEYS = ("ca_file", "client_certificate", "proxy")
SETTINGS = Section(
    "defaults",
    Settings,
    (
        Field("timeouts", TIMEOUTS, "Time limits for one call.", "[Below](#timeouts)."),
        Field(
            "response_bytes_max",
            size(*_RESPONSE_BYTES),
            "The largest answer, in bytes.",
            "Behind Nginx a slow client does not slow the provider down, so an answer needs a limit; 64 MiB is "
            "also the gRPC message limit.",
        ),
        Field(
            "stream_keepalive",
            DURATION_OR_OFF,
            "While a REST stream is silent, also before the first output, a comment is sent each time this much "
            "time has passed. After the first comment, errors are events in the stream. `off`: no comments.",
            "Many load balancers close a connection that is silent for 60 s, some after 30 s. SDKs skip "
            "comments, and fallbacks work as without them.",
        ),
        Field(
            "ca_file",
            Kind({"type": "string"}, "path", ca_bundle),
            "PEM bundle to trust for this provider; relative paths start at the config file's directory.",
            "The gateway keeps the content that it has read.",
            default="the system's",
        ),
        Field(
            "client_certificate",
            _CLIENT_CERTIFICATE,
            "PEM files of a client certificate with its chain, and of its key, for a provider that requires them.",
            "`{certificate: client.pem, key: client.key}`; without `key`, the key is in the same file. "
            "[Below](#client-certificates).",
        ),
        Field(
            "proxy",
            Kind(
                {"type": "string", "pattern": f"^(https?://|{ENVIRONMENT}$)"},
                f"URL or `{ENVIRONMENT}`",
                proxy,
                text=lambda value: "" if value is None else str(value),
            ),
            "HTTP proxy for this provider, such as `http://proxy:3128` or `http://user:$PASSWORD@proxy:3128`; "
            "`environment`: use HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY.",
            "Escape user and password as in any URL. Without this key, the environment's proxy variables are "
            "ignored: the gateway should not behave differently depending on who started it.",
        ),
        Field(
            "retries",
            RETRIES,
            "Further attempts for one call.",
            "[Below](#retries-breaker-admission), like `breaker` and `admission`.",
        ),
        Field("retries", RETRIES, "Retries of a call.", "[Below](#retries-breaker-admission), like the next two."),
        Field(
            "fallback_on",
            list_of({"enum": list(_FALLBACK_ON)}, read=_fallback_on),
            "Refusals after which the next model is tried, too: `context_length`, `content_filter`.",
            "[Below](#several-models). Otherwise the caller gets the refusal, because usually the request is at fault.",
        ),
        Field("breaker", BREAKER, "When one of several models is ejected."),
        Field("admission", ADMISSION, "Concurrent calls of the route in each worker.", default="no limit"),
        Field(
            "mlflow_dialect",
            DIALECT,
            "MLflow's wire format on `/gateway/{name}/invocations` if the request does not show it: `a` (2.5 to "
            "2.8) or `b` (2.9 and later).",
        ),
    ),
    "Settings for every route that does not set its own.",
)
_ATTRIBUTES = frozenset(each.target for each in SETTINGS.fields)
