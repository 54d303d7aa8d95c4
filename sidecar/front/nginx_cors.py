"""CORS for Nginx: maps that are evaluated only for answers of paths that pages call, and one location for
preflights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sidecar.domain.origins import ANY, Origin
from sidecar.front.cors import EXPOSED, MAX_AGE_S, METHODS, called_by_pages, path_pattern

_HEADERS = (
    "add_header Access-Control-Allow-Origin $cors_origin always;",
    "add_header Access-Control-Expose-Headers $cors_exposed always;",
    "add_header Vary $cors_vary always;",
)


def words(origins: Sequence[str]) -> dict[str, str]:
    """The value of each placeholder in the templates. Without allowed origins, all are empty and calls pay nothing."""
    if not origins:
        return {"CORS": "", "CORS_HEADERS": "", "REALM": "sidecar", "WRONG_METHOD": "@wrong_method", "PREFLIGHT": ""}
    return {
        "CORS": "\n".join(f"    {line}" if line else "" for line in _maps(origins)),
        "CORS_HEADERS": " ".join(_HEADERS),
        "REALM": "$cors_realm",
        "WRONG_METHOD": "$cors_wrong_method",
        "PREFLIGHT": "\n".join(f"        {line}" for line in _preflight(ANY in origins)),
    }


def _maps(origins: Sequence[str]) -> Iterator[str]:
    yield "# Calls from web pages of other origins. $cors_origin is the header for such a page, on the paths that pages call."
    yield "map $http_origin $cors_known {"
    if ANY in origins:
        yield '    "" "";'
        yield '    default "*";'
    else:
        yield '    default "";'
        yield from (f"    {_known(Origin.parsed(each))}" for each in origins)
    yield "}"
    calls = list(called_by_pages())
    paths = "|".join(path_pattern(path) for path in dict.fromkeys(path for _, path in calls))
    yield "map $request_uri $cors_on_path {"
    yield f'    "~^(?:{paths})(?:\\?|$)" $cors_known;'
    yield '    default "";'
    yield "}"
    yield 'map $cors_known $cors_origin { "" ""; default $cors_on_path; }'
    yield f'map $cors_origin $cors_exposed {{ "" ""; default "{EXPOSED}"; }}'
    yield 'map $cors_origin $cors_vary { "" ""; "*" ""; default Origin; }'
    yield "# A preflight asks for a method of the path that it is sent to. It has no credentials, and is never passed on."
    methods = " ".join(f'"~^{method}$" $rpc_{method.lower()};' for method in METHODS)
    yield f'map $http_access_control_request_method $cors_rpc {{ {methods} default ""; }}'
    yield 'map "$request_method $cors_rpc" $cors_preflight { "~^OPTIONS ." $cors_origin; default ""; }'
    yield 'map $cors_preflight $cors_realm { "" sidecar; default off; }'
    yield 'map $cors_preflight $cors_wrong_method { "" @wrong_method; default @preflight; }'


def _known(origin: Origin | None) -> str:
    assert origin is not None  # the config refuses invalid ones
    return f'"~^{origin.pattern}$" $http_origin;'  # without "~", maps ignore case


def _preflight(any_origin: bool) -> Iterator[str]:
    yield "location @preflight {"
    yield "    auth_basic off;"
    yield "    add_header Access-Control-Allow-Origin $cors_origin;"
    yield f'    add_header Access-Control-Allow-Methods "{", ".join(METHODS)}";'
    yield "    add_header Access-Control-Allow-Headers $http_access_control_request_headers;"
    yield f"    add_header Access-Control-Max-Age {MAX_AGE_S};"
    if not any_origin:
        yield "    add_header Vary Origin;"
    yield "    add_header X-Request-Id $req_id;"
    yield "    return 204;"
    yield "}"
