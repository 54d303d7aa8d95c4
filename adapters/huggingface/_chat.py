"""Text Generation Inference's Messages API: OpenAI's chat below /v1, while the configured address is the server's root."""

from __future__ import annotations

from dataclasses import replace

from adapters._contract import Context, HttpCall, ProviderSide, Target, Task
from adapters.openai import FORMAT as OPENAI
from sidecar.v1 import inference_pb2 as pb

_CHAT = OPENAI.provider[Task.CHAT]


def root_of(target: Target) -> str:
    """The server's own address: some configurations name a path below it."""
    base = target.base_url.rstrip("/")
    return base.removesuffix("/generate").removesuffix("/v1")


def below_v1(target: Target) -> Target:
    return replace(target, base_url=f"{root_of(target)}/v1")


def _encode(request: pb.ChatRequest, target: Target, stream: bool, context: Context) -> HttpCall:
    call: HttpCall = _CHAT.encode(request, below_v1(target), stream, context)
    return call


SIDE = ProviderSide(encode=_encode, decode=_CHAT.decode, stream=_CHAT.stream)
