"""Instructor: answers as Pydantic models, in each of its modes."""

from __future__ import annotations

from typing import Any

from checks import ABOUT_PARIS, Route, each, run
from pydantic import BaseModel

# settings
import os

import instructor
from openai import OpenAI

openai = OpenAI(base_url=os.environ["SIDECAR_URL"] + "/v1", api_key=os.environ["SIDECAR_API_KEY"])
client = instructor.from_openai(openai, mode=instructor.Mode.TOOLS)
# end


class City(BaseModel):
    """A city."""

    city: str
    population: int


def structured(route: Route) -> Any:
    wanted = {
        "model": route.name,
        "messages": [{"role": "user", "content": ABOUT_PARIS}],
        "max_tokens": route.tokens_max,
    }

    def one(mode: instructor.Mode) -> Any:
        made = instructor.from_openai(openai, mode=mode)
        return made.chat.completions.create(response_model=City, max_retries=1, **wanted).model_dump()

    def partial() -> Any:
        return list(client.chat.completions.create_partial(response_model=City, **wanted))[-1].model_dump()

    return each(
        tools=lambda: one(instructor.Mode.TOOLS),
        tools_strict=lambda: one(instructor.Mode.TOOLS_STRICT),
        json_schema=lambda: one(instructor.Mode.JSON_SCHEMA),
        json=lambda: one(instructor.Mode.JSON),
        partial=partial,
    )


run(structured)
