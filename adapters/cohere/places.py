"""What of a request Cohere's formats have a place for (`adapters.members`). The rest is refused by name where it is an
instruction, and left out where it is a hint."""

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
        # A schema is always followed; its description goes into it.
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
        "messages[].function_call",  # a call of a tool, in an older word
        "tool_choice.allowed_tools",  # the tools that it names, and its mode
    }
)
# /v1/chat has one string a turn, and tools of another shape.
V1_PLACES = _BOTH
# /v1/generate
GENERATE_PLACES = frozenset(
    {
        *("model", "prompt", "stream", "stream_options", "stream_options.include_usage", "max_tokens", "n", "stop"),
        *("temperature", "top_p", "seed", "frequency_penalty", "presence_penalty"),
    }
)
# The vectors reach the caller as encoding_format says.
EMBED_PLACES = frozenset({"model", "input", "dimensions", "encoding_format"})
