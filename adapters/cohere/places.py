"""The members of a request that Cohere's formats support (`adapters.members`). Others are refused by name if they
are instructions, and left out if they are hints."""

from __future__ import annotations

from adapters.members import FORMS, IMAGES, TEXT, TOOLS

_BOTH = (
    TEXT
    | FORMS
    | {
        *("model", "stream", "stream_options", "stream_options.include_usage", "max_tokens", "max_completion_tokens"),
        *(
            "temperature",
            "top_p",
            "seed",
            "frequency_penalty",
            "presence_penalty",
            "stop",
            "response_format.json_object",
        ),
        # Schemas are always followed; the description becomes part of the schema.
        *("response_format.json_schema.description", "response_format.json_schema.strict"),
    }
)
# /v2/chat
PLACES = (
    _BOTH
    | IMAGES
    | TOOLS
    | {
        *("logprobs", "reasoning_effort", "messages[].content[].image_url.detail", "tools[].function.strict"),
        "messages[].citations",
        "messages[].function_call",  # a tool call in the older form
        "tool_choice.allowed_tools",  # the tools that it names, and its mode
    }
)
# /v1/chat has one string per turn, and a different format for tools.
V1_PLACES = _BOTH
# /v1/generate
GENERATE_PLACES = frozenset(
    {
        *("model", "prompt", "stream", "stream_options", "stream_options.include_usage", "max_tokens", "n", "stop"),
        *("temperature", "top_p", "seed", "frequency_penalty", "presence_penalty"),
    }
)
# The gateway encodes the vectors as encoding_format says.
EMBED_PLACES = frozenset({"model", "input", "dimensions", "encoding_format"})
