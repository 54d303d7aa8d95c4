"""Generates docs/reference/api.md: every REST path by API, and every RPC with its proto comment."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from sidecar.openapi.bindings import bindings_of, service
from sidecar.openapi.operations import OPERATIONS
from tools.wrapping import wrapped

_PROTOS = Path(__file__).resolve().parent.parent / "proto" / "sidecar" / "v1"
_RPC = re.compile(
    r"(?P<comment>(?:^  //[^\n]*\n)+)^  rpc (?P<name>\w+)\(\w+\) returns \((?P<answers>[\w ]+)\)",
    re.MULTILINE,
)
_HEAD = """\
# The API: REST paths and gRPC methods

<!-- Generated from `proto/` and `sidecar/openapi` by `python -m tools.docs`; do not edit. -->

Call a route over REST or gRPC:

```sh
curl --cacert "$SIDECAR_CA" "$SIDECAR_URL/v1/chat/completions" \\
  -H "Authorization: Bearer $SIDECAR_API_KEY" -H "Content-Type: application/json" \\
  -d '{"model": "chat", "messages": [{"role": "user", "content": "Say hello."}]}'
```

A running gateway serves this API as an OpenAPI 3.1 document at `/openapi.json`, and as a page with a
form for each call at `/docs`. Both show only what you may call. Every path except `/health` needs a
credential: `Authorization: Bearer` with your API key, Basic with user and password, `X-Api-Key` or
`Api-Key`. See also [Errors](errors.md).

A `{name}` in a path may contain slashes if it is a route. Paths that are marked *admins* need a
[consumer](config.md#consumers) with `roles: [admin]`.
"""
_GRPC = """\
## gRPC

The contract is in [`inference.proto`](../../proto/sidecar/v1/inference.proto), a file without imports, and
[`routes.proto`](../../proto/sidecar/v1/routes.proto). On the gateway's machine, connect to
`127.0.0.1:50051` without TLS and without a credential. From elsewhere, connect to the HTTPS port with
TLS, and send the metadata `authorization: Bearer API_KEY`. Every worker serves gRPC health checking and
reflection.
"""


def _sentences(comment: str) -> str:
    """A proto comment as one line, without notes for tools."""
    lines = [line.strip().removeprefix("//").strip() for line in comment.splitlines()]
    return " ".join(line for line in lines if line and not line.startswith("buf:lint"))


def _methods(proto: str) -> Iterator[tuple[str, str, str]]:
    """Name, whether it streams, and comment of each RPC."""
    for found in _RPC.finditer((_PROTOS / proto).read_text(encoding="utf-8")):
        streams = "a stream of " if found["answers"].startswith("stream ") else ""
        yield found["name"], f"{streams}`{found['answers'].removeprefix('stream ')}`", _sentences(found["comment"])


def _rest() -> Iterator[str]:
    """One row per RPC: its first path, and equivalent ones."""
    groups: dict[str, dict[str, list[str]]] = {}
    for binding in bindings_of(service()):
        operation = OPERATIONS[binding.rpc]
        if operation.tag is not None and binding.verb:
            paths = groups.setdefault(operation.tag, {}).setdefault(binding.rpc, [])
            paths.append(f"`{binding.verb.upper()} {binding.path}`" if not paths else f"`{binding.path}`")
    for tag, rpcs in groups.items():
        rows = [
            f"| {first} | {OPERATIONS[rpc].summary} | {', '.join(others) or '–'} |"
            for rpc, (first, *others) in rpcs.items()
        ]
        yield "\n".join([f"## {tag}", "", "| path | what it does | other paths |", "|---|---|---|", *rows]) + "\n"


def _grpc() -> Iterator[str]:
    for name, proto in (("InferenceService", "inference.proto"), ("RouteService", "routes.proto")):
        rows = [f"| `{method}` | {answers} | {comment} |" for method, answers, comment in _methods(proto)]
        yield "\n".join([f"### {name}", "", "| method | returns | what it does |", "|---|---|---|", *rows]) + "\n"


def api_page() -> str:
    """docs/reference/api.md."""
    return wrapped("\n".join([_HEAD, *_rest(), _GRPC, *_grpc()]))
