"""llm, the command line: a file names the models."""

from __future__ import annotations

import inspect
import json
import os
from pathlib import Path
from typing import Any

from checks import ABOUT_PARIS, PROMPT, SCHEMA, WEATHER, Route, run
from command_lines import BIN, expanded, output_of

MODELS = """\
# settings sh
cat > "$(dirname "$(llm logs path)")/extra-openai-models.yaml" <<EOF
- model_id: gpt
  model_name: gpt
  api_base: $SIDECAR_URL/v1
  api_key_name: gateway
  supports_tools: true
  supports_schema: true
- model_id: claude
  model_name: claude
  api_base: $SIDECAR_URL/v1
  api_key_name: gateway
  supports_tools: true
  supports_schema: true
EOF
llm keys set gateway --value "$SIDECAR_API_KEY"
# end
"""
FOLDER = Path.cwd()
ENV = {"LLM_USER_PATH": str(FOLDER)}
LLM = str(BIN / "llm")
TOOL = '''
def get_weather(city: str) -> str:
    """The weather in a city."""
    return "21 degrees"
'''


def settle() -> None:
    yaml = MODELS.split("<<EOF\n")[1].split("EOF\n")[0]
    (FOLDER / "extra-openai-models.yaml").write_text(expanded(yaml))
    (FOLDER / "keys.json").write_text(json.dumps({"gateway": os.environ["SIDECAR_API_KEY"]}))  # as the last line does


def answer(route: Route) -> Any:
    return output_of(LLM, "-m", route.name, PROMPT, **ENV)


def tools(route: Route) -> Any:
    return output_of(LLM, "-m", route.name, "--functions", inspect.cleandoc(TOOL), WEATHER, **ENV)


def structured(route: Route) -> Any:
    return json.loads(output_of(LLM, "-m", route.name, "--schema", json.dumps(SCHEMA), ABOUT_PARIS, **ENV))


settle()
run(answer, tools, structured)
