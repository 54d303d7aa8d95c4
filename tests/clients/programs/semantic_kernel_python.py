"""Semantic Kernel for Python: OpenAIChatCompletion and OpenAITextEmbedding with OpenAI's client."""

from __future__ import annotations

from typing import Any

from checks import ABOUT_PARIS, PROMPT, TEXTS, WEATHER, Route, get_weather, rounded, run
from pydantic import BaseModel
from semantic_kernel import Kernel
from semantic_kernel.connectors.ai.function_choice_behavior import FunctionChoiceBehavior
from semantic_kernel.connectors.ai.open_ai import OpenAIChatPromptExecutionSettings
from semantic_kernel.contents import ChatHistory
from semantic_kernel.functions import kernel_function

# settings
import os

from openai import AsyncOpenAI
from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion, OpenAITextEmbedding

client = AsyncOpenAI(base_url=os.environ["SIDECAR_URL"] + "/v1", api_key=os.environ["SIDECAR_API_KEY"])


def model(route: str) -> OpenAIChatCompletion:
    return OpenAIChatCompletion(ai_model_id=route, async_client=client)


def vectors(route: str) -> OpenAITextEmbedding:
    return OpenAITextEmbedding(ai_model_id=route, async_client=client)


# end


class City(BaseModel):
    """A city."""

    city: str
    population: int


class Weather:
    """The plugin with the tool."""

    @kernel_function(name="get_weather", description="The weather in a city.")
    def get_weather(self, city: str) -> str:
        return get_weather(city)


def asking(prompt: str) -> ChatHistory:
    history = ChatHistory()
    history.add_user_message(prompt)
    return history


def settings(route: Route, **more: Any) -> OpenAIChatPromptExecutionSettings:
    return OpenAIChatPromptExecutionSettings(max_tokens=route.tokens_max, **more)


async def answer(route: Route) -> Any:
    return str(await model(route.name).get_chat_message_content(asking(PROMPT), settings(route)))


async def stream(route: Route) -> Any:
    chunks = model(route.name).get_streaming_chat_message_content(asking(PROMPT), settings(route))
    return [str(chunk) async for chunk in chunks if chunk is not None and str(chunk)]


async def tools(route: Route) -> Any:
    return await both(route, None)


async def thinking(route: Route) -> Any:
    return await both(route, route.thinking)


async def both(route: Route, extra: dict[str, Any] | None) -> Any:
    kernel = Kernel()
    kernel.add_plugin(Weather(), "weather")
    wanted = settings(route, function_choice_behavior=FunctionChoiceBehavior.Auto(), extra_body=extra)
    whole = await model(route.name).get_chat_message_content(asking(WEATHER), wanted, kernel=kernel)
    chunks = model(route.name).get_streaming_chat_message_content(asking(WEATHER), wanted, kernel=kernel)
    return {"whole": str(whole), "streamed": "".join([str(chunk) async for chunk in chunks if chunk is not None])}


async def structured(route: Route) -> Any:
    wanted = settings(route, response_format=City)
    got = await model(route.name).get_chat_message_content(asking(ABOUT_PARIS), wanted)
    return City.model_validate_json(str(got)).model_dump()


async def embeddings(route: Route) -> Any:
    return rounded(await vectors(route.embeddings).generate_embeddings(TEXTS))


run(answer, stream, tools, thinking, structured, embeddings)
