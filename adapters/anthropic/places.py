"""The members of a request that this format supports (`adapters.members`). Others are refused by name if they are
instructions, and left out if they are hints."""

from __future__ import annotations

from adapters.members import CACHE_MARKS, FILES, FORMS, IMAGES, TEXT, TOOLS

PLACES = (
    TEXT
    | IMAGES
    | FILES
    | {"messages[].content[].file.filename"}  # a document's title
    | TOOLS
    | {"tool_choice.allowed_tools"}  # the tools that it names, and its mode
    | {"messages[].function_call"}  # a tool call in the older form
    | FORMS
    | CACHE_MARKS
    | {"model", "stream", "stream_options", "stream_options.include_usage"}
    | {"max_tokens", "max_completion_tokens", "temperature", "top_p", "stop"}
    | {"parallel_tool_calls", "tools[].function.strict"}
    | {"reasoning_effort", "service_tier"}
    # One label, the end user's id, which OpenAI's format has in three places.
    | {"user", "safety_identifier", "metadata"}
    # Through a tool (json_answer).
    | {"response_format.json_object"}
    # Schemas are always followed; the description becomes part of the schema.
    | {"response_format.json_schema.description", "response_format.json_schema.strict"}
)
