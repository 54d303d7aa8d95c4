"""Qwen Code, a coding agent, without a terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from checks import ABOUT_PARIS, PROMPT, SCHEMA, TEMPERATURE, WEATHER, Route, run
from command_lines import BIN, output_of

LINES = """\
# settings sh
qwen --auth-type openai --model claude "What is in this folder?"
# end
"""
FOLDER = Path.cwd()
QWEN = (str(BIN / "node"), "node_modules/@qwen-code/qwen-code/cli-entry.js", "--auth-type", "openai")
# It looks for newer versions, and sends statistics.
ALONE = {"general": {"enableAutoUpdate": False}, "privacy": {"usageStatisticsEnabled": False}}


def ask(route: Route, prompt: str, *options: str, **extra: Any) -> str:
    """It always streams. `extra` are members of its requests."""
    settings = FOLDER / ".qwen" / "settings.json"
    settings.parent.mkdir(exist_ok=True)
    settings.write_text(json.dumps({**ALONE, "model": {"generationConfig": {"extra_body": extra}}}))
    return output_of(*QWEN, "--model", route.name, *options, prompt)


def look_up(route: Route, **extra: Any) -> str:
    (FOLDER / "Paris").write_text(TEMPERATURE)
    return ask(route, f"{WEATHER} Call read_file with file_path={FOLDER}/Paris", **extra)


def answer(route: Route) -> Any:
    return ask(route, PROMPT)


def stream(route: Route) -> Any:
    lines = ask(route, PROMPT, "--output-format", "stream-json", "--include-partial-messages").splitlines()
    deltas = [json.loads(line).get("event", {}).get("delta", {}) for line in lines]
    return [delta["text"] for delta in deltas if delta.get("type") == "text_delta"]


def tools(route: Route) -> Any:
    return look_up(route)


def thinking(route: Route) -> Any:
    return look_up(route, **route.thinking)


def structured(route: Route) -> Any:
    """By a tool that ends the work."""
    prompt = f"{ABOUT_PARIS} Call structured_output."
    events = json.loads(ask(route, prompt, "--output-format", "json", "--json-schema", json.dumps(SCHEMA)))
    return events[-1]["structured_result"]


run(answer, stream, tools, thinking, structured)
