"""The answers of Envoy's own refusals: Nginx's texts for REST callers, a status and a text for gRPC callers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from sidecar.front import refusals
from sidecar.front.bindings import answers_as_anthropic
from sidecar.front.settings import FrontError, templates
from sidecar.openapi.bindings import bindings_of, service

# HTTP status -> (gRPC status, text), the same as in deploy/nginx/grpc_error_pages.conf and grpc_errors.conf.
_GRPC: dict[tuple[int, ...], tuple[int, str]] = {
    (401,): (
        16,
        "Missing or wrong credentials: send the user and password as HTTP basic auth, or the API key as a Bearer token, in "
        "X-Api-Key or in Api-Key.",
    ),
    (403,): (7, "Not allowed."),
    (413,): (3, "The request is larger than this gateway accepts."),
    (404, 405, 501): (12, "There is no such service."),
    (408, 502, 503): (14, "The gateway core does not answer."),
    (504,): (4, "The gateway core was silent for too long."),
}
_GRPC_DEFAULT = (13, "The request is malformed, or the front failed.")
# Refused before the transcoder turned it into a gRPC call, so content-type is still the client's.
_BEFORE_TRANSCODER = (401, 404)
# Concurrent calls of one address, which Envoy does not count.
_NGINX_ALONE = 429
_TRANSCODED = "/sidecar.v1.RestService/"
# Problems of the query that request.lua found.
_QUERY = "%DYNAMIC_METADATA(sidecar.front:query)%"
Json = dict[str, object]
_HAS_QUERY: Json = {
    "metadata_filter": {
        "matcher": {"filter": "sidecar.front", "path": [{"key": "query"}], "value": {"present_match": True}},
        "match_if_key_not_found": False,
    }
}
_PLAIN = rf"{refusals.PLAIN_PATH}(\?.*)?"
_CHALLENGE = {"www-authenticate": 'Basic realm="sidecar"'}


# The abort of users.py, and of the filter behind it in the template.
_UNREADY: Json = {"response_flag_filter": {"flags": ["FI"]}}
# A stranger who stopped sending: not late for the gateway, but refused.
_STOPPED: Json = {"header_filter": {"header": {"name": "x-front-late", "string_match": {"exact": "stranger"}}}}
_UNREADY_BODY = json.dumps(
    {"error": {"message": refusals.UNREADY, "type": "api_error", "param": None, "code": "overloaded"}},
    separators=(",", ":"),
)


def mappers() -> list[str]:
    """One line of YAML per mapper; the first match applies."""
    return [f"- {json.dumps(mapper)}" for mapper in (*_for_grpc(), *_for_anthropic(), *_for_rest())]


def _for_grpc() -> Iterator[Json]:
    content_type = {"name": "content-type", "string_match": {"prefix": "application/grpc"}}
    transcoded = {"name": ":path", "string_match": {"prefix": _TRANSCODED}, "invert_match": True}
    early = [_status("EQ", status) for status in _BEFORE_TRANSCODER]
    caller: list[Json] = [
        {"header_filter": {"header": content_type}},
        {"or_filter": {"filters": [{"header_filter": {"header": transcoded}}, *early]}},
    ]
    yield _grpc(
        {"and_filter": {"filters": [*caller, _UNREADY]}}, 14, refusals.UNREADY, {"grpc-retry-pushback-ms": "1000"}
    )
    for statuses, (code, text) in _GRPC.items():
        some = [_status("EQ", status) for status in statuses]
        which = some[0] if len(some) == 1 else {"or_filter": {"filters": some}}
        yield _grpc({"and_filter": {"filters": [*caller, which]}}, code, text)
    yield _grpc({"and_filter": {"filters": caller}}, *_GRPC_DEFAULT)


def _for_anthropic() -> Iterator[Json]:
    """For the Anthropic paths, before and after the transcoder changed them: the same object, wrapped in two more
    members."""
    bindings = [each for each in bindings_of(service()) if answers_as_anthropic(each.rpc)]
    paths = (re.escape(each.path) + r"(\?.*)?" for each in bindings)
    rpcs = (re.escape(_TRANSCODED + each.rpc) for each in bindings)
    path = {"name": ":path", "string_match": {"safe_regex": {"regex": "|".join((*paths, *rpcs))}}}
    where: Json = {"header_filter": {"header": path}}
    words = _nginx_words()

    def mapper(which: list[Json], status: int, body: str) -> Json:
        body = '{"type":"error","request_id":"%REQ(x-request-id)%",' + body.removeprefix("{")
        return _rest({"and_filter": {"filters": [where, *which]}}, status, body, with_id=True)

    yield mapper([_UNREADY], 503, _UNREADY_BODY)
    yield {**mapper([_STOPPED, _status("EQ", 408)], 401, words["401"]), "status_code": 401}
    yield mapper([_status("EQ", 400), _HAS_QUERY], 400, words["400"].replace(refusals.MALFORMED, _QUERY))
    for key, body in words.items():
        if key.isdigit() and int(key) not in (_NGINX_ALONE, 404, 426):
            yield mapper([_status("EQ", int(key))], int(key), body)
    yield mapper([_status("GE", 500)], 500, words["default"])
    yield mapper([_status("GE", 400)], 400, words['"~^4"'])


def _for_rest() -> Iterator[Json]:
    words = _nginx_words()
    yield _rest(_UNREADY, 503, _UNREADY_BODY)
    yield {**_rest({"and_filter": {"filters": [_STOPPED, _status("EQ", 408)]}}, 401, words["401"]), "status_code": 401}
    yield _no_websocket(words["426"])
    query = words["400"].replace(refusals.MALFORMED, _QUERY)
    yield _rest({"and_filter": {"filters": [_status("EQ", 400), _HAS_QUERY]}}, 400, query)
    unknown = words["404"]
    plain = {"name": ":path", "string_match": {"safe_regex": {"regex": _PLAIN}}}
    named = unknown.replace("Unknown path", f"Unknown path %PATH(NQ:PATH):{refusals.PLAIN_PATH_CHARACTERS_MAX}%")
    yield _rest({"and_filter": {"filters": [_status("EQ", 404), {"header_filter": {"header": plain}}]}}, 404, named)
    for key, body in words.items():
        if key.isdigit() and int(key) not in (_NGINX_ALONE, 426):
            yield _rest(_status("EQ", int(key)), int(key), body)
    yield _rest(_status("GE", 500), 500, words["default"])
    yield _rest(_status("GE", 400), 400, words['"~^4"'])


def _no_websocket(body: str) -> Json:
    """Envoy refuses upgrades with 403 before the core could answer; Codex only falls back to POST after 426."""
    wanted = {"header_filter": {"header": {"name": "upgrade", "present_match": True}}}
    refused = _rest({"and_filter": {"filters": [_status("EQ", 403), wanted]}}, 426, body)
    return {**refused, "status_code": 426}


def _nginx_words() -> dict[str, str]:
    """Status -> JSON, from the file that Nginx reads, so that both fronts share their texts."""
    text = (templates("nginx") / "errors.conf").read_text()
    found = dict(re.findall(r"^ +(\S+) '({\"error\".*})';$", text, re.MULTILINE))
    if not {"401", "503", '"~^4"', "default"} <= found.keys():
        raise FrontError("deploy/nginx/errors.conf does not define what a refusal looks like.")
    found = {key: body.replace("%", "%%") for key, body in found.items()}
    found["400"] = found["400"].replace("$malformed", refusals.MALFORMED)
    found["404"] = found["404"].replace("$unknown_path", "").replace("$near_path", "%LOCAL_REPLY_BODY%")
    return found


def _grpc(which: Json, code: int, text: str, more: dict[str, str] | None = None) -> Json:
    # This header disables the REST filters for a call refused before it has a route, which would turn them off.
    headers = {"grpc-status": str(code), "x-front-refused": "1"} | (_CHALLENGE if code == 16 else {}) | (more or {})
    return {"filter": which, **_answer(headers, text.replace("%", "%%"))}


def _rest(which: Json, status: int, body: str, *, with_id: bool = False) -> Json:
    headers = {"content-type": "application/json", "x-front-refused": "1", "x-request-id": "%REQ(x-request-id)%"}
    headers |= {"request-id": "%REQ(x-request-id)%"} if with_id else {}
    headers |= _CHALLENGE if status == 401 else {}
    headers |= {"retry-after": "1"} if status == 503 else {}
    headers |= {"accept-encoding": "gzip, zstd"} if status == 415 else {}
    return {"filter": which, **_answer(headers, body)}


def _answer(headers: dict[str, str], text: str) -> Json:
    """`text` is a format string: percent signs are doubled."""
    added = [
        {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
        for key, value in headers.items()
    ]
    return {"headers_to_add": added, "body_format_override": {"text_format_source": {"inline_string": text}}}


def _status(compare: str, status: int) -> Json:
    value = {"default_value": status, "runtime_key": "none"}
    return {"status_code_filter": {"comparison": {"op": compare, "value": value}}}
