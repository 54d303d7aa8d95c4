"""What of a request this format has a place for (`adapters.members`). The rest is refused by name where it is an instruction,
and left out where it is a hint."""

from __future__ import annotations

from adapters.members import CACHE_MARKS, FILES, FORMS, IMAGES, TEXT, TOOLS

PLACES = (
    TEXT
    | IMAGES
    | FILES
    | {"messages[].content[].file.filename"}  # a document's title
    | TOOLS
    | {"tool_choice.allowed_tools"}  # the tools that it names, and its mode
    | {"messages[].function_call"}  # a call of a tool, in an older word
    | FORMS
    | CACHE_MARKS
    | {"model", "stream", "stream_options", "stream_options.include_usage"}
    | {"max_tokens", "max_completion_tokens", "temperature", "top_p", "stop"}
    | {"parallel_tool_calls", "tools[].function.strict"}
    | {"reasoning_effort", "service_tier"}
    # One label, the end user's name, which OpenAI's format can say in three places.
    | {"user", "safety_identifier", "metadata"}
    # By a tool (json_answer).
    | {"response_format.json_object"}
    # A schema is always followed; its description goes into it.
    | {"response_format.json_schema.description", "response_format.json_schema.strict"}
)
