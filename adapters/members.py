"""The members of requests, as a closed list: what each one asks for, and which of its values ask for nothing.

    instruction   changes what is asked: where a provider has no place for it, the call is refused by name
    hint          changes cost, caching, telemetry or nothing: left out, and said
    echo          what an answer carried and a client sent back (`echoes`): left out, and said

An instruction whose value is what a provider does anyway (`n: 1`) is a hint. Names are those of OpenAI's format with their
places, whatever the caller's format: `messages[].name`. A member that is not listed has the meaning of the one it stands in;
one that stands in none is a provider's own, and goes there. Each format says which of the list it has a place for (`PLACES`).
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
    """`neutral`: values that ask for nothing. `needed`: no request of its kind can do without it, so `strict` lets it pass."""

    name: str
    meaning: Meaning
    neutral: tuple[Any, ...] = ()
    needed: bool = False

    def asks(self, value: Any) -> bool:
        """Whether this value, as JSON has it, is to be honoured or refused."""
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

# What a message says, and what is said about tools and the form of the answer.
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
    # Not OpenAI's: who knows Claude marks by it where a prompt is to be cached, whatever the model.
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
        reasoning_effort=("medium", "none"),  # who has no place for it does not think
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
# Kinds of a value: to drop one is to drop what is of that kind.
VARIANTS = frozenset(
    {"response_format.json_schema", "response_format.json_object", "tool_choice.custom", "tool_choice.allowed_tools"}
    | {"tools[].function", "tools[].custom", "messages[].tool_calls[].custom", "messages[].content[].refusal"}
    | IMAGES
    | AUDIO_INPUT
    | FILES
    | PARTS
)
# Short names in drop_params, as earlier versions had them.
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
# No call, or none of its kind, is without these.
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
# The closed list: what may stand in x-sidecar-left-out, and as a label of the metric.
NAMES = frozenset({*CHAT, *COMPLETIONS, *EMBEDDINGS})


def member_of(name: str, table: Mapping[str, Member]) -> Member | None:
    """Its row, or that of the nearest member it stands in."""
    for each in (name, *ancestors(name)):
        if each in table:
            return table[each]
    return None


def ancestors(name: str) -> Iterable[str]:
    """The members that it stands in, from the inside: a.b[].c -> a.b, a."""
    while "." in name:
        name = name.rpartition(".")[0].removesuffix("[]")
        yield name


# Providers' own members at the top that people's clients send: a route may drop them too.
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
