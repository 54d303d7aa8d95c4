"""Writes the pages of docs/ that are generated from tables in the code. `--check` reports stale ones and changes
nothing."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from adapters import GatewayError, Kind
from sidecar.domain.status import STATUS_ROWS, client_may_retry, mlflow_status
from tools.api_page import api_page
from tools.config_page import config_page
from tools.metrics_page import metrics_page
from tools.providers_page import providers_page
from tools.wrapping import wrapped

ROOT = Path(__file__).resolve().parent.parent

# What each kind means to its recipient. A test compares this with the list of kinds.
MEANINGS = {
    Kind.INVALID_REQUEST: "The request is invalid, or the provider says so. A retry does not help.",
    Kind.CONTEXT_LENGTH_EXCEEDED: "Prompt and answer do not fit into the model's context.",
    Kind.UNSUPPORTED_PARAMETER: "The provider's format has no such parameter; the message names both.",
    Kind.CONTENT_FILTERED: "The provider's content filter refused the request.",
    Kind.REQUEST_TOO_LARGE: "The body is larger than the front or the provider allows.",
    Kind.METHOD_NOT_ALLOWED: "This path does not support this HTTP method. REST only.",
    Kind.UNSUPPORTED_MEDIA_TYPE: "The body is not `application/json`. REST only.",
    Kind.UNAUTHENTICATED: "Credentials for the gateway are missing or wrong.",
    Kind.PERMISSION_DENIED: "The caller may not do this.",
    Kind.ROUTE_NOT_FOUND: "There is no route with this name, or the caller may not call it.",
    Kind.ALREADY_EXISTS: "A route with this name exists.",
    Kind.CONFLICT: "Somebody else changed the route or its limits at the same time. `etag` is the current version: read it, then "
    "repeat the change.",
    Kind.FAILED_PRECONDITION: "Routes cannot be managed through the API here, or this one is in the config file.",
    Kind.NOT_CONFIRMED: "A change of routes was not confirmed in time. It may have happened: check before you repeat it.",
    Kind.RATE_LIMITED: "Too many calls, by a limit of the gateway or the provider. Wait as long as the answer says.",
    Kind.QUOTA_EXHAUSTED: "The provider's account has no credit left.",
    Kind.BUDGET_EXCEEDED: "The budget of the caller or of the route is exceeded.",
    Kind.OVERLOADED: "The gateway is at capacity.",
    Kind.STORE_UNAVAILABLE: "The store is down, and a limit or budget of the call is set to refuse without it, the call "
    "continues from a remembered answer, or it changes a route or limits.",
    Kind.UPSTREAM_TIMEOUT: "The provider did not connect, answer or continue in time.",
    Kind.UPSTREAM_UNAVAILABLE: "There is no connection to the provider, or it reports a failure.",
    Kind.UPSTREAM_REJECTED_CREDENTIALS: "The provider rejected the gateway's key: the operator has to fix the key.",
    Kind.UPSTREAM_NOT_FOUND: "The provider has no such model or path: the operator has to fix the route.",
    Kind.UPSTREAM_PROTOCOL: "The provider's answer does not follow its format.",
    Kind.UPSTREAM_INTERRUPTED: "The answer broke off after output had begun. In a REST stream: an error event, no `[DONE]`.",
    Kind.INTERNAL: "A bug in the gateway.",
    Kind.DRAINED: "The gateway was stopped, and the call did not finish in the drain time. From `/health`: the gateway is about "
    "to stop.",
    Kind.CANCELLED: "The caller disconnected. In metrics only.",
}


def errors_page() -> str:
    """docs/reference/errors.md."""
    lines = [
        "# Errors",
        "",
        "<!-- Generated from `sidecar/domain/status.py` by `python -m tools.docs`; do not edit. -->",
        "",
        "Look up what an error means, and whether a retry helps. A REST error looks like this:",
        "",
        "```json",
        '{"error": {"message": "There is no route \\"x\\".", "type": "invalid_request_error", "param": "model",',
        ' "code": "model_not_found"}}',
        "```",
        "",
        "`code` is the provider's own code if it has one (not a number or a sentence), otherwise the one below. A",
        "gRPC error is a status with `google.rpc.ErrorInfo` (domain `sidecar`, reason as below), `RetryInfo` if",
        "waiting helps, and `BadRequest` if one field is at fault. *Retry* says whether a client should retry; if",
        "not, REST sends `x-should-retry: false` and gRPC `grpc-retry-pushback-ms: -1`. A provider's 401 never",
        "becomes a 401 for the caller. The [guide](../guides/why-a-call-failed.md) shows how to find the cause.",
        "",
        "On the paths of the Messages API ([Claude Code](agents.md)) the body has Anthropic's shape. A spent budget",
        "and an exhausted account are 402, and a gateway at capacity is 529.",
        "",
        'On MLflow\'s paths ([MLflow](mlflow.md)) the body is `{"detail": ...}`. Three statuses differ, because',
        "MLflow's clients retry 429, 500, 502 and 503 for more than a minute: an invalid request is "
        f"{_mlflow(Kind.INVALID_REQUEST)},",
        f"UPSTREAM_UNAVAILABLE is {_mlflow(Kind.UPSTREAM_UNAVAILABLE)}, and UPSTREAM_PROTOCOL is "
        f"{_mlflow(Kind.UPSTREAM_PROTOCOL)}.",
        "",
        "| reason | gRPC | HTTP | type | code | retry | meaning |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind, answer in STATUS_ROWS.items():
        retry = "yes" if client_may_retry(GatewayError(kind, "")) else "no"
        cells = (kind.value.upper(), answer.grpc.name, answer.http, answer.type, answer.code, retry, MEANINGS[kind])
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return wrapped("\n".join(lines) + "\n")


def _mlflow(kind: Kind) -> int:
    return mlflow_status(GatewayError(kind, ""), 422)


PAGES: dict[str, Callable[[], str]] = {
    "docs/reference/api.md": api_page,
    "docs/reference/config.md": config_page,
    "docs/reference/errors.md": errors_page,
    "docs/reference/metrics.md": metrics_page,
    "docs/reference/providers.md": providers_page,
}


def stale(root: Path) -> list[str]:
    """The pages below `root` that differ from the code."""
    return [name for name, page in PAGES.items() if not (root / name).is_file() or (root / name).read_text() != page()]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.docs", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say what is stale; exit code 1 if anything is")
    if parser.parse_args().check:
        old = stale(ROOT)
        for name in old:
            sys.stderr.write(f"stale: {name}; run `make proto`\n")
        return 1 if old else 0
    for name, page in PAGES.items():
        (ROOT / name).write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
