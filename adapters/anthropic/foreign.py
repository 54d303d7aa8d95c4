"""Members of a Messages body that other providers do not support: refused by name, or left out and reported.

An instruction (it changes what is asked for) is refused unless the route's drop_params lists it. A hint (cost,
caching, telemetry) and an echo (part of an earlier answer) are left out. Members that are not listed here go to the
provider.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from adapters.anthropic.read_request import kind_of
from adapters.anthropic.thinking_effort import takes_effort
from adapters.contract import Envelope, Target
from adapters.errors import GatewayError, Kind
from adapters.fit import refuse
from adapters.json_object import ARRAYS, MALFORMED, OBJECTS

# Members that have no effect elsewhere; each with a test of whether its value is harmless.
_Test = Callable[[bytes], bool]


def _always(raw: bytes) -> bool:
    return True


def _clears_thinking(raw: bytes) -> bool:
    """Concerns reasoning of earlier turns, which other providers never see."""
    try:
        edits = ARRAYS.decode(OBJECTS.decode(raw).get("edits", b"[]"))
        return all(kind_of(edit).startswith("clear_thinking") for edit in edits)
    except MALFORMED:
        return False


_HINTS: Mapping[str, _Test] = {
    "cache_control": _always,
    "metadata": _always,
    "service_tier": _always,
    "diagnostics": _always,
    "user_profile_id": _always,
    "billing_policy": _always,
    "fallback_credit_token": _always,
    "speed": lambda raw: raw == b'"standard"',
    "context_management": _clears_thinking,
}
_INSTRUCTIONS = frozenset(
    {"speed", "context_management", "container", "mcp_servers", "inference_geo", "compaction", "fallbacks"}
)
# Hints inside tools, blocks and `system`, as they appear in JSON. In a text, the quotes would be escaped.
_NESTED = {
    b'"cache_control":': "cache_control",
    b'"eager_input_streaming":': "tools[].eager_input_streaming",
    b'"defer_loading":': "tools[].defer_loading",
}
_THINKING = "thinking"
# Blocks of an earlier answer, from tools that the provider ran itself.
_ECHOES = "server_tool_use"
# Names that this format adds to the left-out header and metric.
HINTS = frozenset({*_HINTS, *_NESTED.values(), _THINKING, "output_config.effort", f"messages[].content[].{_ECHOES}"})
_EMPTY = (b"null", b"[]", b"{}")


def foreign(envelope: Envelope, target: Target) -> tuple[str, ...]:
    """Returns the names of what is left out. Raises unsupported_parameter for an instruction that the target cannot
    follow."""
    members = envelope.members
    _refuse_thread(members.get("thread"))
    found = dict.fromkeys(_top(members, target))
    for name in ("system", "tools", "messages"):
        raw = members.get(name, b"")
        found |= {word: None for mark, word in _NESTED.items() if _holds(raw, mark)}
    if _holds(members.get("messages", b""), b'"server_tool_use"'):
        found[f"messages[].content[].{_ECHOES}"] = None
    if not takes_effort(target):
        found |= dict.fromkeys(_asks_to_think(members))
    return tuple(found)


def _top(members: Mapping[str, bytes], target: Target) -> Iterator[str]:
    for name, raw in members.items():
        if raw in _EMPTY:
            continue
        test = _HINTS.get(name)
        if test is not None and test(raw):
            yield name
        elif name in _INSTRUCTIONS:
            refuse(target, name, why="only Anthropic supports it")
    if members.get("max_tokens") == b"0":
        refuse(target, "max_tokens", why="0 only fills Anthropic's prompt cache")


def _asks_to_think(members: Mapping[str, bytes]) -> Iterator[str]:
    """What is lost if the model is not known to reason: the thinking budget never makes a call impossible."""
    if kind_of(members.get("thinking", b"")) in ("enabled", "adaptive"):
        yield _THINKING
    if _holds(members.get("output_config", b""), b'"effort"'):
        yield "output_config.effort"


def _holds(raw: bytes, mark: bytes) -> bool:
    """Also matches blanks before the colon."""
    return mark in raw or (mark.endswith(b":") and mark[:-1] in raw and _spaced(raw, mark[:-1]))


def _spaced(raw: bytes, key: bytes) -> bool:
    at = raw.find(key)
    while at >= 0:
        if raw[at + len(key) : at + len(key) + 8].lstrip().startswith(b":"):
            return True
        at = raw.find(key, at + len(key))
    return False


def _refuse_thread(raw: bytes | None) -> None:
    """Refuses a conversation stored by the provider (a beta that Anthropic's tool runners request by default).
    Their SDKs know both codes: after the first they continue with full histories, after the second they send
    what was stored."""
    kind = "" if raw is None else kind_of(raw)
    if kind == "create":
        text = "This route's provider does not store threads. Send the whole conversation with each request."
        raise GatewayError(Kind.UNSUPPORTED_PARAMETER, text, param="thread", code="thread_unsupported_request")
    if kind:
        text = "This route's provider has no such thread. Send the whole conversation."
        raise GatewayError(Kind.ROUTE_NOT_FOUND, text, param="thread", code="thread_not_found")
