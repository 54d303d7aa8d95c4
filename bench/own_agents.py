"""`python -m bench.own_agents`: what a request of an agent's usual size, 116 KB, costs a worker in CPU, at each door: where its
bytes pass, and where it is translated. Claude Code sends as much: a long system prompt, two dozen tools, calls and their results.

As `bench.own_streams` measures, without a network; each answer is a stream of 20 chunks. A figure is that of the large request
less that of one with a single word, so it is what the body costs. In brackets: how often Python's own `json` reads and writes the
body in that time, which depends less on the machine.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import uvloop

from bench.own_streams import SHORT, Case, anthropic_answer, cpu_us, openai_answer, responses_answer

BYTES = 116 * 1024
_SYSTEM = "You are an agent. Be careful with files, and say what you do.\n" * 16
_SCHEMA = {
    "type": "object",
    "properties": {
        f"argument_{number}": {"type": "string", "description": "What this argument is for, in a sentence or two. " * 2}
        for number in range(8)
    },
    "required": ["argument_0"],
    "additionalProperties": False,
}
_DESCRIPTION = "What the tool does, when to use it, and when not to. " * 20
_TOOLS = 24
_ROUND = 3_000
PASSED, TRANSLATED = 2.5, 10.0
Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Agent:
    """One row. `readings_max` is what the body may cost: where Python reads and writes it in half a millisecond, 1.25 ms if it
    passes, and 5 ms if it is translated."""

    case: Case
    body: Callable[[int], Body]
    readings_max: float


def _result(number: int) -> str:
    return (f'{number}: a line of what the tool found, with "quotes" and é\n' * 60)[:_ROUND]


def messages(rounds: int) -> Body:
    mark = {"cache_control": {"type": "ephemeral"}}
    turns: list[Body] = [{"role": "user", "content": [{"type": "text", "text": "Fix the bug.", **mark}]}]
    for number in range(rounds):
        use = {"type": "tool_use", "id": f"toolu_{number}", "name": "tool_0", "input": {"argument_0": "x" * 80}}
        turns.append({"role": "assistant", "content": [{"type": "text", "text": "I look."}, use]})
        result = {"type": "tool_result", "tool_use_id": f"toolu_{number}", "content": _result(number)}
        turns.append({"role": "user", "content": [result]})
    tools = [
        {"name": f"tool_{number}", "description": _DESCRIPTION, "input_schema": _SCHEMA}
        for number in range(_TOOLS if rounds else 0)
    ]
    system = [{"type": "text", "text": _SYSTEM if rounds else "Be short.", **mark}]
    return {"model": "r", "max_tokens": 100, "stream": True, "system": system, "messages": turns, "tools": tools}


def responses(rounds: int) -> Body:
    items: list[Body] = [{"role": "user", "content": "Fix the bug."}]
    for number in range(rounds):
        call = {"type": "function_call", "call_id": f"call_{number}", "name": "tool_0"}
        items.append({**call, "arguments": json.dumps({"argument_0": "x" * 80})})
        items.append({"type": "function_call_output", "call_id": f"call_{number}", "output": _result(number)})
    tools = [
        {
            "type": "function",
            "name": f"tool_{number}",
            "description": _DESCRIPTION,
            "parameters": _SCHEMA,
            "strict": False,
        }
        for number in range(_TOOLS if rounds else 0)
    ]
    instructions = _SYSTEM if rounds else "Be short."
    return {"model": "r", "stream": True, "store": False, "instructions": instructions, "input": items, "tools": tools}


def chat(rounds: int) -> Body:
    turns: list[Body] = [
        {"role": "system", "content": _SYSTEM if rounds else "Be short."},
        {"role": "user", "content": "Fix the bug."},
    ]
    for number in range(rounds):
        function = {"name": "tool_0", "arguments": json.dumps({"argument_0": "x" * 80})}
        call = {"id": f"call_{number}", "type": "function", "function": function}
        turns.append({"role": "assistant", "content": "I look.", "tool_calls": [call]})
        turns.append({"role": "tool", "tool_call_id": f"call_{number}", "content": _result(number)})
    tools = [
        {"type": "function", "function": {"name": f"tool_{n}", "description": _DESCRIPTION, "parameters": _SCHEMA}}
        for n in range(_TOOLS if rounds else 0)
    ]
    return {"model": "r", "stream": True, "messages": turns, "tools": tools}


def _case(name: str, provider: str, answer: Any, door: str = "ChatCompletions") -> Case:
    return Case(name, provider, answer, typed=False, door=door)


AGENTS = (
    Agent(_case("Messages, passed", "anthropic", anthropic_answer, "CreateMessage"), messages, PASSED),
    Agent(_case("Messages, translated to chat", "openai", openai_answer, "CreateMessage"), messages, TRANSLATED),
    Agent(_case("Responses, passed", "openai", responses_answer, "CreateResponse"), responses, PASSED),
    Agent(
        _case("Responses, translated to Messages", "anthropic", anthropic_answer, "CreateResponse"),
        responses,
        TRANSLATED,
    ),
    Agent(_case("chat, passed", "openai", openai_answer), chat, PASSED),
    Agent(_case("chat, passed to Ollama", "ollama", openai_answer), chat, PASSED),
    Agent(_case("chat, translated to Messages", "anthropic", anthropic_answer), chat, TRANSLATED),
)


def large(body: Callable[[int], Body]) -> bytes:
    """A body of BYTES, or a round of tools more."""
    rounds = 1
    while len(written := json.dumps(body(rounds)).encode()) < BYTES:
        rounds += 1
    return written


def cost_us(agent: Agent, streams: int) -> float:
    """Of the body."""
    small, whole = json.dumps(agent.body(0)).encode(), large(agent.body)
    few, many = (uvloop.run(cpu_us(agent.case, SHORT, streams, body=each)) for each in (small, whole))
    return many - few


def reading_us(body: bytes, rounds: int) -> float:
    """Of Python's own json, to read and to write it; the cheapest of five."""
    found = []
    for _ in range(5):
        began = time.process_time()
        for _ in range(rounds):
            json.dumps(json.loads(body))
        found.append((time.process_time() - began) / rounds * 1e6)
    return min(found)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.own_agents", description=__doc__)
    parser.add_argument("--streams", type=int, default=40, help="streams a round")
    arguments = parser.parse_args()
    for agent in AGENTS:
        body = large(agent.body)
        cost, reading = cost_us(agent, arguments.streams), reading_us(body, arguments.streams)
        print(
            f"{agent.case.name:36} {len(body) // 1024:4} KB  {cost / 1000:6.2f} ms ({cost / reading:.2f})", flush=True
        )


if __name__ == "__main__":
    main()
