"""One item of `routes:` or `endpoints:` -> a Route."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from adapters import DROPPABLE, FORMATS, NEVER_DROPPED, PROVIDERS_OWN, SHORT_NAMES, Task
from adapters.providers import PROVIDERS
from sidecar.config import fields
from sidecar.config.kinds import BOOLEAN, Kind, choice, integer, list_of
from sidecar.config.limits import ROUTE_LIMITING, limiting
from sidecar.config.models import MODELS, Targets, targets
from sidecar.config.names import ALIAS, ROUTE_NAME, Names, name_field, name_of, taken
from sidecar.config.prices import COST_FIELD, PRICE_FIELD
from sidecar.config.problems import Report, near_miss, shown, shown_parameter
from sidecar.config.scope import Scope
from sidecar.config.section import Entries, Field, Section
from sidecar.config.settings import SETTINGS, Settings
from sidecar.config.upstream import header_value, with_settings
from sidecar.config.yaml_tree import MappingEntry, Node
from sidecar.domain.snapshot import Route, Upstream
from sidecar.domain.wildcard import STAR, is_wildcard

TYPE_KEYS = ("route_type", "endpoint_type")
TYPES: Mapping[str, Task] = {f"llm/v1/{task}": task for task in Task}
# Which API of the provider serves a completions route, if the default for the provider does not fit the model.
_COMPLETIONS_APIS = ("chat", "completions")
_CHAT_APIS = ("chat", "responses")
_STREAM_ENDS = ("done", "finish", "close")
_MAX_TOKENS_MAX = 10_000_000
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
_SECRET_HEADERS = frozenset(
    {"authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie"}
)
_ALIASES_MAX = 64
_OUR_HEADERS = frozenset(
    {"host", "content-length", "content-type", "content-encoding", "transfer-encoding", "connection", "accept-encoding"}
    | {"te", "upgrade", "trailer", "keep-alive", "expect"}
)


def _headers(entry: MappingEntry, path: str, scope: Scope) -> tuple[tuple[str, str], ...]:
    report = scope.report
    if entry.value.kind != "mapping":
        report.error(entry.value.line, path, f"expected a mapping, found {fields.kind_of(entry.value)}")
        return ()
    found: list[tuple[str, str]] = []
    for name, item in entry.value.entries.items():
        if not _HEADER_NAME.fullmatch(name):
            report.error(item.line, path, "contains an invalid header name")
        elif name.lower() in _SECRET_HEADERS:
            report.error(item.line, path, f'"{name}" would contain a secret', "put keys into model.config")
        elif name.lower() in _OUR_HEADERS:
            report.error(item.line, path, f'"{name}" is set by the gateway')
        elif (value := header_value(item.value, f"{path}.{name}", report)) is not None:
            found.append((name, value))
    return tuple(found)


_TYPE = Kind({"enum": list(TYPES)}, "type")
_HEADERS = Kind(
    {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}, "mapping", _headers
)
_OPTIONS = ("default_max_tokens", "drop_params", "strict", "completions_api", "chat_api", "stream_end")
# Names that drop_params may contain.
_KNOWN = sorted({*DROPPABLE, *SHORT_NAMES})
_DROPPABLE = [*_KNOWN, *sorted(PROVIDERS_OWN - {*_KNOWN})]


def _drop_params(entry: MappingEntry, path: str, scope: Scope) -> tuple[str, ...] | None:
    found = fields.texts(entry.value, path, scope.report)
    for index, name in enumerate(found or ()):
        line, place = entry.value.items[index].line, f"{path}[{index}]"
        if name in NEVER_DROPPED:
            scope.report.error(line, place, f"{shown(name)} is required in every call")
        elif name not in _DROPPABLE:
            hint = (
                near_miss(name, _KNOWN) or near_miss(name, PROVIDERS_OWN) or "docs/reference/providers.md has the names"
            )
            scope.report.error(line, place, f"unknown parameter {shown_parameter(name)}", hint)
    return found


ROUTE = Section(
    "route",
    Route,
    (
        name_field(
            ROUTE_NAME,
            "The name that callers use: 1 to 128 ASCII letters, digits, `_`, `-`, `.`, `:` and `/`. It is unique "
            "in the file, and case matters. With `*` at the end it is a wildcard.",
            "[Below](#names). MLflow 2 accepted letters of every script; here, as in MLflow 3, others than ASCII "
            "are refused.",
        ),
        Field(
            "aliases",
            list_of({"type": "string", "pattern": f"^{ALIAS.pattern.pattern}$"}, _ALIASES_MAX),
            "Other names for the route.",
            "[Below](#names).",
        ),
        Field(
            "route_type",
            _TYPE,
            "The route's type: `llm/v1/chat`, `llm/v1/completions` or `llm/v1/embeddings`. The provider must "
            "support it.",
            "Required, as `route_type` or `endpoint_type`. A type that the provider does not support is an error "
            "when the file is read, not on the first call.",
            mlflow=True,
        ),
        Field("endpoint_type", _TYPE, "The same as `route_type`.", mlflow=True),
        *MODELS,
        *ROUTE_LIMITING,
        PRICE_FIELD,
        COST_FIELD,
        *SETTINGS.fields,
        Field(
            "default_max_tokens",
            integer(1, _MAX_TOKENS_MAX),
            "Sent as `max_tokens` if the provider requires it (Anthropic) and the caller does not set it.",
        ),
        Field(
            "drop_params",
            list_of({"enum": _DROPPABLE}, read=_drop_params),
            "Request parameters that are never sent to the provider.",
            "A parameter that a provider does not have is refused otherwise, with the name to list here. Nested "
            "parameters are named by their path: `messages[].name`, `response_format.json_schema.description`. "
            "[All names](providers.md#members).",
            default="[]",
        ),
        Field(
            "strict",
            BOOLEAN,
            "Refuses a request if anything in it would be left out, unless drop_params lists it.",
            "Otherwise, hints and parts of earlier answers that the provider has no place for are left out, and "
            "named in `x-sidecar-left-out` and `left_out`. [Which these are](providers.md#members).",
            default="false",
        ),
        Field(
            "completions_api",
            choice(_COMPLETIONS_APIS, "API"),
            "Which API of the provider a completions route calls.",
            "[Below](#completions).",
            default="by provider and model",
        ),
        Field(
            "chat_api",
            choice(_CHAT_APIS, "API"),
            "Which API of OpenAI or Azure a chat route calls: chat completions or the Responses API.",
            "With `responses` every caller, including those of chat completions, Messages and gRPC, keeps the "
            "model's reasoning from one tool call to the next. With `chat` calls of `/v1/responses` are "
            "translated, too, for servers that only have chat completions.",
            default="the API that the caller uses",
        ),
        Field(
            "stream_end",
            choice(_STREAM_ENDS, "end of a stream"),
            "What ends a provider's stream, apart from its end marker (`[DONE]`, `message_stop`).",
            "`done`: nothing else; a stream without the marker is an error. `finish`: the end of the body, once "
            "all choices have finished. `close`: the end of the body, once there was output.",
            default="`finish`, or what is built in for the provider",
        ),
        Field(
            "headers",
            _HEADERS,
            "Additional headers for the provider; not for secrets.",
            "`Authorization`, `X-API-Key` and similar headers are refused, and so are those that HTTP itself "
            "needs (`Host`, `Content-Type` …).",
            default="{}",
        ),
    ),
)


def route(node: Node, path: str, defaults: Settings, seen: Names, scope: Scope) -> tuple[str | None, Route | None]:
    """Returns its name, and the route if all of it is valid; problems are reported."""
    entries = ROUTE.entries(node, path, scope)
    if entries is None:
        return None, None
    name = name_of(entries, path, ROUTE_NAME, seen, scope)
    aliases = _aliases(entries, path, name, seen, scope)
    task = task_of(node, entries, path, TYPE_KEYS, scope.report)
    values = ROUTE.values(entries, path, scope, defaults)
    settings = defaults.changed(values)
    found = targets(node, entries, path, task, settings, values.get("strategy", "ordered"), scope)
    for key, check in _API_CHECKS.items():
        if task is not None and found is not None and key in values:
            check(entries[key], f"{path}.{key}", task, found.upstreams, scope.report)
    counted = limiting(values, entries, path, scope)
    if name is None or task is None or found is None:
        return name, None
    upstreams = _for_all(values, found)
    _check_stars(name, upstreams, node, path, scope.report)
    return name, Route(
        name, task, upstreams, strategy=found.strategy, aliases=aliases, **settings.of_route(), **counted
    )


def _aliases(entries: Entries, path: str, name: str | None, seen: Names, scope: Scope) -> tuple[str, ...]:
    """Aliases must differ from the names and aliases of all other routes."""
    if "aliases" not in entries:
        return ()
    entry = entries["aliases"]
    items = fields.expect_list(entry.value, f"{path}.aliases", scope.report) or []
    if len(items) > _ALIASES_MAX:
        scope.report.error(entry.line, f"{path}.aliases", f"more than {_ALIASES_MAX} aliases")
        return ()
    if items and name is not None and is_wildcard(name):
        scope.report.error(
            entry.line,
            f"{path}.aliases",
            "a wildcard route cannot have aliases",
            "it already answers to every name with its prefix",
        )
        return ()
    found = (taken(item, f"{path}.aliases[{at}]", ALIAS, seen, scope) for at, item in enumerate(items))
    return tuple(alias for alias in found if alias is not None)


def _check_stars(name: str, upstreams: tuple[Upstream, ...], node: Node, path: str, report: Report) -> None:
    """A star in a model's name is replaced by the rest of the name that a caller used."""
    stars = [each for each in upstreams if STAR in each.model or quote(STAR) in each.base_url]
    if is_wildcard(name) and not stars:
        hint = 'write name: "*" in a model to pass the rest of the name on'
        report.warn(
            node.line, path, "is a wildcard route whose models have no *, so all names get the same model", hint
        )
    if not is_wildcard(name) and stars:
        report.error(node.line, f"{path}.model.name", "has a *", "only allowed in a wildcard route")


def task_of(
    node: Node, entries: Mapping[str, MappingEntry], path: str, keys: tuple[str, ...], report: Report
) -> Task | None:
    given = [key for key in keys if key in entries]
    if not given:
        key = keys[-1] if path.startswith("endpoints") else keys[0]
        report.error(node.line, f"{path}.{key}", "is missing")
        return None
    if len(given) == 2:
        report.error(entries[given[1]].line, path, "route_type and endpoint_type mean the same", "keep one")
        return None
    value = entries[given[0]].value
    written = fields.text(value, f"{path}.{given[0]}", report)
    if written is None or written in TYPES:
        return TYPES.get(written or "")
    report.error(value.line, f"{path}.{given[0]}", f"unknown type {_shown_type(written)}", f"known: {', '.join(TYPES)}")
    return None


def _shown_type(written: str) -> str:
    return f'"{written}"' if re.fullmatch(r"[a-z0-9/_.-]{1,32}", written) else shown(written)


def _for_all(values: Mapping[str, Any], targets: Targets) -> tuple[Upstream, ...]:
    """The upstreams, with the route's settings that apply to all of them."""
    options = {key: values[key] for key in _OPTIONS if values.get(key, False) is not False}
    made = (with_settings(each, values.get("headers", ()), options) for each in targets.upstreams)
    price, cost = values.get("price"), values.get("cost")
    return tuple(replace(each, price=each.price or price, cost=each.cost or cost) for each in made)


def _check_chat_api(
    entry: MappingEntry, path: str, task: Task, upstreams: tuple[Upstream, ...], report: Report
) -> None:
    if task is not Task.CHAT:
        report.error(entry.line, path, "is only for routes of type llm/v1/chat")
    elif entry.value.text == "responses" and not any(
        "responses" in PROVIDERS[made.provider].also for made in upstreams
    ):
        names = ", ".join(name for name, row in PROVIDERS.items() if "responses" in row.also)
        report.error(
            entry.line, path, "no provider of this route has the Responses API", f"providers that have it: {names}"
        )


def _check_completions_api(
    entry: MappingEntry, path: str, task: Task, upstreams: tuple[Upstream, ...], report: Report
) -> None:
    if task is not Task.COMPLETIONS:
        report.error(entry.line, path, "is only for routes of type llm/v1/completions")
        return
    for name in dict.fromkeys(made.provider for made in upstreams) if entry.value.text == "completions" else ():
        if task not in FORMATS[PROVIDERS[name].format].provider:
            report.error(entry.line, path, f'"{name}" has no completions API', "remove the key; chat is used instead")


_API_CHECKS = {"completions_api": _check_completions_api, "chat_api": _check_chat_api}
