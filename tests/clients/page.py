"""docs/clients.md from what came of a run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from tests.clients.environments import version
from tests.clients.judging import problem
from tests.clients.running import PROGRAMS, Results
from tests.clients.table import CHECKS, CLIENTS, ROUTES, Client

PAGE = Path(__file__).parents[2] / "docs" / "clients.md"
_SETTINGS = re.compile(r"^(?:#|//) settings\n(.*?)^(?:#|//) end$", re.DOTALL | re.MULTILINE)
_HEAD = """\
# Other people's clients

Generated from a run of `tests/clients` by `python -m tests.clients`; do not edit.

Any program that speaks OpenAI's API needs three settings: the base URL, an API key, and the CA, unless the gateway has a
certificate that the machine trusts already. On the machine of `sidecar up` they are in `.sidecar/env`:

```sh
. .sidecar/env           # SIDECAR_URL, SIDECAR_API_KEY, SIDECAR_CA, and others
```

The model is the name of a route. What each client needs beyond that is [below](#lines-to-paste).

## What works

Each client runs with its own documented settings against a gateway behind Nginx, on a route of provider `openai`, one of
`anthropic`, and the embedded model (`local`). The providers are ours, on loopback: they call a tool before they answer, think
where that is on, keep to a schema, and refuse what the real ones refuse.

*answer*, *stream*: a text, whole and in pieces. *tools*: a loop of two turns, the tool's result in the second. *thinking*: the
same while the model thinks, so that its thoughts go back with the result. *structured*: an answer by a schema, in every form
that the client has. *-*: the client, or the route's provider, has none.

"""


def page(found: Mapping[str, Results]) -> str:
    """The page. `found` has the results of each client by its id."""
    notes: list[str] = []
    lines = [f"| client | version | route of | {' | '.join(CHECKS)} |", "|---|---|---|" + "---|" * len(CHECKS)]
    for client in CLIENTS:
        for route, results in found[client.id].items():
            cells = [_cell(client, route, check, results, notes) for check in CHECKS]
            row = [client.name, version(client.package, client.environment), f"`{ROUTES[route]}`", *cells]
            lines.append(f"| {' | '.join(row)} |")
    reasons = "".join(f"{number}. {text}\n" for number, text in enumerate(notes, 1))
    return f"{_HEAD}{chr(10).join(lines)}\n\n{reasons and reasons + chr(10)}## Lines to paste\n\n{_settings()}"


def _cell(client: Client, route: str, check: str, results: Mapping[str, object], notes: list[str]) -> str:
    if check not in results:
        return "-"
    if problem(route, check, results[check]) is None:
        return "yes"
    reason = client.failures.get(f"{route}/{check}", "unknown")
    if reason not in notes:
        notes.append(reason)
    return f"no ({notes.index(reason) + 1})"


def _settings() -> str:
    """The tested lines themselves, once a program."""
    parts: dict[str, str] = {}
    for client in CLIENTS:
        exports = "".join(f"export {name}={value}\n" for name, value in client.env.items())
        shell = f"```sh\n{exports}```\n\n" if exports else ""
        parts.setdefault(client.program, f"### {client.title}\n\n{shell}{_code(client)}")
    return "\n".join(parts.values())


def _code(client: Client) -> str:
    found = _SETTINGS.search((PROGRAMS / client.program).read_text())
    language = "js" if client.program.endswith(".mjs") else "python"
    return f"```{language}\n{found[1]}```\n" if found else ""
