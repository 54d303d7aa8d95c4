"""aider: it calls no tools; what it changes in files comes as text."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from checks import PROMPT, Route, run
from command_lines import BIN, output_of

LINES = """\
# settings sh
aider --model openai/claude
# end
"""
FOLDER = Path.cwd()
QUIET = (
    "--no-git",
    "--yes-always",
    "--no-check-update",
    "--no-show-release-notes",
    "--no-show-model-warnings",
    "--analytics-disable",
    "--no-pretty",
)
# Below the list of what it works with, above the count of tokens.
_TEXT = re.compile(r"^Repo-map: .*?\n\n(.*?)\n+Tokens: ", re.DOTALL | re.MULTILINE)


def settle(route: Route) -> None:
    # It fetches a list of prices once a day.
    prices = FOLDER / ".aider" / "caches" / "model_prices_and_context_window.json"
    prices.parent.mkdir(parents=True, exist_ok=True)
    prices.write_text('{"a model": {}}')
    limits = {"name": f"openai/{route.name}", "extra_params": {"max_tokens": route.tokens_max}}
    (FOLDER / ".aider.model.settings.yml").write_text(json.dumps([limits]))


def ask(route: Route, *options: str) -> str:
    settle(route)
    printed = output_of(str(BIN / "aider"), "--model", f"openai/{route.name}", *QUIET, *options, "--message", PROMPT)
    found = _TEXT.search(printed)
    if found is None:
        raise RuntimeError(printed[-400:])
    return found[1].strip()


def answer(route: Route) -> Any:
    return ask(route, "--no-stream")


def stream(route: Route) -> Any:
    return ask(route, "--stream")


run(answer, stream)
