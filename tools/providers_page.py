"""Generates docs/reference/providers.md: features (`provider_features`), members and quirks of each provider."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

from adapters import Provider, Task
from adapters.echo_names import ECHOES, MESSAGE, PARTS
from adapters.members import CHAT, DROPPABLE, NEVER_DROPPED, PROVIDERS_OWN, SHORT_NAMES, Meaning
from adapters.providers import ALIASES, PROVIDERS
from tests.adapters.outcomes import LEFT_OUT, REFUSED, examples_for, outcome, row_of
from tools.provider_features import CHAT_FEATURES, EMBED_FEATURES, NO, feature_cells, provider_side, task_cells
from tools.wrapping import wrapped

_ENDS = {
    "done": "its end marker",
    "finish": "its end marker, or its finish reasons",
    "close": "its end marker, or the body's end",
}
_QUIRKS = ("renamed", "refused", "left out of the history", "a stream ends with", "usage in a stream")


def _quirks(row: Provider) -> tuple[str, ...]:
    renamed = ", ".join(f"`{ours}` as `{theirs}`" for ours, theirs in row.renamed.items())
    forbidden = ", ".join(f"`{name}`" for name in sorted(row.forbidden))
    if row.takes is not None:
        forbidden = f"all except {', '.join(f'`{name}`' for name in sorted(row.takes))}"
    end = _ENDS[row.stream_end]
    usage = "on request" if row.include_usage else "without request, or never"
    return renamed or NO, forbidden or NO, _left_out(row), end, usage


def _left_out(row: Provider) -> str:
    """In few words: strict providers leave out all but a few of a long list."""
    leaves = row.leaves & (MESSAGE | PARTS)
    if not leaves:
        return NO
    if leaves == PARTS:
        return "thinking parts"
    kept = ", ".join(f"`{name}`" for name in sorted((MESSAGE | PARTS) - leaves))
    return f"members and parts of earlier answers, except {kept}"


def _table(
    head: Iterable[str], cells: Callable[[Provider], tuple[str, ...]], rows: Iterable[Provider], *, merged: bool = False
) -> list[str]:
    """`merged`: providers with the same cells share a row."""
    lines: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        row_cells = cells(row)
        lines.setdefault(row_cells if merged else (*row_cells, row.name), []).append(f"`{row.name}`")
    columns = ("provider", *head)
    written = (
        ", ".join(names) + "".join(f" | {cell}" for cell in row_cells[: len(columns) - 1])
        for row_cells, names in lines.items()
    )
    return [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|", *(f"| {line} |" for line in written)]


def _member_cells(row: Provider) -> tuple[str, ...]:
    """For chat: hints that are left out, and what is refused, as shown by encoding an example."""
    left_out: dict[str, None] = {}
    refused: dict[str, None] = {}
    for example, _ in examples_for(row):
        if example.task is not Task.CHAT:
            continue
        meant, found = row_of(example), outcome(row, example)
        if found == LEFT_OUT and meant.meaning is Meaning.HINT:
            left_out[meant.name] = None
        elif found == REFUSED and meant.name not in NEVER_DROPPED:
            refused[meant.name] = None
    return _listed(left_out), _listed(refused)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names)) or NO


def _like_openai(row: Provider) -> bool:
    return row.format == "openai"


def _neutral() -> str:
    """Values without effect, in the notation of a request."""
    shown = []
    for name, row in CHAT.items():
        words = dict.fromkeys(json.dumps(value) for value in row.neutral if value not in ("", [], [""]))
        shown += [f"`{name}: {word}`" for word in words if word not in ("0.0", "1.0")]
    return ", ".join(shown)


def _short() -> str:
    return ", ".join(f"`{short}` (`{name}`)" for short, name in SHORT_NAMES.items())


def providers_page() -> str:
    """docs/reference/providers.md."""
    rows = list(PROVIDERS.values())
    return wrapped("\n".join([*_features_part(rows), *_members_part(rows), *_quirks_part(rows)]) + "\n")


def _features_part(rows: list[Provider]) -> list[str]:
    aliases = ", ".join(f"`{other}` (`{name}`)" for other, name in ALIASES.items())
    return [
        "# Providers",
        "",
        "<!-- Generated from `adapters/` by `python -m tools.docs`; do not edit. -->",
        "",
        "See which providers you can use, and what each of them supports. A route names one:",
        "",
        "```yaml",
        "model: {provider: mistral, name: mistral-large-latest, config: {mistral_api_key: $MISTRAL_API_KEY}}",
        "```",
        "",
        "[The config file](config.md#providers-and-modelconfig) has the keys and addresses of each provider.",
        "",
        "*Verified by* says how the tests check it: a **recording** (real exchanges, replayed through the adapter and",
        "through running workers), a **local server** (a real server that the tests start), or the **specification**",
        "(only the provider's documentation). Completions *by chat* are sent to the provider's chat API as one user",
        "message; *own* are its text completions.",
        "",
        *_table(("format", "chat", "completions", "embeddings", "streams", "verified by"), task_cells, rows),
        "",
        f"Other accepted names: {aliases}.",
        "",
        "## Features",
        "",
        "*yes*: the provider's format has it, and the gateway sends it. Whether the model follows it depends on the",
        "provider. *-*: the gateway refuses it by name, unless the route drops it ([below](#members)). The last three",
        "columns are about embeddings.",
        "",
        *_table((*CHAT_FEATURES, *EMBED_FEATURES), feature_cells, rows, merged=True),
        "",
    ]


def _members_part(rows: list[Provider]) -> list[str]:
    chatting = [row for row in rows if provider_side(row, Task.CHAT) is not None]
    return [
        "## Members",
        "",
        "If a chat request has a member that a provider has no place for, the gateway treats it as one of three classes:",
        "",
        "- *Instructions* change the result. They are refused by name (400, `unsupported_parameter`), unless the route lists",
        "  the name in `drop_params`.",
        "- *Hints* change cost, caching or telemetry, or nothing. They are left out and reported. An instruction with the",
        "  provider's default value is a hint: " + _neutral() + ".",
        "- *Echoes* came with an earlier answer, and the client sends them back. They are left out and reported; see",
        "  [Reasoning](../concepts/thinking.md#what-is-left-out).",
        "",
        "Reported means: the names are in the header `x-sidecar-left-out`, in the typed field `left_out`, and in the metric",
        "`sidecar_left_out_total`. With `strict: true` the route refuses what would be left out, except for the name of a",
        "JSON schema, which every request needs. Members that OpenAI does not have are sent to the provider unchanged.",
        "",
        *_table(
            ("hints: left out and reported", "instructions: refused by name"), _member_cells, chatting, merged=True
        ),
        "",
        "`drop_params` accepts these names, for every provider and on every path: "
        + _listed(DROPPABLE - ECHOES)
        + "; [echoes](../concepts/thinking.md#what-is-left-out)",
        "by their path, such as `messages[].annotations`; and members that only some providers have: "
        + _listed(PROVIDERS_OWN)
        + ".",
        "What is dropped is reported, too. Short names: " + _short() + ".",
        "",
    ]


def _quirks_part(rows: list[Provider]) -> list[str]:
    return [
        "## Differences between providers of OpenAI's format",
        "",
        *_table(_QUIRKS, _quirks, filter(_like_openai, rows), merged=True),
        "",
        "What is left out of a history is reported: [Reasoning](../concepts/thinking.md#what-is-left-out).",
        "",
        "A conversation can continue with a provider other than the one that began it. For that, the gateway converts some",
        "content of a history into the form that the provider accepts. Nothing is lost, and other members keep their bytes.",
        "",
        "- Tool call ids that Mistral or Anthropic would refuse are replaced, in the same way in every request. A call without",
        "  an id gets one, and so does its result. The role `developer` becomes `system` if a provider does not have it.",
        "- Function calls in the old form (`function_call`, role `function`) become tool calls for Anthropic and Cohere.",
        "- Empty assistant messages are left out for Mistral, Cohere and Anthropic, which refuse them.",
        "- Tool calls of other models get what the provider requires of its own: for DeepSeek an empty `reasoning_content`",
        "  while it thinks; for Gemini 3 and later the signature that Google documents for calls of other models",
        "  (`skip_thought_signature_validator`).",
        "",
        "Anthropic is stricter about content than OpenAI. Translated requests are converted to the form that it accepts; the",
        "bytes of images and documents do not change.",
        "",
        "- The media type of an image or a PDF is taken from its bytes, so `image/jpg` and a JPEG declared as `image/png`",
        "  work. Line breaks in base64 are removed.",
        "- Text documents (`text/csv`, `text/markdown`, `application/json`) are sent as text, and images in a `file` part as",
        "  images.",
        "- White space at the end of a final assistant message, which the model is to continue, is removed.",
        "- The results of parallel tool calls come first in their turn, even if the user's text came between them.",
        "",
        "Anthropic, Cohere and text-generation-inference have no `tool_choice: allowed_tools`; they get only the tools that",
        "it names.",
    ]
