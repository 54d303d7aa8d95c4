"""opencode, a coding agent: a file in the project names the gateway as a provider, and its routes as models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from checks import PROMPT, TEMPERATURE, WEATHER, Route, run
from command_lines import output_of

CONFIG = """\
# settings sh
cat > opencode.json <<'EOF'
{
  "$schema": "https://opencode.ai/config.json",
  "provider": {
    "gateway": {
      "npm": "@ai-sdk/openai-compatible",
      "name": "Gateway",
      "options": {"baseURL": "{env:SIDECAR_URL}/v1", "apiKey": "{env:SIDECAR_API_KEY}"},
      "models": {"gpt": {}, "claude": {}}
    }
  }
}
EOF
opencode run --model gateway/claude "What is in this folder?"
# end
"""
FOLDER = Path.cwd()
OPENCODE = next(FOLDER.glob("node_modules/opencode-linux-*/bin/opencode"))
# It looks for newer versions, lists of models and language servers on the network.
ALONE = dict.fromkeys(
    ("OPENCODE_DISABLE_AUTOUPDATE", "OPENCODE_DISABLE_MODELS_FETCH", "OPENCODE_DISABLE_LSP_DOWNLOAD"), "true"
)


def settle(route: Route, extra: dict[str, Any]) -> None:
    config = json.loads(CONFIG.split("<<'EOF'\n")[1].split("EOF\n")[0])
    # Options of a model go into the body; efforts it knows by a name of its own.
    options = {{"reasoning_effort": "reasoningEffort"}.get(name, name): value for name, value in extra.items()}
    config["provider"]["gateway"]["models"][route.name] = {"options": options}
    (FOLDER / "opencode.json").write_text(json.dumps(config))


def ask(route: Route, prompt: str, *options: str, **extra: Any) -> str:
    """It always streams, and prints the whole text."""
    settle(route, extra)
    command = (str(OPENCODE), "run", "--title", "A test", "--model", f"gateway/{route.name}", *options, prompt)
    return output_of(*command, **ALONE)


def look_up(route: Route, **extra: Any) -> str:
    (FOLDER / "Paris").write_text(TEMPERATURE)
    return ask(route, f"{WEATHER} Call read with filePath={FOLDER}/Paris", **extra)


def answer(route: Route) -> Any:
    return ask(route, PROMPT)


def stream(route: Route) -> Any:
    events = [json.loads(line) for line in ask(route, PROMPT, "--format", "json").splitlines()]
    return "".join(event["part"]["text"] for event in events if event["type"] == "text")


def tools(route: Route) -> Any:
    return look_up(route)


def thinking(route: Route) -> Any:
    return look_up(route, **route.thinking)


run(answer, stream, tools, thinking)
