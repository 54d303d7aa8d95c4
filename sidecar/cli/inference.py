"""Commands that call a running gateway by its typed gRPC services: chat, complete, embed; `routes` has its own file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sidecar.cli.failure import Failure
from sidecar.cli.processes import StateDirOption
from sidecar.supervisor.start.options import GRPC_ADDRESS, STATE_DIR

if TYPE_CHECKING:
    import grpc

_Route = Annotated[str, typer.Argument(metavar="ROUTE", help="Name of the route.")]
_Prompt = Annotated[str | None, typer.Argument(metavar="PROMPT", help="Text of the prompt. Default: standard input.")]
Target = Annotated[
    str | None,
    typer.Option("--target", metavar="HOST:PORT", help="Local gRPC port or socket. Default: from the state directory."),
]
_MaxTokens = Annotated[
    int | None, typer.Option("--max-tokens", min=1, metavar="N", help="Maximum number of output tokens.")
]
_Temperature = Annotated[float | None, typer.Option("--temperature", metavar="NUMBER", help="Sampling temperature.")]
# As the server's own limit: an embeddings answer may be large.
_MESSAGE_BYTES_MAX = 64 * 1024 * 1024


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
    state_dir: StateDirOption = STATE_DIR,
    target: Target = None,
) -> None:
    """Chat with a route.

    The answer is printed as it is produced.
    """
    from sidecar.v1 import inference_pb2 as pb
    from sidecar.v1 import inference_pb2_grpc

    request = pb.ChatRequest(route=route, max_tokens=max_tokens, temperature=temperature)
    if system is not None:
        request.messages.add(role=pb.ROLE_SYSTEM).content.add(text=system)
    request.messages.add(role=pb.ROLE_USER).content.add(text=_text_of(prompt))
    with connected(target, state_dir) as channel:
        for chunk in inference_pb2_grpc.InferenceServiceStub(channel).StreamChat(request):
            for choice in chunk.choices:
                _print_piece(choice.delta.content or choice.delta.refusal)
    print()


def complete(
    route: _Route,
    prompt: _Prompt = None,
    max_tokens: _MaxTokens = None,
    temperature: _Temperature = None,
    state_dir: StateDirOption = STATE_DIR,
    target: Target = None,
) -> None:
    """Continue a text.

    The continuation is printed as it is produced.
    """
    from sidecar.v1 import inference_pb2 as pb
    from sidecar.v1 import inference_pb2_grpc

    request = pb.CompleteRequest(route=route, max_tokens=max_tokens, temperature=temperature)
    request.prompts.add(text=_text_of(prompt))
    with connected(target, state_dir) as channel:
        for chunk in inference_pb2_grpc.InferenceServiceStub(channel).StreamComplete(request):
            for choice in chunk.choices:
                _print_piece(choice.text)
    print()


def embed(
    route: _Route,
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="TEXT", help="Texts. Default: standard input, one per line.")
    ] = None,
    state_dir: StateDirOption = STATE_DIR,
    target: Target = None,
) -> None:
    """Turn texts into vectors.

    It prints one JSON array per line, in the order of the texts.
    """
    import json
    import struct

    from sidecar.v1 import inference_pb2 as pb
    from sidecar.v1 import inference_pb2_grpc

    texts = texts or sys.stdin.read().splitlines()
    if not texts:
        raise Failure("No text was given. Pass some as arguments, or write them to standard input, one per line.")
    request = pb.EmbedRequest(route=route, inputs=[pb.EmbedInput(text=text) for text in texts])
    with connected(target, state_dir) as channel:
        answer = inference_pb2_grpc.InferenceServiceStub(channel).Embed(request)
    for embedding in sorted(answer.embeddings, key=lambda embedding: embedding.index):
        if embedding.WhichOneof("vector") == "packed":
            values = list(struct.unpack(f"<{len(embedding.packed) // 4}f", embedding.packed))
        else:
            values = list(embedding.values.values)
        print(json.dumps(values))


def _text_of(prompt: str | None) -> str:
    text = sys.stdin.read() if prompt is None else prompt
    if not text.strip():
        raise Failure("No prompt was given. Pass one as an argument, or write it to standard input.")
    return text


def _print_piece(text: str) -> None:
    if text:
        print(text, end="", flush=True)


@contextmanager
def connected(target: str | None, state_dir: Path) -> Iterator[grpc.Channel]:
    """A channel to the local gRPC port; a call that fails becomes one line."""
    import os

    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its log lines would mix with ours
    import grpc

    address = target or _known_target(state_dir)
    channel = grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", _MESSAGE_BYTES_MAX)])
    try:
        yield channel
    except grpc.RpcError as error:
        code, details = error.code(), " ".join((error.details() or "").split())
        trailers: Any = error.trailing_metadata() or ()
        answered = "grpc-status-details-bin" in (name for name, _ in trailers)  # only a gateway sends these
        if code is grpc.StatusCode.UNAVAILABLE and not answered:
            raise Failure(
                f"Cannot reach {address}. Start `sidecar up`, or choose another address with --target."
            ) from None
        raise Failure(f"{code.name}: {details}") from None
    finally:
        channel.close()


def _known_target(state_dir: Path) -> str:
    from sidecar.supervisor.start.announcement import read_env

    return read_env(state_dir / "env").get("SIDECAR_GRPC_LOCAL", GRPC_ADDRESS)
