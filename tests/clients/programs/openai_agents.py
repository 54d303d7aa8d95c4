"""OpenAI's agents SDK over chat completions (its default is the Responses API)."""

from __future__ import annotations

from typing import Any

from checks import ABOUT_PARIS, PROMPT, WEATHER, Route, get_weather, run
from agents import Agent, ModelSettings, Runner, function_tool
from pydantic import BaseModel

# settings
import os

from agents import OpenAIChatCompletionsModel, set_tracing_disabled
from openai import AsyncOpenAI

set_tracing_disabled(True)  # traces go to OpenAI, with a key of OpenAI
client = AsyncOpenAI(base_url=os.environ["SIDECAR_URL"] + "/v1", api_key=os.environ["SIDECAR_API_KEY"])


def model(route: str) -> OpenAIChatCompletionsModel:
    return OpenAIChatCompletionsModel(model=route, openai_client=client)


# end


class City(BaseModel):
    """A city."""

    city: str
    population: int


def agent(route: Route, extra: dict[str, Any] | None = None, **more: Any) -> Agent:
    settings = ModelSettings(max_tokens=route.tokens_max, extra_body=extra)
    return Agent(name="Guide", instructions="You are brief.", model=model(route.name), model_settings=settings, **more)


async def answer(route: Route) -> Any:
    return (await Runner.run(agent(route), PROMPT)).final_output


async def stream(route: Route) -> Any:
    result = Runner.run_streamed(agent(route), PROMPT)
    return [
        event.data.delta
        async for event in result.stream_events()
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta"
    ]


async def tools(route: Route) -> Any:
    return await both(route, None)


async def thinking(route: Route) -> Any:
    return await both(route, route.thinking)


async def both(route: Route, extra: dict[str, Any] | None) -> Any:
    guide = agent(route, extra, tools=[function_tool(get_weather)])
    whole = (await Runner.run(guide, WEATHER)).final_output
    result = Runner.run_streamed(guide, WEATHER)
    async for _ in result.stream_events():
        pass
    return {"whole": whole, "streamed": result.final_output}


async def structured(route: Route) -> Any:
    return (await Runner.run(agent(route, output_type=City), ABOUT_PARIS)).final_output.model_dump()


run(answer, stream, tools, thinking, structured)
