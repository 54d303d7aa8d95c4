"""Writes the pages of docs/ that come from tables in the code. `--check` says what is stale and changes nothing."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from adapters import GatewayError, Kind
from sidecar.domain.status import STATUS_ROWS, client_may_retry, mlflow_status
from tools.config_page import config_page
from tools.metrics_page import metrics_page
from tools.providers_page import providers_page

ROOT = Path(__file__).resolve().parent.parent

# What each kind means to whoever gets it. A test holds this against the list of kinds.
MEANINGS = {
    Kind.INVALID_REQUEST: "The request is malformed, or the provider says so. Repeating it does not help.",
    Kind.CONTEXT_LENGTH_EXCEEDED: "Prompt and answer do not fit into the model's context.",
    Kind.UNSUPPORTED_PARAMETER: "A parameter that this provider's format cannot express; the message names both.",
    Kind.CONTENT_FILTERED: "The provider's content filter refused the request.",
    Kind.REQUEST_TOO_LARGE: "The body is larger than the front or the provider takes.",
    Kind.METHOD_NOT_ALLOWED: "This path does not take this HTTP method. REST only.",
    Kind.UNSUPPORTED_MEDIA_TYPE: "The body is not `application/json`. REST only.",
    Kind.UNAUTHENTICATED: "Credentials for the gateway are missing or wrong.",
    Kind.PERMISSION_DENIED: "The caller may not do this.",
    Kind.ROUTE_NOT_FOUND: "No route has this name, or the caller may not see it.",
    Kind.ALREADY_EXISTS: "A route of this name exists.",
    Kind.FAILED_PRECONDITION: "Routes cannot be managed through the API here, or this one is in the config file.",
    Kind.NOT_CONFIRMED: "A change of routes was not confirmed in time. It may have happened: look before you repeat it.",
    Kind.RATE_LIMITED: "Too many calls, by our limit or the provider's. Wait as long as the answer says.",
    Kind.QUOTA_EXHAUSTED: "The provider's account has no credit left.",
    Kind.BUDGET_EXCEEDED: "The budget of the caller or of the route is exceeded.",
    Kind.OVERLOADED: "The gateway is at capacity.",
    Kind.STORE_UNAVAILABLE: "The store of limits and budgets does not answer, and one of the call's refuses without it; or "
    "that of remembered answers, and the call goes on from one.",
    Kind.UPSTREAM_TIMEOUT: "The provider did not connect, answer or go on in time.",
    Kind.UPSTREAM_UNAVAILABLE: "No connection to the provider, or it says that it failed.",
    Kind.UPSTREAM_REJECTED_CREDENTIALS: "The provider rejected the gateway's key: the operator has to fix the key.",
    Kind.UPSTREAM_NOT_FOUND: "The provider has no such model or path: the operator has to fix the route.",
    Kind.UPSTREAM_PROTOCOL: "The provider's answer is not what its format says.",
    Kind.UPSTREAM_INTERRUPTED: "The answer broke off after output had begun. On REST: an event in the stream, no `[DONE]`.",
    Kind.INTERNAL: "A fault of the gateway's own.",
    Kind.DRAINED: "The gateway stopped, and the call outlasted the time that calls in progress are given. `/health`: it is about "
    "to stop.",
    Kind.CANCELLED: "The caller went away. In metrics only.",
}


def errors_page() -> str:
    """docs/reference/errors.md."""
    lines = [
        "# Errors",
        "",
        "Generated from `sidecar/domain/status.py` by `python -m tools.docs`; do not edit.",
        "",
        'REST answers `{"error": {"message", "type", "param", "code"}}`; `code` is the provider\'s own word where it has',
        "one (not a number or a sentence), else the one below. gRPC answers a status with `google.rpc.ErrorInfo`",
        "(domain `sidecar`, reason as below), `RetryInfo` where waiting helps, and `BadRequest` where one field is at",
        "fault. A provider's 401 is never the",
        "caller's 401. *Retry*: whether a client should try again by itself; where it should not, REST says",
        "`x-should-retry: false` and gRPC `grpc-retry-pushback-ms: -1`.",
        "",
        "On the paths of the Messages API ([agents.md](agents.md)) the body has Anthropic's shape, budgets and an empty",
        "account are 402, and a gateway at capacity is 529.",
        "",
        "On MLflow's paths ([mlflow.md](mlflow.md)) the body is `{\"detail\": ...}`, and three statuses differ, because MLflow's",
        "clients repeat 429, 500, 502 and 503 for a minute and more: a request that is no good in itself is "
        f"{_mlflow(Kind.INVALID_REQUEST)},",
        f"UPSTREAM_UNAVAILABLE {_mlflow(Kind.UPSTREAM_UNAVAILABLE)}, UPSTREAM_PROTOCOL {_mlflow(Kind.UPSTREAM_PROTOCOL)}.",
        "",
        "| reason | gRPC | HTTP | type | code | retry | meaning |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind, answer in STATUS_ROWS.items():
        retry = "yes" if client_may_retry(GatewayError(kind, "")) else "no"
        cells = (kind.value.upper(), answer.grpc.name, answer.http, answer.type, answer.code, retry, MEANINGS[kind])
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def _mlflow(kind: Kind) -> int:
    return mlflow_status(GatewayError(kind, ""), 422)


PAGES: dict[str, Callable[[], str]] = {
    "docs/reference/config.md": config_page,
    "docs/reference/errors.md": errors_page,
    "docs/reference/metrics.md": metrics_page,
    "docs/reference/providers.md": providers_page,
}


def stale(root: Path) -> list[str]:
    """Names the pages below `root` that differ from what the code says."""
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
