"""docs/reference/clients.md from what came of a run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.clients.environments import version
from tests.clients.judging import problem
from tests.clients.running import PROGRAMS, Results
from tests.clients.table import CHECKS, CLIENTS, ROUTES, Client
from tools.wrapping import wrapped

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "clients.md"
_SETTINGS = re.compile(r"^(?:#|//) settings ?(\w*)\n(.*?)^(?:#|//) end$", re.DOTALL | re.MULTILINE)
_HEAD = """\
# Other people's clients

<!-- Generated from a run of `tests/clients` by `python -m tests.clients`; do not edit. -->

Use the gateway from any SDK, framework or program for OpenAI's API. You need three settings: the base
URL, an API key, and the CA certificate, unless the machine trusts the gateway's certificate already.
On the machine of `sidecar up` they are in `.sidecar/env`:

```sh
. .sidecar/env           # SIDECAR_URL, SIDECAR_API_KEY, SIDECAR_CA, and others
```

The model is the name of a route. [Below](#lines-to-paste) are the lines for each client.

## What works

Each client runs with its own documented settings against a gateway behind Nginx, on a route of
provider `openai` and one of `anthropic`; some also run on the embedded model (`local`). The providers
are simulated, on loopback: they call a tool before they answer, reason if that is on, follow a schema,
and refuse what the real ones refuse.

- *answer*, *stream*: a text, complete and streamed (aider and opencode stream it, and print it at once).
- *tools*: a loop of two turns, with the tool's result in the second.
- *thinking*: the same while the model reasons, so that its reasoning goes back with the result.
- *structured*: an answer by a schema, in every form that the client has, and in JSON mode.
- *-*: the client or the route's provider does not have it.

"""


def page(found: Mapping[str, Results]) -> str:
    """The page. `found` has the results of each client by its id."""
    notes: list[str] = []
    lines = [f"| client | version | provider | {' | '.join(CHECKS)} |", "|---|---|---|" + "---|" * len(CHECKS)]
    for client in CLIENTS:
        if _is_suite(found[client.id]):
            continue
        for route, results in found[client.id].items():
            cells = [_cell(client, route, check, results, notes) for check in CHECKS]
            row = [client.name, version(client.package, client.environment), f"`{ROUTES[route]}`", *cells]
            lines.append(f"| {' | '.join(row)} |")
    suites = [_suite(client, found[client.id], notes) for client in CLIENTS if _is_suite(found[client.id])]
    reasons = [f"{number}. {text}" for number, text in enumerate(notes, 1)]
    blocks = ["\n".join(lines), *suites, "\n".join(reasons), "## Lines to paste", _settings()]
    return wrapped(_HEAD + "\n\n".join(block for block in blocks if block))


def _is_suite(results: Results) -> bool:
    """Whether the client brought tests of its own."""
    return any(check.startswith("test_") for checks in results.values() for check in checks)


def _suite(client: Client, results: Results, notes: list[str]) -> str:
    """How many of its tests passed."""
    lines = [f"{client.name}, `{client.package}` {version(client.package, client.environment)}:", ""]
    lines += ["| provider | passed | do not apply | failed |", "|---|---|---|---|"]
    for route, checks in results.items():
        outcomes = list(checks.values())
        failed = [_cell(client, route, check, checks, notes) for check in checks]
        wrong = ", ".join(f"`{check}` {cell}" for check, cell in zip(checks, failed, strict=True) if cell != "yes")
        counts = f"{outcomes.count('passed')} | {outcomes.count('skipped')}"
        lines.append(f"| `{ROUTES[route]}` | {counts} | {wrong or '-'} |")
    return "\n".join(lines)


def _cell(client: Client, route: str, check: str, results: Mapping[str, object], notes: list[str]) -> str:
    if check not in results:
        return "-"
    if problem(route, check, results[check]) is None:
        return "yes"
    reason = client.failures.get(f"{route}/{check}", "unknown")
    if reason not in notes:
        notes.append(reason)
    return f"{_which(route, check, results[check])} ({notes.index(reason) + 1})"


def _which(route: str, check: str, result: Any) -> str:
    """Which forms of a check fail, where others work."""
    if not isinstance(result, Mapping) or "error" in result or "city" in result:
        return "no"
    wrong = [name for name, each in result.items() if problem(route, check, each) is not None]
    return "no" if len(wrong) == len(result) else f"not {', '.join(wrong)}"


def _settings() -> str:
    """The tested lines themselves, once a program."""
    parts: dict[str, str] = {}
    for client in CLIENTS:
        if not client.title:
            continue
        exports = "".join(f"export {name}={value}\n" for name, value in client.env.items())
        shell = f"```sh\n{exports}```\n\n" if exports else ""
        parts.setdefault(client.program, f"### {client.title}\n\n{shell}{_code(client)}")
    return "\n".join(parts.values())


def _code(client: Client) -> str:
    found = _SETTINGS.search((PROGRAMS / client.program).read_text())
    language = "js" if client.program.endswith(".mjs") else "python"
    return f"```{found[1] or language}\n{found[2].rstrip()}\n```\n" if found else ""
