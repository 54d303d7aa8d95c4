"""CORS for Envoy: a filter in a discovery file, which Envoy rereads whenever the file is replaced by a rename."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from sidecar.domain.origins import ANY, Origin
from sidecar.front.cors import EXPOSED, MAX_AGE_S, METHODS, called_by_pages
from sidecar.front.settings import templates, write

CORS = "cors.json"
_MATCHER = "type.googleapis.com/envoy.extensions.common.matching.v3.ExtensionWithMatcher"
# The filter if no origins are allowed: it changes no headers, at a tenth of the cost of a Lua filter that is
# skipped.
_NOTHING = "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"
_LUA = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua"
_SKIP = "type.googleapis.com/envoy.extensions.filters.common.matcher.action.v3.SkipFilter"
_HEADER_INPUT = "type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput"


def write_cors(origins: Sequence[str], target: Path) -> None:
    """Rewrites `target`; a running Envoy picks it up within milliseconds. Raises OSError."""
    resource = {
        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
        "name": "cors",
        "typed_config": _filter(origins) if origins else {"@type": _NOTHING},
    }
    write(target, json.dumps({"resources": [resource]}))


def _filter(origins: Sequence[str]) -> dict[str, object]:
    lua = {"@type": _LUA, "default_source_code": {"inline_string": _source(origins)}}
    header = {"name": "origin", "typed_config": {"@type": _HEADER_INPUT, "header_name": "origin"}}
    present = {
        "single_predicate": {"input": header, "value_match": {"safe_regex": {"google_re2": {}, "regex": "(?s).*"}}}
    }
    skip = {"action": {"name": "skip", "typed_config": {"@type": _SKIP}}}
    matchers = [{"predicate": {"not_matcher": present}, "on_match": skip}]
    return {
        "@type": _MATCHER,
        "extension_config": {"name": "envoy.filters.http.lua", "typed_config": lua},
        "xds_matcher": {"matcher_list": {"matchers": matchers}},
    }


def _source(origins: Sequence[str]) -> str:
    """The tables in Lua, followed by the code that reads them."""
    parsed = [found for each in origins if (found := Origin.parsed(each)) is not None]
    verbs: dict[str, list[str]] = {}
    for verb, path in called_by_pages():
        verbs.setdefault(path, []).append(verb)
    lines = [
        f"local any = {'true' if ANY in origins else 'false'}",
        f"local exact = {{{', '.join(f'[{_quoted(each.text)}] = true' for each in parsed if each.exact)}}}",
        f"local rules = {{{', '.join(_rule(each) for each in parsed if not each.exact)}}}",
        f"local paths = {{{', '.join(_path(path, verbs[path]) for path in sorted(verbs, key=lambda path: '{' in path))}}}",
        f"local exposed, max_age, methods = {_quoted(EXPOSED)}, {_quoted(str(MAX_AGE_S))}, {_quoted(', '.join(METHODS))}",
    ]
    return "\n".join(lines) + "\n" + (templates("envoy") / "cors.lua").read_text()


def _rule(origin: Origin) -> str:
    name = "suffix" if origin.host.startswith("*") else "host"
    host = origin.host.removeprefix("*")
    return f"{{scheme = {_quoted(origin.scheme)}, {name} = {_quoted(host)}, port = {_quoted(origin.port)}}}"


def _path(path: str, verbs: Sequence[str]) -> str:
    parts = ("[^/]+" if part.startswith("{") else re.sub(r"(\W)", r"%\1", part) for part in re.split(r"({\w+})", path))
    taken = ", ".join(f"{verb} = true" for verb in verbs if verb in METHODS)
    return f"{{pattern = {_quoted('^' + ''.join(parts) + '$')}, verbs = {{{taken}}}}}"


def _quoted(text: str) -> str:
    return json.dumps(text)
