"""Pydantic AI, 1.x and later: its agent on an OpenAI-compatible model."""

from __future__ import annotations

from typing import Any

from checks import ABOUT_PARIS, PROMPT, WEATHER, Route, get_weather, run
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput, ToolOutput
from pydantic_ai.models.openai import OpenAIChatModelSettings

# settings
import os

from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

provider = OpenAIProvider(base_url=os.environ["SIDECAR_URL"] + "/v1", api_key=os.environ["SIDECAR_API_KEY"])


def model(route: str) -> OpenAIChatModel:
    return OpenAIChatModel(route, provider=provider)


# end


class City(BaseModel):
    """A city."""

    city: str
    population: int


def settings(route: Route, extra: dict[str, Any] | None = None) -> OpenAIChatModelSettings:
    return OpenAIChatModelSettings(max_tokens=route.tokens_max, extra_body=extra)


async def answer(route: Route) -> Any:
    return (await Agent(model(route.name), model_settings=settings(route)).run(PROMPT)).output


async def stream(route: Route) -> Any:
    async with Agent(model(route.name), model_settings=settings(route)).run_stream(PROMPT) as result:
        return [piece async for piece in result.stream_text(delta=True, debounce_by=None)]


async def tools(route: Route) -> Any:
    return await both(route, None)


async def thinking(route: Route) -> Any:
    return await both(route, route.thinking)


async def both(route: Route, extra: dict[str, Any] | None) -> Any:
    agent = Agent(model(route.name), model_settings=settings(route, extra), tools=[get_weather])
    whole = (await agent.run(WEATHER)).output
    async with agent.run_stream(WEATHER) as result:
        return {"whole": whole, "streamed": await result.get_output()}


async def structured(route: Route) -> Any:
    found = {}
    for name, form in {"native": NativeOutput(City), "tool": ToolOutput(City)}.items():
        agent = Agent(model(route.name), model_settings=settings(route), output_type=form)
        found[name] = (await agent.run(ABOUT_PARIS)).output.model_dump()
    return found


run(answer, stream, tools, thinking, structured)
