"""The code to paste: for each API of each task, with the caller's base URL, CA and route.

Only the browser knows under which address it reaches the gateway, so its script fills in `@BASE@`, `@HOST@` and
`@ROUTE@`. Between « and » there is a part for https with our own CA, one for https with a public CA, and one for
http.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from sidecar.home.markup import Html, element, joined

_CURL = """\
curl «--cacert ca.pem ||»@BASE@/v1/{path} \\
  -H "Authorization: Bearer $SIDECAR_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{{"model": "@ROUTE@", {body}}}'"""
_HELLO = '"messages": [{"role": "user", "content": "Say hello."}]'

_SDK = """\
import os«
import ssl||»

from {package} import «DefaultHttpxClient, ||»{name}

client = {name}(
    base_url="@BASE@{path}",
    api_key=os.environ["SIDECAR_API_KEY"],«
    http_client=DefaultHttpxClient(verify=ssl.create_default_context(cafile="ca.pem")),||»
)
"""
_OPENAI = _SDK.format(package="openai", name="OpenAI", path="/v1")
_ANTHROPIC = _SDK.format(package="anthropic", name="Anthropic", path="")
_OPENAI_CHAT = """\
stream = client.chat.completions.create(
    model="@ROUTE@",
    messages=[{"role": "user", "content": "Say hello."}],
    stream=True,
)
for chunk in stream:
    for choice in chunk.choices:
        print(choice.delta.content or "", end="", flush=True)"""
_OPENAI_RESPONSES = """\
stream = client.responses.create(model="@ROUTE@", input="Say hello.", stream=True)
for event in stream:
    if event.type == "response.output_text.delta":
        print(event.delta, end="", flush=True)"""
_ANTHROPIC_CHAT = """\
with client.messages.stream(
    model="@ROUTE@",
    max_tokens=256,
    messages=[{"role": "user", "content": "Say hello."}],
) as stream:
    for text in stream.text_stream:
        print(text, end="", flush=True)"""
_OPENAI_COMPLETE = """\
answer = client.completions.create(model="@ROUTE@", prompt="The capital of France is", max_tokens=16)
print(answer.choices[0].text)"""
_OPENAI_EMBED = """\
answer = client.embeddings.create(model="@ROUTE@", input=["What is a gateway?"])
print(answer.data[0].embedding[:5])"""

_GRPC = """\
import os

import grpc
from sidecar.v1 import inference_pb2 as pb, inference_pb2_grpc as rpc

channel = «grpc.secure_channel(
    "@HOST@", grpc.ssl_channel_credentials(open("ca.pem", "rb").read())
)|grpc.secure_channel("@HOST@", grpc.ssl_channel_credentials())|grpc.insecure_channel("@HOST@")»
service = rpc.InferenceServiceStub(channel)
key = [("authorization", "Bearer " + os.environ["SIDECAR_API_KEY"])]
"""
_GRPC_CHAT = """\
hello = pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="Say hello.")])
request = pb.ChatRequest(route="@ROUTE@", messages=[hello])
for chunk in service.StreamChat(request, metadata=key):
    for choice in chunk.choices:
        print(choice.delta.content, end="", flush=True)"""
_GRPC_COMPLETE = """\
prompt = pb.Prompt(text="The capital of France is")
request = pb.CompleteRequest(route="@ROUTE@", prompts=[prompt], max_tokens=16)
print(service.Complete(request, metadata=key).choices[0].text)"""
_GRPC_EMBED = """\
text = pb.EmbedInput(text="What is a gateway?")
answer = service.Embed(pb.EmbedRequest(route="@ROUTE@", inputs=[text]), metadata=key)
print(answer.embeddings[0].values.values[:5])"""


@dataclass(frozen=True, slots=True)
class Door:
    """One API through which a route of `task` can be called. `calls` is the path or RPC behind it."""

    task: str
    key: str
    title: str
    calls: str
    language: str  # sh or python
    template: str


def _curl(path: str, body: str) -> str:
    return _CURL.format(path=path, body=body)


DOORS: tuple[Door, ...] = (
    Door("chat", "curl", "curl", "POST /v1/chat/completions", "sh", _curl("chat/completions", _HELLO)),
    Door("chat", "openai", "OpenAI SDK", "POST /v1/chat/completions", "python", f"{_OPENAI}\n{_OPENAI_CHAT}"),
    Door("chat", "responses", "Responses", "POST /v1/responses", "python", f"{_OPENAI}\n{_OPENAI_RESPONSES}"),
    Door("chat", "anthropic", "Anthropic SDK", "POST /v1/messages", "python", f"{_ANTHROPIC}\n{_ANTHROPIC_CHAT}"),
    Door("chat", "grpc", "gRPC", "InferenceService/StreamChat", "python", f"{_GRPC}\n{_GRPC_CHAT}"),
    Door(
        "completions",
        "curl",
        "curl",
        "POST /v1/completions",
        "sh",
        _curl("completions", '"prompt": "The capital of France is", "max_tokens": 16'),
    ),
    Door("completions", "openai", "OpenAI SDK", "POST /v1/completions", "python", f"{_OPENAI}\n{_OPENAI_COMPLETE}"),
    Door("completions", "grpc", "gRPC", "InferenceService/Complete", "python", f"{_GRPC}\n{_GRPC_COMPLETE}"),
    Door(
        "embeddings",
        "curl",
        "curl",
        "POST /v1/embeddings",
        "sh",
        _curl("embeddings", '"input": ["What is a gateway?"]'),
    ),
    Door("embeddings", "openai", "OpenAI SDK", "POST /v1/embeddings", "python", f"{_OPENAI}\n{_OPENAI_EMBED}"),
    Door("embeddings", "grpc", "gRPC", "InferenceService/Embed", "python", f"{_GRPC}\n{_GRPC_EMBED}"),
)
# How a table of routes names them.
DOOR_WORDS = {
    "chat": "Chat completions, Responses, Messages, gRPC",
    "completions": "Completions, gRPC",
    "embeddings": "Embeddings, gRPC",
}
_PLACE = re.compile(r"@(BASE|HOST|ROUTE)@|«([^«»]*)»")
# Shown until the script has run, or without it.
_UNKNOWN = {"BASE": "https://YOUR-GATEWAY", "HOST": "YOUR-GATEWAY:443"}


def lines_of(door: Door, route: str, *, own_ca: bool) -> Html:
    """The template with elements that the script looks up."""
    return joined(*_pieces(door.template, route, own_ca=own_ca))


def _pieces(template: str, route: str, *, own_ca: bool) -> Iterator[Html | str]:
    at = 0
    for found in _PLACE.finditer(template):
        yield template[at : found.start()]
        at = found.end()
        if found[1] is not None:
            value = route if found[1] == "ROUTE" else _UNKNOWN[found[1]]
            yield element("span", value, data_fill=found[1].lower())
            continue
        private, public, plain = found[2].split("|")
        yield element("span", *_pieces(private if own_ca else public, route, own_ca=own_ca), data_over="https:")
        yield element("span", *_pieces(plain, route, own_ca=own_ca), data_over="http:", hidden=True)
    yield template[at:]
