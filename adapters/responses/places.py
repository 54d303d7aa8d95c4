"""The members of a chat request that OpenAI's Responses API supports (`adapters.members`)."""

from __future__ import annotations

from adapters.members import FILES, FORMS, IMAGES, TEXT, TOOLS

PLACES = (
    TEXT
    | IMAGES
    | FILES
    | TOOLS
    | FORMS
    | {"model", "stream", "stream_options", "stream_options.include_usage", "max_tokens", "max_completion_tokens"}
    | {"temperature", "top_p", "logprobs", "top_logprobs", "parallel_tool_calls", "tools[].function.strict"}
    | {"tools[].custom", "tool_choice.custom", "tool_choice.allowed_tools", "messages[].tool_calls[].custom"}
    | {"response_format.json_object", "response_format.json_schema.name", "response_format.json_schema.description"}
    | {"response_format.json_schema.strict", "messages[].content[].image_url.detail", "verbosity", "reasoning_effort"}
    | {"service_tier", "user", "safety_identifier", "metadata", "moderation"}
    | {"prompt_cache_key", "prompt_cache_retention", "prompt_cache_options"}
)
