"""Envoy's REST routes, generated from the google.api.http bindings: what each path accepts, and how the rest is
refused.

The transcoder reads the same bindings from the descriptor set; a route here lets a call through to it. Refusals are
explicit, because the transcoder's own differ from Nginx's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import ServiceDescriptor

from sidecar.front import refusals
from sidecar.front.bindings import BindingError
from sidecar.front.groups import group_of
from sidecar.openapi.bindings import HttpBinding, bindings_of

# A path variable as it appears in the request: ASCII letters, digits and ._~:@+-, each possibly percent-encoded. The
# transcoder decodes it. %2F is not a slash, and nothing else may be percent-encoded, so that protobuf gets valid
# UTF-8.
_SEGMENT = "(?:[A-Za-z0-9._~:@+-]|%(?:2[BbDdEe]|3[0-9Aa]|4[0-9A-Fa-f]|5[0-9AaFf]|6[1-9A-Fa-f]|7[0-9AaEe]))+"
# The same for a variable that may contain slashes, where %2F is one. `*` ends the name of a wildcard route.
_LONG_SEGMENT = "(?:[A-Za-z0-9._~:@+*-]|%(?:2[AaBbDdEeFf]|3[0-9Aa]|4[0-9A-Fa-f]|5[0-9AaFf]|6[1-9A-Fa-f]|7[0-9AaEe]))+"
_LONG = f"{_LONG_SEGMENT}(?:/{_LONG_SEGMENT})*"
_SLASH_MAY_FOLLOW = "/api/"  # as in bindings.py
# A query parameter may contain printable ASCII, plain or percent-encoded.
_VALUE = "(?:[!-\"$'-~]|%(?:[2-6][0-9A-Fa-f]|7[0-9A-Ea-e]))*"
_JSON = "(?i)application/json *(;[ -~]*)?"
_CODING = "(?i)(identity|gzip|x-gzip|zstd)?"  # the core decompresses
_ALL = 1_000_000  # more than any path has characters
_WITHOUT_BODY = ("GET", "DELETE")
_OFF = {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": True}
_CREDENTIALS_OFF = {"users": _OFF}
_TRANSCODER_OFF = {"rest_transcoder": _OFF}

_WHOLE = "*whole"  # replaced by the template's anchor of that name
_REFUSED = "refused"  # the name of a route that leads to no worker; ask.lua reads it
COUNTED = "sidecar.front"  # metadata key of a route's counters
Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class Rule:
    """One HTTP method and path of one RPC. `query`: fields of its message that neither path nor body fills, and
    parameters that are ignored."""

    rpc: str
    verb: str
    path: str
    long: frozenset[str]
    query: tuple[str, ...]


def rest_routes(rest: ServiceDescriptor, public: frozenset[str]) -> list[str]:
    """One line of YAML per route, in matching order; `*core` stands for the action. Raises BindingError."""
    by_path: dict[str, list[Rule]] = {}
    for binding in bindings_of(rest):
        by_path.setdefault(binding.path, []).append(_rule(binding))
    ordered = sorted(by_path.items(), key=lambda item: _order(item[0]))
    # First every specific method, then the rest of each path: a variable path may have a method that an exact one
    # lacks.
    one = [line for path, group in ordered for line in _method_routes(path, group, public)]
    return [*one, *(_wrong_method(path, _with_overlapping(path, by_path), public) for path in dict(ordered))]


def queries(rest: ServiceDescriptor) -> list[tuple[str, tuple[str, ...]]]:
    """The paths with query parameters, as Lua patterns without a trailing slash, with the parameters' names. The
    first match applies. Raises BindingError."""
    found: dict[str, dict[str, None]] = {}
    long: dict[str, frozenset[str]] = {}
    for rule in map(_rule, bindings_of(rest)):
        if rule.query:
            found.setdefault(rule.path.rstrip("/"), {}).update(dict.fromkeys(rule.query))
            long[rule.path.rstrip("/")] = rule.long
    return [(_lua_pattern(path, long[path]), tuple(found[path])) for path in sorted(found, key=_order)]


def _lua_pattern(path: str, long: frozenset[str]) -> str:
    def written(part: str) -> str:
        if part.startswith("{"):
            return ".+" if part[1:-1] in long else "[^/]+"
        return re.sub(r"([^A-Za-z0-9/_])", r"%\1", part)

    return "^" + "".join(map(written, re.split(r"({\w+})", path))) + "$"


def _order(path: str) -> int:
    """Paths without variables come first and match exactly: /v1/models/all would otherwise be the model "all". Of
    the others, those with more literal text come first."""
    return -len(re.sub(r"{\w+}", "", path)) if "{" in path else -_ALL


def unknown_paths() -> list[str]:
    """One route per pattern of almost correct paths; the last one matches everything else."""
    return [_line(_regex(f"(?i){pattern}"), off=False, status=404, body=text) for pattern, text in refusals.NEAR]


def _rule(binding: HttpBinding) -> Rule:
    path = binding.path
    if binding.verb not in ("get", "post", "put", "patch", "delete"):
        raise BindingError(f"{binding.rpc}: no plain HTTP method is bound")
    if re.search(r"[{}*]", re.sub(r"{\w+}", "", path)):
        raise BindingError(f"{binding.rpc}: path {path} has more than variables")
    bound = {*binding.variables, binding.body}
    fields = () if binding.body == "*" else tuple(f.name for f in binding.message.fields if f.name not in bound)
    return Rule(binding.rpc, binding.verb.upper(), path, binding.long, (*fields, *binding.unread))


def _method_routes(path: str, group: list[Rule], public: frozenset[str]) -> Iterator[str]:
    where = _where(path, group[0].long)
    off = _is_public(group, public)
    counted = _counted_as(path)
    if off and any(rule.verb not in _WITHOUT_BODY for rule in group):
        raise BindingError(f"{path}: what takes a body cannot be public, because ask.lua asks for credentials")
    yield f"# {path}: {', '.join(f'{rule.verb} {rule.rpc}' for rule in group)}"
    for rule in group:
        verb = _header(":method", "GET|HEAD" if rule.verb == "GET" else rule.verb)
        query = list(_query(rule.query))
        if rule.verb in _WITHOUT_BODY:
            empty = {"name": "content-length", "string_match": _regex("0*"), "treat_missing_header_as_empty": True}
            yield _line({**where, "headers": [verb, empty, *query]}, off, to_core=True, **counted)
            yield _line({**where, "headers": [verb]}, off, status=400, **counted)
            continue
        kind = _header("content-type", _JSON)
        plain = {**_header("content-encoding", _CODING), "treat_missing_header_as_empty": True}
        yield _line({**where, "headers": [verb, kind, plain, *query]}, off, to_core=True, whole=True, **counted)
        yield _line({**where, "headers": [verb, kind, plain]}, off, status=400, **counted)
        yield _line({**where, "headers": [verb]}, off, status=415, **counted)


def _wrong_method(path: str, group: list[Rule], public: frozenset[str]) -> str:
    allow = ", ".join("GET, HEAD" if rule.verb == "GET" else rule.verb for rule in group)
    header = {"header": {"key": "allow", "value": allow}}
    off = _is_public(group, public)
    return _line(_where(path, group[0].long), off, status=405, response_headers_to_add=[header], **_counted_as(path))


def _counted_as(path: str) -> dict[str, Any]:
    """What the counters read from a route."""
    return {"metadata": {"filter_metadata": {COUNTED: {"group": group_of(path)}}}}


def _with_overlapping(path: str, by_path: dict[str, list[Rule]]) -> list[Rule]:
    """What a path accepts: its own methods, then those of paths with a variable that can have this value."""
    group = list(by_path[path])
    if "{" in path:
        return group
    for other, rules in by_path.items():
        pattern = "[^/]+".join(map(re.escape, re.split(r"{\w+}", other)))
        if "{" in other and re.fullmatch(pattern, path):
            group += [rule for rule in rules if rule.verb not in {each.verb for each in group}]
    return group


def _is_public(group: list[Rule], public: frozenset[str]) -> bool:
    return any(rule.rpc in public for rule in group)


def _where(path: str, long: frozenset[str]) -> Json:
    slash = "/?" if path.startswith(_SLASH_MAY_FOLLOW) else ""
    if "{" not in path and not slash:
        return {"path": path}

    def segment(match: re.Match[str]) -> str:
        return _LONG if match[1] in long else _SEGMENT

    return _regex(re.sub(r"{(\w+)}", segment, path.replace(".", r"\.")) + slash)


def _query(names: tuple[str, ...]) -> Iterator[Json]:
    """These names in any order, no others, each at most once: the transcoder would let ?name= overwrite a path
    variable of that name."""
    one = f"(?:{'|'.join(names)})={_VALUE}" if names else ""
    yield _header(":path", rf"[^?]*(?:\?(?:{one}{f'(?:&{one})*' if len(names) > 1 else ''})?)?")
    for name in names if len(names) > 1 else ():
        yield {**_header(":path", rf"[^?]*\?(?:.*&)?{name}=.*&{name}=.*"), "invert_match": True}


def _header(name: str, regex: str) -> Json:
    return {"name": name, "string_match": _regex(regex)}


def _regex(regex: str) -> Json:
    return {"safe_regex": {"regex": regex}}


def _line(
    match: Json,
    off: bool,
    *,
    to_core: bool = False,
    whole: bool = False,
    status: int = 0,
    body: str = "",
    **more: object,
) -> str:
    """`whole`: the core is not asked before the body is there, nor is a caller told that there is none."""
    filters: Json = {**(_CREDENTIALS_OFF if off else {}), **({} if to_core else _TRANSCODER_OFF)}
    if whole:
        filters["limit"] = _WHOLE
    rest: Json = {"match": match, **more, **({"typed_per_filter_config": filters} if filters else {})}
    if to_core:
        text = json.dumps(rest).replace(f'"{_WHOLE}"', "*whole ")
        return f'- {text[:-1]}, "route": *core }}'
    rest["name"] = _REFUSED
    rest["direct_response"] = {"status": status, **({"body": {"inline_string": body}} if body else {})}
    return f"- {json.dumps(rest)}"
