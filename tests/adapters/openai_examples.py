"""Canonical requests that between them set every field, for the completeness test of a format's encode."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor

from sidecar.v1 import inference_pb2 as pb

X = '{"x":12345678901234567890123}'
HI = pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="Hi")])


def chat(**fields: Any) -> pb.ChatRequest:
    return pb.ChatRequest(**{"route": "r", "messages": [HI], **fields})


def part(**fields: Any) -> pb.ChatRequest:
    return chat(messages=[pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="a"), pb.ContentPart(**fields)])])


def assistant(**fields: Any) -> pb.ChatRequest:
    return chat(messages=[pb.Message(role=pb.ROLE_ASSISTANT, **fields)])


# Each of these is written as OpenAI's body and read back the same.
TRANSLATED: tuple[Any, ...] = (
    chat(parallel_tool_calls=False, stop=["a", "b"], n=1, seed=-(2**60), temperature=0.0, top_p=0.1, max_tokens=0),
    chat(max_completion_tokens=9, frequency_penalty=-2.0, presence_penalty=1e-9, logprobs=True, top_logprobs=0),
    chat(logit_bias_json='{"50256":-100}', reasoning_effort="minimal", metadata={"a": "ü"}, user="u", modalities=["audio"]),
    chat(audio=pb.AudioOutput(voice="alloy", format="wav", extra_json=X), prediction_json='{"type":"content"}', store=False),
    chat(service_tier="flex", verbosity="low", safety_identifier="s", prompt_cache_key="k", extra_json=X),
    chat(stream_options=pb.StreamOptions(include_usage=True, include_obfuscation=False, extra_json=X)),
    chat(messages=[pb.Message(role=role, content=HI.content, name="n") for role in pb.Role.keys()[1:]]),
    chat(messages=[pb.Message(role=pb.ROLE_TOOL, content=HI.content, tool_call_id="c", extra_json=X)]),
    part(image=pb.Image(data=b"\x00\xff", mime_type="image/png", detail="low", extra_json=X), extra_json=X),
    part(image=pb.Image(url="https://example.com/a.png")),
    part(file=pb.File(data=b"%PDF", mime_type="application/pdf", filename="a.pdf", extra_json=X)),
    part(file=pb.File(file_id="file-1")),
    part(audio=pb.Audio(data=b"RIFF", format="wav", extra_json=X)),
    part(other_json='{"type":"new","deep":[1.0]}'),
    assistant(content=[pb.ContentPart(thinking=pb.Thinking(text="hm", native_name="reasoning")), pb.ContentPart(text="x")]),
    assistant(content=[pb.ContentPart(refusal="No.")]),
    assistant(
        tool_calls=[
            pb.ToolCall(id="a", name="f", arguments_json='{"n": 1.0}', extra_json=X, function_extra_json=X),
            pb.ToolCall(id="b", name="g", custom_input="free\u2028text"),
        ]
    ),
    chat(
        tools=[
            pb.Tool(
                function=pb.FunctionTool(
                    name="f", description="", parameters_json='{"z":1,"a":1.0}', strict=False, extra_json=X
                ),
                extra_json=X,
            ),
            pb.Tool(custom=pb.CustomTool(name="c", description="d", format_json='{"type":"text"}', extra_json=X)),
            pb.Tool(other_json='{"type":"web_search","max":1.0}'),
        ]
    ),
    *(chat(tool_choice=pb.ToolChoice(mode=mode)) for mode in pb.ToolChoice.Mode.keys()[1:]),
    chat(tool_choice=pb.ToolChoice(function_name="f")),
    chat(tool_choice=pb.ToolChoice(custom_name="c")),
    chat(tool_choice=pb.ToolChoice(other_json='{"type":"allowed_tools","allowed_tools":{}}')),
    chat(response_format=pb.ResponseFormat(text=pb.TextFormat())),
    chat(response_format=pb.ResponseFormat(json_object=pb.JsonObjectFormat())),
    chat(
        response_format=pb.ResponseFormat(
            json_schema=pb.JsonSchemaFormat(name="n", description="d", strict=True, schema_json='{"b":1,"a":2}', extra_json=X)
        )
    ),
    chat(response_format=pb.ResponseFormat(other_json='{"type":"grammar","g":1.0}')),
    pb.CompleteRequest(route="r", prompts=[pb.Prompt(text="a"), pb.Prompt(tokens=pb.Tokens(ids=[0, 2**31 - 1]))]),
    pb.CompleteRequest(
        route="r", prompts=[pb.Prompt(text="a")], suffix="s", echo=False, logprobs=0, n=2, best_of=3, stop=["x"],
        max_tokens=1, temperature=0.5, top_p=0.5, seed=1, frequency_penalty=0.5, presence_penalty=0.5,
        logit_bias_json="{}", user="u", stream_options=pb.StreamOptions(include_usage=False), extra_json=X,
    ),
    pb.EmbedRequest(route="r", encoding="ENCODING_FLOAT",
                    inputs=[pb.EmbedInput(text="a"), pb.EmbedInput(tokens=pb.Tokens(ids=[1]))]),
    pb.EmbedRequest(route="r", inputs=[pb.EmbedInput(text="a")], dimensions=8,
                    encoding="ENCODING_BASE64", user="u", extra_json=X),
)  # fmt: skip

# What OpenAI's format has no way to say, and the parameter the refusal names.
REFUSED: tuple[tuple[Any, str], ...] = (
    (chat(messages=[pb.Message(role=pb.ROLE_TOOL, tool_call_id="c", tool_error=True)]), "messages[0].tool_error"),
    (part(image=pb.Image(file_id="f")), "messages[0].content[1].image.file_id"),
    (part(file=pb.File(url="https://example.com/a.pdf")), "messages[0].content[1].file.url"),
)
# Thoughts that a provider of this format has no place for, and what they are called where that is said.
_SEALED: tuple[Any, ...] = (
    pb.Thinking(text="hm"),
    pb.Thinking(text="hm", signature=b"s", format="anthropic-claude-v1"),
    pb.Thinking(redacted=b"r"),
    pb.Thinking(text="hm", extra_json=X),
)
LEFT_OUT: tuple[tuple[Any, str], ...] = (
    *(
        (assistant(content=[pb.ContentPart(thinking=each), pb.ContentPart(text="So")]), "messages[].content[].thinking")
        for each in _SEALED
    ),
    (
        assistant(
            content=[
                pb.ContentPart(thinking=pb.Thinking(native_name="reasoning", text="hm", signature=b"s")),
                pb.ContentPart(text="So"),
            ]
        ),
        "messages[].reasoning",
    ),
)


def fields_of(*kinds: Descriptor) -> set[str]:
    """Every field below these messages, as "Message.field"."""
    seen: dict[str, Descriptor] = {}
    waiting = list(kinds)
    while waiting:
        kind = waiting.pop()
        if kind.full_name not in seen:
            seen[kind.full_name] = kind
            waiting += [field.message_type for field in kind.fields if field.message_type is not None]
    return {f"{kind.name}.{field.name}" for kind in seen.values() for field in kind.fields}


def set_fields(message: Any) -> Iterator[str]:
    """The fields that a message and those in it set, as "Message.field"."""
    for field, value in message.ListFields():
        yield f"{message.DESCRIPTOR.name}.{field.name}"
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            yield from (f"{field.message_type.name}.{name}" for name in ("key", "value"))
            continue
        repeated = field.is_repeated
        for one in value if repeated else [value]:
            yield from set_fields(one)
