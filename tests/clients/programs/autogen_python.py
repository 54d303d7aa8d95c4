"""AutoGen: an assistant on OpenAIChatCompletionClient."""

from __future__ import annotations

from typing import Any

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import TaskResult
from autogen_agentchat.messages import ModelClientStreamingChunkEvent
from autogen_core.models import UserMessage
from checks import ABOUT_PARIS, PROMPT, WEATHER, Route, get_weather, run
from pydantic import BaseModel

# settings
import os

from autogen_ext.models.openai import OpenAIChatCompletionClient


def model(route: str, **more: Any) -> OpenAIChatCompletionClient:
    return OpenAIChatCompletionClient(
        model=route,
        base_url=os.environ["SIDECAR_URL"] + "/v1",
        api_key=os.environ["SIDECAR_API_KEY"],
        model_info={
            "vision": False,
            "function_calling": True,
            "json_output": True,
            "structured_output": True,
            "family": "unknown",
        },
        **more,
    )


# end


class City(BaseModel):
    """A city."""

    city: str
    population: int


def assistant(route: Route, **more: Any) -> AssistantAgent:
    extra = more.pop("extra", None)
    settings = {"max_tokens": route.tokens_max, **({"extra_body": extra} if extra else {})}
    return AssistantAgent("guide", model(route.name, **settings), **more)


async def answer(route: Route) -> Any:
    return (await assistant(route).run(task=PROMPT)).messages[-1].content


async def stream(route: Route) -> Any:
    events = assistant(route, model_client_stream=True).run_stream(task=PROMPT)
    return [event.content async for event in events if isinstance(event, ModelClientStreamingChunkEvent)]


async def tools(route: Route) -> Any:
    return await both(route, None)


async def thinking(route: Route) -> Any:
    return await both(route, route.thinking)


async def both(route: Route, extra: dict[str, Any] | None) -> Any:
    async def get(city: str) -> str:
        return get_weather(city)

    get.__name__ = "get_weather"
    get.__doc__ = get_weather.__doc__
    found = {}
    for name, streamed in (("whole", False), ("streamed", True)):
        guide = assistant(
            route,
            tools=[get],
            reflect_on_tool_use=True,
            model_client_stream=streamed,
            extra=extra,
            description="A guide.",
        )
        async for event in guide.run_stream(task=WEATHER):
            if isinstance(event, TaskResult):
                found[name] = event.messages[-1].content
    return found


async def structured(route: Route) -> Any:
    client = model(route.name, max_tokens=route.tokens_max)
    got = await client.create([UserMessage(content=ABOUT_PARIS, source="user")], json_output=City)
    return City.model_validate_json(got.content).model_dump()


run(answer, stream, tools, thinking, structured)
