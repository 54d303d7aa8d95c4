"""The members of requests, as a closed list: what each one asks for, and which values have no effect.

    instruction   changes what is asked for: if a provider does not support it, the call is refused by name
    hint          affects cost, caching, telemetry or nothing: left out, and reported
    echo          part of an earlier answer that a client sends back (`echoes`): left out, and reported

An instruction whose value is the default (`n: 1`) counts as a hint. Names are those of OpenAI's format with their
path, whatever the caller's format: `messages[].name`. A member that is not listed has the meaning of the one that
contains it; one at the top level is a provider's own, and is sent. Each format lists the members that it supports
(`PLACES`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from adapters.echo_names import ECHOES, PARTS


class Meaning(StrEnum):
    INSTRUCTION = "instruction"
    HINT = "hint"
    ECHO = "echo"


@dataclass(frozen=True, slots=True)
class Member:
    """`neutral`: values without effect. `needed`: requests of its kind require it, so `strict` lets it pass."""

    name: str
    meaning: Meaning
    neutral: tuple[Any, ...] = ()
    needed: bool = False

    def asks(self, value: Any) -> bool:
        """Whether this JSON value has to be honoured or refused."""
        if self.meaning is not Meaning.INSTRUCTION or value is None:
            return False
        return not any(type(value) is type(each) and value == each for each in self.neutral)


def _rows(meaning: Meaning, names: Iterable[str]) -> dict[str, Member]:
    return {name: Member(name, meaning) for name in names}


def _instructions(*names: str, **neutral: tuple[Any, ...]) -> dict[str, Member]:
    found = _rows(Meaning.INSTRUCTION, names)
    return found | {name: Member(name, Meaning.INSTRUCTION, values) for name, values in neutral.items()}


_ZERO, _ONE = (0, 0.0), (1, 1.0)
_SAMPLING = _instructions(
    *("model", "stream", "stream_options", "stream_options.include_usage", "max_tokens", "seed"),
    n=_ONE,
    temperature=_ONE,
    top_p=_ONE,
    frequency_penalty=_ZERO,
    presence_penalty=_ZERO,
    logit_bias=({},),
    stop=([], [""], ""),
) | _rows(Meaning.HINT, ("user", "stream_options.include_obfuscation"))

# The contents of messages, tools and the answer format.
TEXT = frozenset(
    {"messages", "messages[].role", "messages[].content", "messages[].content[].text", "messages[].content[].refusal"}
)
IMAGES = frozenset({"messages[].content[].image_url"})
AUDIO_INPUT = frozenset({"messages[].content[].input_audio"})
FILES = frozenset({"messages[].content[].file"})
TOOLS = frozenset({"tools", "tools[].function", "tool_choice", "messages[].tool_calls", "messages[].tool_call_id"})
FORMS = frozenset({"response_format", "response_format.json_schema", "response_format.json_schema.schema"})
_OTHERS = (
    *("messages[].function_call", "messages[].tool_error", "messages[].tool_calls[].custom"),
    *("tools[].custom", "tool_choice.allowed_tools", "tool_choice.custom", "functions", "function_call"),
    *("response_format.json_object", "max_completion_tokens", "audio", "moderation", "web_search_options"),
)
_HINTS = (
    *("safety_identifier", "metadata", "prediction"),
    *("prompt_cache_key", "prompt_cache_retention", "prompt_cache_options"),
    *("messages[].name", "messages[].content[].prompt_cache_breakpoint", "response_format.json_schema.description"),
    "messages[].content[].file.filename",
    # Not OpenAI's: clients that know Claude use it to mark where a prompt is cached, whatever the model.
    *("cache_control", "messages[].cache_control", "messages[].content[].cache_control"),
    *("tools[].cache_control", "tools[].function.cache_control"),
)
CACHE_MARKS = frozenset(name for name in _HINTS if name.endswith("cache_control"))
_NAME = Member("response_format.json_schema.name", Meaning.HINT, needed=True)

CHAT: Mapping[str, Member] = {
    **_SAMPLING,
    **_instructions(*sorted(TEXT | IMAGES | AUDIO_INPUT | FILES | TOOLS | FORMS), *_OTHERS),
    **_instructions(
        logprobs=(False,),
        top_logprobs=_ZERO,
        parallel_tool_calls=(True,),
        modalities=(["text"], []),
        store=(False,),
        service_tier=("auto", "default"),
        verbosity=("medium",),
        reasoning_effort=("medium", "none"),  # a provider without it does not think
        response_format=({"type": "text"},),
        **{
            "messages[].content[].image_url.detail": ("auto", "high"),
            "tools[].function.strict": (False,),
            "response_format.json_schema.strict": (False,),
        },
    ),
    **_rows(Meaning.HINT, _HINTS),
    _NAME.name: _NAME,
    **_rows(Meaning.ECHO, ECHOES),
}
COMPLETIONS: Mapping[str, Member] = {
    **_SAMPLING,
    **_instructions("prompt", "logprobs", echo=(False,), suffix=("",), best_of=_ONE),
}
EMBEDDINGS: Mapping[str, Member] = {
    **_instructions("model", "input", "dimensions", encoding_format=("float",)),
    **_rows(Meaning.HINT, ("user",)),
}
# Kinds of values: dropping one drops the values of that kind.
VARIANTS = frozenset(
    {"response_format.json_schema", "response_format.json_object", "tool_choice.custom", "tool_choice.allowed_tools"}
    | {"tools[].function", "tools[].custom", "messages[].tool_calls[].custom", "messages[].content[].refusal"}
    | IMAGES
    | AUDIO_INPUT
    | FILES
    | PARTS
)
# Short names in drop_params, from earlier versions.
SHORT_NAMES: Mapping[str, str] = {
    "name": "messages[].name",
    "tool_error": "messages[].tool_error",
    "tool_calls": "messages[].tool_calls",
    "tool_call_id": "messages[].tool_call_id",
    "file": "messages[].content[].file",
    "image_url": "messages[].content[].image_url",
    "input_audio": "messages[].content[].input_audio",
    "detail": "messages[].content[].image_url.detail",
    "strict": "tools[].function.strict",
}
# Required in every call of its kind.
NEVER_DROPPED = frozenset(
    {
        "model",
        "messages",
        "messages[].role",
        "messages[].content",
        "messages[].content[].text",
        "prompt",
        "input",
        "stream",
    }
    | {"response_format.json_schema.schema", "stream_options.include_usage"}
)
# The closed list of names for x-sidecar-left-out and the metric label.
NAMES = frozenset({*CHAT, *COMPLETIONS, *EMBEDDINGS})


def member_of(name: str, table: Mapping[str, Member]) -> Member | None:
    """Returns its row, or that of the nearest member that contains it."""
    for each in (name, *ancestors(name)):
        if each in table:
            return table[each]
    return None


def ancestors(name: str) -> Iterable[str]:
    """Yields the members that contain it, from the inside: a.b[].c -> a.b, a."""
    while "." in name:
        name = name.rpartition(".")[0].removesuffix("[]")
        yield name


# Providers' own top-level members that clients send: a route may drop them as well.
PROVIDERS_OWN = frozenset(
    {"thinking", "reasoning", "include_reasoning", "reasoning_format", "enable_thinking", "thinking_budget", "think"}
    | {"top_k", "top_a", "min_p", "typical_p", "repetition_penalty", "length_penalty", "stop_token_ids", "bad_words"}
    | {"chat_template", "chat_template_kwargs", "mm_processor_kwargs", "add_generation_prompt", "ignore_eos"}
    | {"min_tokens", "truncate_prompt_tokens", "guided_json", "guided_regex", "guided_choice", "structured_outputs"}
    | {"output_config", "output_format", "context_management", "container", "mcp_servers", "betas", "random_seed"}
    | {"safe_prompt", "prompt_mode", "guardrails", "documents", "connectors", "citation_options", "safety_mode"}
    | {"input_type", "truncate", "embedding_types", "output_dimension", "output_dtype", "task", "late_chunking"}
    | {"provider", "plugins", "transforms", "models", "route", "usage", "extra_body", "options", "keep_alive", "format"}
    | {"search_parameters", "search_mode", "return_images", "return_related_questions", "clear_thinking", "grammar"}
    | {"speed", "inference_geo", "compaction", "fallbacks", "citations", "diagnostics", "user_profile_id", "system"}
    | {"include", "text", "truncation", "previous_response_id", "background", "max_tool_calls", "conversation"}
    | {"data_sources", "client_metadata", "user_security_context", "cached_content", "tags"}
)
DROPPABLE = NAMES - NEVER_DROPPED
HINTS = frozenset(name for name, row in CHAT.items() if row.meaning is Meaning.HINT)
