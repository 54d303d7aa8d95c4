"""Faults chosen in the request itself, for tests in another process: a model named `sim:...` or a member `sim`.

`sim:tokens=50,gap_ms=10` as the model's name, or `"sim": "tokens=50"` / `"sim": {"tokens": 50}` in the body (it wins).

    tokens=N         the answer has N words          dims=N          embeddings of N numbers
    content_bytes=N  the answer is N bytes long      event_bytes=N   one event more, of about N bytes
    status=N         an error answer                 message=TEXT    its words (no comma)      code=WORD  its code
    retry_after=S    seconds, with any status        echo_key=1      a 401 that repeats the key it was sent
    end=WORD         cut, rst, stall, garbage, half_close: after everything, or after
    after=N          N events, or                    cut_at=N        N bytes of the body (0: right after the head)
    head=0           no byte at all before `end`     no_done=1       the stream lacks its end marker
    head_ms=N        before the status line          first_ms=N      before the first body byte
    gap_ms=N         between events                  slice=N         writes of N bytes
    gate=NAME        holds before the first event (gate_at=N: before event N; -1: before the head) until released
    gzip=1           framing=length|chunked|close    close=announced|silent
    times=N          the faults hold for the first N calls with this very `sim`, later ones get a healthy answer
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from tests.provider.defaults import default_reply, error_reply, is_anthropic
from tests.provider.record import Call
from tests.provider.reply import End, Framing, Gate, Part, Reply, data, event

SPEECH = ("tokens", "dims", "content_bytes", "event_bytes", "status", "message", "code", "retry_after", "echo_key")
ENDING = ("end", "after", "cut_at", "head", "no_done", "close", "times")
TIMING = ("head_ms", "first_ms", "gap_ms", "slice", "gate", "gate_at", "gzip", "framing")
KNOWN = frozenset(SPEECH + ENDING + TIMING)
ENDS = {end.name.lower(): end for end in End}


def wishes(body: Mapping[str, Any]) -> dict[str, str]:
    """Returns the options of the request. Raises ValueError on an unknown option, so that a typo is not taken for a
    healthy call."""
    member, model = body.get("sim"), body.get("model")
    if isinstance(member, dict):
        wanted = {str(name): str(value) for name, value in member.items()}
    else:
        text = member if isinstance(member, str) else str(model or "")[4:] if str(model).startswith("sim:") else ""
        wanted = dict(word.strip().partition("=")[::2] for word in text.split(",") if word.strip())
    unknown = wanted.keys() - KNOWN
    if unknown:
        raise ValueError(f"the simulator does not know {sorted(unknown)}")
    return wanted


class Faults:
    """Turns options into replies, and counts how often each was used, for `times`."""

    def __init__(self, gate: Callable[[str], Gate]) -> None:
        self._gate = gate
        self._played: Counter[str] = Counter()

    def reply(self, call: Call, body: Mapping[str, Any]) -> Reply:
        try:
            wanted = wishes(body)
        except ValueError as problem:
            return error_reply(call, 400, str(problem), code="unknown_sim")
        if "times" in wanted:
            text = repr(sorted(wanted.items()))
            self._played[text] += 1
            if self._played[text] > int(wanted["times"]):
                return default_reply(call, body)
        return _timed(self._gated(_ended(_answer(call, body, wanted), wanted), wanted), wanted)

    def _gated(self, reply: Reply, wanted: Mapping[str, str]) -> Reply:
        if "gate" not in wanted:
            return reply
        gate, index = self._gate(wanted["gate"]), int(wanted.get("gate_at", "0"))
        if index < 0:
            return replace(reply, before=gate)
        parts = list(reply.parts)
        parts.insert(index, gate)
        return replace(reply, parts=parts)


def _answer(call: Call, body: Mapping[str, Any], wanted: Mapping[str, str]) -> Reply:
    later = (("retry-after", wanted["retry_after"]),) if "retry_after" in wanted else ()
    if wanted.get("echo_key") == "1":
        return error_reply(call, 401, f"Incorrect API key provided: {call.key}.", "invalid_api_key", later)
    status = int(wanted.get("status", "200"))
    if status != 200:
        return error_reply(call, status, wanted.get("message", f"simulated {status}"), wanted.get("code"), later)
    if "content_bytes" in wanted:
        size = int(wanted["content_bytes"])
        body = {**body, "messages": [{"role": "user", "content": "x" * (size - len("echo: "))}]}
    count = int(wanted["tokens"]) if "tokens" in wanted else None
    reply = default_reply(call, body, count, int(wanted.get("dims", "0")))
    parts = list(reply.parts)
    if "event_bytes" in wanted:
        parts.insert(len(parts) // 2, _big_event(call, body, int(wanted["event_bytes"])))
    if wanted.get("no_done") == "1":
        parts.pop()
    return replace(reply, parts=parts, headers=reply.headers + later)


def _big_event(call: Call, body: Mapping[str, Any], size: int) -> bytes:
    text = "y" * size
    if is_anthropic(call):
        delta = {"type": "text_delta", "text": text}
        return event("content_block_delta", {"type": "content_block_delta", "index": 0, "delta": delta})
    choice = {"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": None}
    head = {"id": f"chatcmpl-sim{call.id}", "object": "chat.completion.chunk", "created": 1_700_000_000}
    return data({**head, "model": body.get("model", ""), "choices": [choice]})


def _ended(reply: Reply, wanted: Mapping[str, str]) -> Reply:
    cut_at = int(wanted["cut_at"]) if "cut_at" in wanted else None
    if "after" in wanted:
        byte_parts: list[Part] = [part for part in reply.parts if isinstance(part, bytes)]
        cut_at = sum(len(part) for part in byte_parts[: int(wanted["after"])] if isinstance(part, bytes))
    end = ENDS[wanted["end"]] if "end" in wanted else End.NORMAL if cut_at is None else End.CUT
    return replace(reply, end=end, cut_at=cut_at, head=wanted.get("head", "1") == "1")


def _timed(reply: Reply, wanted: Mapping[str, str]) -> Reply:
    def seconds(name: str) -> float:
        return float(wanted.get(name, "0")) / 1000

    return replace(
        reply,
        head_delay_s=seconds("head_ms"),
        first_delay_s=seconds("first_ms"),
        gap_s=seconds("gap_ms"),
        slice_bytes=int(wanted.get("slice", "0")),
        gzip=wanted.get("gzip") == "1",
        framing=Framing(wanted["framing"]) if "framing" in wanted else reply.framing,
        then_close=wanted.get("close", ""),
    )
