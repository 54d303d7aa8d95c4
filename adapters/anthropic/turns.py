"""Encodes messages as `system` and turns.

All system and developer messages go into `system`, in order, wherever they are: the API does not allow instructions
between turns. One that contains a block of the provider's own (`other_json`, such as tool_addition) stays in place
as a turn of role system, because `system` only accepts text.

Adjacent messages of one role become one turn: results of parallel calls must be together, first in the turn after
the calls, and older servers require alternating roles. Blank texts are left out, as are messages without anything
else: the API refuses them, and OpenAI's clients and models write `""` and line breaks before tool calls. For the
same reason, trailing whitespace is removed from a final assistant turn, which the model continues.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from adapters.anthropic.parts import block_of
from adapters.anthropic.version import fit_documents
from adapters.fit import Fit
from adapters.json_object import callers_object, merge_extra, merge_members
from adapters.refusals import invalid
from adapters.tool_arguments import NAME, as_object
from adapters.tool_ids import CLAUDE_IDS
from sidecar.v1 import inference_pb2 as pb

_TURN = frozenset({"role", "content"})
_TOOL_USE = frozenset({"type", "id", "name", "input"})
_TOOL_RESULT = frozenset({"type", "tool_use_id", "content", "is_error"})
# The cache marker, and kinds of blocks that cannot have it.
_MARK = "cache_control"
_UNMARKED = ("thinking", "redacted_thinking")
_SYSTEM_ROLES = (pb.ROLE_SYSTEM, pb.ROLE_DEVELOPER)


@dataclass(slots=True)
class _Turn:
    role: str
    blocks: list[Any]
    extra: dict[str, Any] = field(default_factory=dict)


def system_and_turns(messages: Sequence[pb.Message], fit: Fit) -> tuple[Any, list[dict[str, Any]]]:
    """Returns `system` (None, a string or blocks) and `messages`, ready for msgspec's encoder."""
    if not messages:
        raise invalid("messages", "at least one is needed")
    system: list[Any] = []
    turns: list[_Turn] = []
    for number, message in enumerate(messages):
        at = f"messages[{number}]"
        _refuse_misplaced(message, at)
        if message.role in _SYSTEM_ROLES and not any(p.WhichOneof("part") == "other_json" for p in message.content):
            system += _system_blocks(message, fit, at)
        elif not _says_nothing(turn := _turn(message, fit, at)):
            _add(turns, turn)
    if messages[-1].role == pb.ROLE_USER and not (turns and turns[-1].role == "user"):
        raise invalid(f"messages[{len(messages) - 1}].content", "must not be blank")
    if not turns:
        raise invalid("messages", "at least one must have a role other than system")
    _trim(turns[-1])
    return _compact(system) if system else None, [_written(turn) for turn in turns]


def _trim(last: _Turn) -> None:
    """The API refuses a final assistant turn that ends in whitespace."""
    end = last.blocks[-1] if last.blocks else None
    if last.role == "assistant" and isinstance(end, dict) and end.get("type") == "text":
        last.blocks[-1] = end | {"text": end["text"].rstrip()}


def _refuse_misplaced(message: pb.Message, at: str) -> None:
    """Refuses fields of another role, which would be lost."""
    if message.tool_calls and message.role != pb.ROLE_ASSISTANT:
        raise invalid(f"{at}.tool_calls", "only an assistant calls tools")
    if message.role != pb.ROLE_TOOL:
        for field in ("tool_call_id", "tool_error"):
            if message.HasField(field):
                raise invalid(f"{at}.{field}", "only a tool message can have it")


def _system_blocks(message: pb.Message, fit: Fit, at: str) -> list[Any]:
    """System messages have no members of their own in this format, except the cache marker."""
    extra = _members(message, at)
    blocks = _marked(_blocks(message.content, fit, at), extra.pop(_MARK, None), fit)
    for name in extra:
        fit.refuse(f"{at}.{name}", f"messages[].{name}", "a system message has no such member in its format")
    return blocks


def _members(message: pb.Message, at: str) -> dict[str, msgspec.Raw]:
    return callers_object(message.extra_json, f"{at}.extra_json") if message.extra_json else {}


def _marked(blocks: list[Any], mark: msgspec.Raw | None, fit: Fit) -> list[Any]:
    """A cache marker on a message applies to its last block that can have one; a block's own marker takes
    precedence."""
    if mark is None:
        return blocks
    for number in reversed(range(len(blocks))):
        block = blocks[number]
        members = dict(callers_object(bytes(block).decode(), _MARK)) if isinstance(block, msgspec.Raw) else block
        if members.get("type") not in _UNMARKED:
            return [*blocks[:number], {_MARK: mark, **members}, *blocks[number + 1 :]]
    fit.leave_out(f"messages[].{_MARK}")
    return blocks


def _turn(message: pb.Message, fit: Fit, at: str) -> _Turn:
    match message.role:
        case pb.ROLE_USER:
            turn = _Turn("user", _blocks(message.content, fit, at))
        case pb.ROLE_ASSISTANT:
            calls = [_tool_use(call, fit, f"{at}.tool_calls[{n}]") for n, call in enumerate(message.tool_calls)]
            blocks = fit_documents(_blocks(message.content, fit, at), fit, at)
            turn = _Turn("assistant", [*blocks, *(call for call in calls if call is not None)])
        case pb.ROLE_TOOL:
            return _Turn("user", [_tool_result(message, fit, at)])
        case pb.ROLE_SYSTEM | pb.ROLE_DEVELOPER:
            turn = _Turn("system", _blocks(message.content, fit, at))
        case pb.ROLE_FUNCTION:
            raise fit.unsupported(f"{at}.role", "role function is retired; use role tool")
        case _:
            raise invalid(f"{at}.role", "a role is needed")
    extra = _members(message, at)
    turn.blocks = _marked(turn.blocks, extra.pop(_MARK, None), fit)
    turn.extra = merge_members({}, extra, at, _TURN)
    return turn


def _blocks(content: Sequence[pb.ContentPart], fit: Fit, at: str) -> list[Any]:
    blocks = [block_of(part, fit, f"{at}.content[{number}]") for number, part in enumerate(content)]
    return [block for block in blocks if block is not None and not _is_blank(block)]


def _is_blank(block: Any) -> bool:
    return isinstance(block, dict) and block.get("type") == "text" and not str(block.get("text", "")).strip()


def _is_result(block: Any) -> bool:
    return isinstance(block, dict) and block.get("type") == "tool_result"


def _tool_use(call: pb.ToolCall, fit: Fit, at: str) -> dict[str, Any] | None:
    if call.HasField("custom_input"):
        fit.refuse(f"{at}.custom", "messages[].tool_calls[].custom", "it only supports functions")
        return None
    arguments, same = as_object(call.arguments_json)
    if not same:
        fit.leave_out(NAME, needed=True)
    block = {
        "type": "tool_use",
        "id": CLAUDE_IDS.fit(call.id),
        "name": call.name,
        "input": msgspec.Raw(arguments.encode()),
    }
    merge_extra(block, call.extra_json, at, _TOOL_USE)
    if call.function_extra_json:
        merge_extra(block, call.function_extra_json, f"{at}.function", _TOOL_USE)
    return block


def _tool_result(message: pb.Message, fit: Fit, at: str) -> dict[str, Any]:
    if not message.tool_call_id:
        raise invalid(f"{at}.tool_call_id", "a tool message requires it")
    block: dict[str, Any] = {"type": "tool_result", "tool_use_id": CLAUDE_IDS.fit(message.tool_call_id)}
    if blocks := _blocks(message.content, fit, at):
        block["content"] = _compact(blocks)
    if message.HasField("tool_error"):
        block["is_error"] = message.tool_error
    return merge_extra(block, message.extra_json, at, _TOOL_RESULT)


def _says_nothing(turn: _Turn) -> bool:
    """Whether a turn is empty, because its reasoning is not sent back or its text is blank."""
    return not turn.blocks and not turn.extra


def _add(turns: list[_Turn], turn: _Turn) -> None:
    if turns and turns[-1].role == turn.role and not turns[-1].extra and not turn.extra:
        turns[-1].blocks += turn.blocks
    else:
        turns.append(turn)


def _written(turn: _Turn) -> dict[str, Any]:
    turn.blocks.sort(key=lambda block: not _is_result(block))  # stable: results first, the rest keeps its order
    return {"role": turn.role, "content": _compact(turn.blocks), **turn.extra}


def _compact(blocks: list[Any]) -> Any:
    """Writes a lone text without further members as a string, as most clients do."""
    if len(blocks) == 1 and isinstance(blocks[0], dict) and blocks[0].keys() == {"type", "text"}:
        return blocks[0]["text"]
    return blocks
