"""`sidecar chat ROUTE` at a terminal: messages and answers in turn, until an empty line."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from sidecar.cli.terminal import BAD, QUIET, console, waiting

if TYPE_CHECKING:
    from llm_gateway_client import Client, Message

_PROMPT = "> "


def talk(client: Client, route: str, system: str | None, parameters: Mapping[str, Any]) -> None:
    """Runs until an empty line or the end of the input. If an answer fails or is stopped with Ctrl-C, its question
    is dropped as well."""
    from llm_gateway_client import Message, SidecarError

    try:
        import readline  # noqa: F401  # enables arrow keys and history for input()
    except ImportError:
        pass
    notes = console(stderr=True)
    notes.print(f"Chat with {route}. Ctrl-C stops an answer; an empty line or Ctrl-D ends the chat.", style=QUIET)
    history = [] if system is None else [Message("system", system)]
    while question := _question():
        history.append(Message("user", question))
        try:
            answer = stream_answer(client, route, history, parameters)
        except KeyboardInterrupt:
            history.pop()
            print()
            notes.print("Stopped. The question and the partial answer were dropped from the conversation.", style=QUIET)
        except SidecarError as error:
            history.pop()
            notes.print(f"{error.grpc_code or error.kind}: {' '.join(error.message.split())}", style=BAD)
        else:
            history.append(Message("assistant", answer))


def stream_answer(client: Client, route: str, messages: list[Message], parameters: Mapping[str, Any]) -> str:
    """Prints the answer as it arrives, with a line break at the end, and returns it."""
    with client.stream_chat(route, messages, **parameters) as chunks:  # leaving it on Ctrl-C ends the call
        return print_pieces(_text_of(chunk) for chunk in chunks)


def print_pieces(pieces: Iterator[str]) -> str:
    """Prints pieces as they arrive, with a line break at the end; returns the whole text."""
    with waiting("Waiting for the first output"):
        piece = next((each for each in pieces if each), "")
    text = piece
    print(piece, end="", flush=True)
    for piece in pieces:
        text += piece
        print(piece, end="", flush=True)
    print()
    return text


def _text_of(chunk: Any) -> str:
    return "".join(choice.delta.content or choice.delta.refusal or "" for choice in chunk.choices)


def _question() -> str:
    """Returns "" at the end of the conversation."""
    try:
        return input(_PROMPT).strip()
    except (EOFError, KeyboardInterrupt):
        print(file=sys.stderr)
        return ""
