"""smolagents: OpenAIServerModel, and an agent that calls tools."""

from __future__ import annotations

from typing import Any

from checks import PROMPT, WEATHER, Route, run
from checks import get_weather as weather_of
from smolagents import ToolCallingAgent, tool
from smolagents.models import ChatMessage, MessageRole

# settings
import os

from smolagents import OpenAIServerModel


def model(route: str, **more: Any) -> OpenAIServerModel:
    url = os.environ["SIDECAR_URL"] + "/v1"
    return OpenAIServerModel(model_id=route, api_base=url, api_key=os.environ["SIDECAR_API_KEY"], **more)


# end


@tool
def get_weather(city: str) -> str:
    """The weather in a city.

    Args:
        city: The city's name.
    """
    return weather_of(city)


def asking(prompt: str) -> list[ChatMessage]:
    return [ChatMessage(role=MessageRole.USER, content=[{"type": "text", "text": prompt}])]


def answer(route: Route) -> Any:
    return model(route.name, max_tokens=route.tokens_max).generate(asking(PROMPT)).content


def stream(route: Route) -> Any:
    chunks = model(route.name, max_tokens=route.tokens_max).generate_stream(asking(PROMPT))
    return [chunk.content for chunk in chunks if chunk.content]


def tools(route: Route) -> Any:
    agent = ToolCallingAgent(
        tools=[get_weather], model=model(route.name, max_tokens=route.tokens_max), verbosity_level=0
    )
    agent.run(WEATHER, max_steps=2)
    return str(agent.memory.steps[1].observations)


run(answer, stream, tools)
