"""Commands that call a running gateway with the Python client: chat, complete, embed. `routes` has its own file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sidecar.cli.failure import Failure
from sidecar.cli.terminal import waiting
from sidecar.supervisor.start.options import GRPC_ADDRESS, STATE_DIR

if TYPE_CHECKING:
    from llm_gateway_client import Client

# Precedes a text that PowerShell pipes or a Windows editor saved.
BYTE_ORDER_MARK = "\ufeff"
# The variables set by `. .sidecar/env`.
_LOCAL_TARGET = "SIDECAR_GRPC_LOCAL"
# Timeout of shell completion, which should not block the user.
_COMPLETION_S = 1.0


def route_names(incomplete: str) -> list[str]:
    """For shell completion: routes of the running gateway with this prefix; none if it cannot be reached."""
    try:
        with connected(None, None) as client:
            return [
                each.name for each in client.list_routes(timeout_s=_COMPLETION_S) if each.name.startswith(incomplete)
            ]
    except Failure:
        return []


_Route = Annotated[str, typer.Argument(metavar="ROUTE", help="Name of the route.", autocompletion=route_names)]
_Prompt = Annotated[str | None, typer.Argument(metavar="PROMPT", help="Text of the prompt. Default: standard input.")]
Target = Annotated[
    str | None,
    typer.Option(
        "--target",
        metavar="ADDRESS",
        help="HOST:PORT, unix:PATH or https://HOST. Default: SIDECAR_GRPC_LOCAL, or as the state directory says. "
        "Example: --target https://llm.example.com",
    ),
]
KnownStateDir = Annotated[
    Path | None,
    typer.Option(
        "--state-dir", metavar="PATH", help="Folder of a running gateway, whose address is used. Default: .sidecar."
    ),
]
_MaxTokens = Annotated[
    int | None, typer.Option("--max-tokens", min=1, metavar="N", help="Maximum number of output tokens.")
]
_Temperature = Annotated[
    float | None, typer.Option("--temperature", metavar="NUMBER", help="Sampling temperature; 0 is the least random.")
]


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: sidecar chat chat 'Say hello.'")(chat)
    app.command(epilog="Example: sidecar complete completions 'Once upon a time'")(complete)
    app.command(epilog="Example: sidecar embed embeddings 'some text' 'another text'")(embed)


def chat(
    route: _Route,
    prompt: _Prompt = None,
    system: Annotated[str | None, typer.Option("--system", metavar="TEXT", help="System message.")] = None,
    max_tokens: _MaxTokens = None,
    temperature: _Temperature = None,
    state_dir: KnownStateDir = None,
    target: Target = None,
) -> None:
    """Chat with a route.

    The answer is printed as it is produced. Without PROMPT, at a terminal, it is a conversation; otherwise the prompt is
    read from standard input.
    """
    from llm_gateway_client import Message

    from sidecar.cli.conversation import stream_answer, talk

    parameters = _given_only(max_tokens=max_tokens, temperature=temperature)
    if prompt is None and sys.stdin.isatty():
        with connected(target, state_dir) as client:
            talk(client, route, system, parameters)
        return
    messages = [Message("user", _text_of(prompt))]
    if system is not None:
        messages.insert(0, Message("system", system))
    with connected(target, state_dir) as client:
        stream_answer(client, route, messages, parameters)


def complete(
    route: _Route,
    prompt: _Prompt = None,
    max_tokens: _MaxTokens = None,
    temperature: _Temperature = None,
    state_dir: KnownStateDir = None,
    target: Target = None,
) -> None:
    """Continue a text.

    The continuation is printed as it is produced.
    """
    from sidecar.cli.conversation import print_pieces

    text = _text_of(prompt)
    with connected(target, state_dir) as client:
        parameters = _given_only(max_tokens=max_tokens, temperature=temperature)
        with client.stream_complete(route, text, **parameters) as chunks:
            print_pieces("".join(choice.text for choice in chunk.choices) for chunk in chunks)


def embed(
    route: _Route,
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="TEXT", help="Texts. Default: standard input, one per line.")
    ] = None,
    state_dir: KnownStateDir = None,
    target: Target = None,
) -> None:
    """Turn texts into vectors.

    It prints one JSON array per line, in the order of the texts.
    """
    import json

    texts = texts or _stdin_text().splitlines()
    if not texts:
        raise Failure("No text was given. Pass some as arguments, or write them to standard input, one per line.")
    with connected(target, state_dir) as client, waiting("Waiting for the vectors"):
        answer = client.embed(route, texts)
    for embedding in sorted(answer.embeddings, key=lambda embedding: embedding.index):
        print(json.dumps(embedding.vector))


def _given_only(**parameters: Any) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if value is not None}


def _text_of(prompt: str | None) -> str:
    text = _stdin_text() if prompt is None else prompt
    if not text.strip():
        raise Failure("No prompt was given. Pass one as an argument, or write it to standard input.")
    return text


def _stdin_text() -> str:
    return sys.stdin.read().removeprefix(BYTE_ORDER_MARK)


@contextmanager
def connected(target: str | None, state_dir: Path | None) -> Iterator[Client]:
    """A client of the running gateway, without retries: a person sees the failure and decides. Failures become one
    line."""
    import os

    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # gRPC's own log lines would mix with ours
    from llm_gateway_client import Client, SidecarError, TargetError, Unreachable

    try:
        with Client(target or known_target(state_dir), retries=None) as client:
            try:
                yield client
            except Unreachable:
                raise Failure(
                    f"Cannot reach {client.address}. Start `sidecar up`, or choose another address with --target."
                ) from None
    except TargetError as error:
        raise Failure(f"--target: {error}") from None
    except SidecarError as error:
        raise Failure(f"{error.grpc_code or error.kind}: {' '.join(error.message.split())}") from None
    except ValueError as error:
        raise Failure(str(error)) from None


def known_target(state_dir: Path | None) -> str:
    """Where the gateway listens for this machine: as the given state directory says; if none is given, as the
    environment says (`. .sidecar/env`), else the default state directory, else the default address."""
    import os

    from sidecar.supervisor.start.announcement import read_env

    exported = os.environ.get(_LOCAL_TARGET)
    if state_dir is None and exported:
        return exported
    return read_env((state_dir or STATE_DIR) / "env").get(_LOCAL_TARGET, GRPC_ADDRESS)
