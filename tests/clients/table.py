"""The clients: what each is, where it lives, how it is told of the gateway, and what of it fails and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# Columns of the page. `embeddings` only where the route's provider has them.
CHECKS = ("answer", "stream", "tools", "thinking", "structured", "embeddings")
ROUTES = {"gpt": "openai", "claude": "anthropic", "local": "local"}
# Python clients on httpx, on requests, and Node take the CA from these.
HTTPX = {"SSL_CERT_FILE": "$SIDECAR_CA"}
NODE = {"NODE_EXTRA_CA_CERTS": "$SIDECAR_CA"}


@dataclass(frozen=True, slots=True)
class Client:
    """One row.

    `title` is over its lines to paste; clients of one program share them. `environment` is "node" or a name of ENVIRONMENTS;
    `env` are the variables that its user sets. `local`: the embedded model is tried too. `failures` has the reason of each
    check that fails, by "route/check".
    """

    name: str
    title: str
    package: str
    environment: str
    program: str
    env: Mapping[str, str] = field(default_factory=lambda: HTTPX)
    local: bool = False
    failures: Mapping[str, str] = field(default_factory=dict)

    @property
    def routes(self) -> list[str]:
        """As programs/checks.py takes them: each with the route of embeddings."""
        return ["gpt=embeddings", "claude=", *(["local=local-embeddings"] if self.local else [])]

    @property
    def id(self) -> str:
        return f"{self.package}-{self.environment}"


CLIENTS = (
    Client("OpenAI Python", "OpenAI Python", "openai", "openai-3", "openai_python.py"),
    Client("OpenAI Python 1.x", "OpenAI Python", "openai", "openai-1", "openai_python.py"),
    Client(
        "OpenAI Node",
        "OpenAI Node",
        "openai",
        "node",
        "openai_node.mjs",
        env=NODE,
        failures={"claude/thinking": "in a stream it keeps the last piece of thoughts only"},
    ),
)
