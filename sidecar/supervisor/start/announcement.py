"""What the operator gets once the gateway is running: a file to source, and a text with examples to copy. The text
contains no secret."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from sidecar.supervisor.start.addresses import Address


@dataclass(frozen=True, slots=True)
class Credential:
    """Credentials for the operator. All None if the users' passwords are not known here."""

    user: str | None = None
    password: str | None = None
    api_key: str | None = None


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the gateway serves and how to log in. None: switched off."""

    state_dir: Path
    front: Address | None
    plain: tuple[Address, ...]
    grpc: Address | None
    grpc_socket: Path | None
    metrics: Address | None
    ca: Path | None
    credential: Credential


def env_values(endpoints: Endpoints) -> dict[str, str]:
    """The variables of `<state>/env`; whatever is switched off or unknown is omitted."""
    values: dict[str, str | None] = {}
    if endpoints.front is not None:
        values["SIDECAR_URL"] = f"https://{endpoints.front}"
        values["SIDECAR_CA"] = str(endpoints.ca) if endpoints.ca else None
        values["SIDECAR_GRPC"] = str(endpoints.front)
    # Even without a front: only this file keeps the password for the next `up`.
    values["SIDECAR_USER"] = endpoints.credential.user
    values["SIDECAR_PASSWORD"] = endpoints.credential.password
    values["SIDECAR_API_KEY"] = endpoints.credential.api_key
    if endpoints.grpc is not None:
        # gRPC's clients parse a URI.
        values["SIDECAR_GRPC_LOCAL"] = str(endpoints.grpc)
    elif endpoints.grpc_socket is not None:
        # gRPC's clients parse a URI.
        values["SIDECAR_GRPC_LOCAL"] = "unix:" + str(endpoints.grpc_socket).replace("%", "%25")
    if endpoints.metrics is not None:
        values["SIDECAR_METRICS"] = f"http://{endpoints.metrics}/metrics"
    return {name: value for name, value in values.items() if value is not None}


def env_text(values: dict[str, str]) -> str:
    """The contents of the file for `. <state>/env`."""
    lines = ["# Written by sidecar at each start. Holds a password: keep it private.\n"]
    lines += [f"export {name}={shlex.quote(value)}\n" for name, value in values.items()]
    return "".join(lines)


def read_env(path: Path) -> dict[str, str]:
    """Reads what an earlier start wrote; empty if there is nothing to read. Damaged lines are skipped: each start
    writes the file again, and only the first user's password is lost."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    values = {}
    for line in text.splitlines():
        if line.startswith("export ") and "=" in line:
            name, _, quoted = line.removeprefix("export ").partition("=")
            try:
                values[name] = "".join(shlex.split(quoted))
            except ValueError:  # an unterminated quote
                continue
    return values


def known_credential(path: Path) -> Credential:
    """The user of an earlier start, according to its env file."""
    values = read_env(path)
    return Credential(values.get("SIDECAR_USER"), values.get("SIDECAR_PASSWORD"), values.get("SIDECAR_API_KEY"))


def serving_text(endpoints: Endpoints, chat_route: str | None, first_answer: str | None) -> str:
    """URLs, user and examples. `chat_route` is None if there is no route for a chat example."""
    values = env_values(endpoints)
    env = endpoints.state_dir / "env"
    rows = [
        ("REST and gRPC (TLS)", values.get("SIDECAR_URL")),
        *(("REST and gRPC (no TLS)", f"http://{each}") for each in endpoints.plain),
        ("gRPC on this machine", values.get("SIDECAR_GRPC_LOCAL")),
        ("metrics", values.get("SIDECAR_METRICS")),
        ("user", _user(endpoints.credential, env) if endpoints.front else None),
        ("first chat", repr(first_answer) if first_answer is not None else None),
    ]
    lines = ["Sidecar is running.", ""]
    lines += [f"  {name:<22}{value}" for name, value in rows if value is not None]
    if chat_route is not None:
        lines += ["", f"Load the settings, then try it: . {shlex.quote(str(env))}"]
        if endpoints.front is not None:
            own_ca = endpoints.ca is not None  # otherwise clients trust the certificate anyway
            trust = {"trust": _CURL_TRUST if own_ca else "", "trust_env": _SDK_TRUST if own_ca else ""}
            lines += ["", _REST_EXAMPLES % {"route": chat_route, **trust}]
        if "SIDECAR_GRPC_LOCAL" in values:
            lines += ["", _GRPC_EXAMPLE % {"route": chat_route, "python": shlex.quote(sys.executable)}]
    return "\n".join(lines) + "\n"


def _user(credential: Credential, env: Path) -> str:
    if credential.user is not None:
        return f"{credential.user} (password and API key in {env})"
    return "one of yours; for the examples: export SIDECAR_API_KEY=... (the API key that `sidecar users add` printed)"


_CURL_TRUST = '--cacert "$SIDECAR_CA" '
_SDK_TRUST = 'SSL_CERT_FILE="$SIDECAR_CA" '
_REST_EXAMPLES = """\
curl %(trust)s"$SIDECAR_URL/v1/chat/completions" \\
  -H "Authorization: Bearer $SIDECAR_API_KEY" -H "Content-Type: application/json" \\
  -d '{"model": "%(route)s", "messages": [{"role": "user", "content": "Say hello."}]}'

# pip install openai
%(trust_env)sOPENAI_BASE_URL="$SIDECAR_URL/v1" OPENAI_API_KEY="$SIDECAR_API_KEY" python -c '
from openai import OpenAI
hello = [{"role": "user", "content": "Say hello."}]
print(OpenAI().chat.completions.create(model="%(route)s", messages=hello).choices[0].message.content)'"""
_GRPC_EXAMPLE = """\
%(python)s -c '
import os, grpc
from sidecar.v1 import inference_pb2 as pb, inference_pb2_grpc as rpc
service = rpc.InferenceServiceStub(grpc.insecure_channel(os.environ["SIDECAR_GRPC_LOCAL"]))
hello = pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="Say hello.")])
print(service.Chat(pb.ChatRequest(route="%(route)s", messages=[hello])).choices[0].message.content[0].text)'"""
