"""Haystack: OpenAIChatGenerator and OpenAITextEmbedder."""

from __future__ import annotations

from typing import Any

from checks import ABOUT_PARIS, PROMPT, TEXTS, TOOL, WEATHER, Route, get_weather, rounded, run
from haystack.dataclasses import ChatMessage
from haystack.tools import Tool
from pydantic import BaseModel

# settings
import os

from haystack.components.embedders import OpenAITextEmbedder
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.utils import Secret

settings = {"api_base_url": os.environ["SIDECAR_URL"] + "/v1", "api_key": Secret.from_env_var("SIDECAR_API_KEY")}


def model(route: str, **more: Any) -> OpenAIChatGenerator:
    return OpenAIChatGenerator(model=route, **settings, **more)


def vectors(route: str) -> OpenAITextEmbedder:
    return OpenAITextEmbedder(model=route, **settings)


# end


class City(BaseModel):
    """A city."""

    city: str
    population: int


def answer(route: Route) -> Any:
    return ask(route, [ChatMessage.from_user(PROMPT)]).text


def ask(route: Route, messages: list[ChatMessage], extra: dict[str, Any] | None = None, **more: Any) -> ChatMessage:
    wanted = {"max_tokens": route.tokens_max, **({"extra_body": extra} if extra else {}), **more.pop("settings", {})}
    return model(route.name, generation_kwargs=wanted, **more).run(messages)["replies"][0]


def stream(route: Route) -> Any:
    pieces: list[str] = []
    ask(route, [ChatMessage.from_user(PROMPT)], streaming_callback=lambda chunk: pieces.append(chunk.content))
    return [piece for piece in pieces if piece]


def tools(route: Route) -> Any:
    return {"whole": loop(route, None, None), "streamed": loop(route, None, lambda chunk: None)}


def thinking(route: Route) -> Any:
    return {"whole": loop(route, route.thinking, None), "streamed": loop(route, route.thinking, lambda chunk: None)}


def loop(route: Route, extra: dict[str, Any] | None, callback: Any) -> Any:
    function = TOOL["function"]
    tool = Tool(function["name"], function["description"], function["parameters"], get_weather)
    messages = [ChatMessage.from_user(WEATHER)]
    for _ in range(2):
        message = ask(route, messages, extra, tools=[tool], streaming_callback=callback)
        messages.append(message)
        messages += [ChatMessage.from_tool(get_weather(**call.arguments), origin=call) for call in message.tool_calls]
    return message.text


def structured(route: Route) -> Any:
    got = ask(route, [ChatMessage.from_user(ABOUT_PARIS)], settings={"response_format": City})
    return City.model_validate_json(got.text).model_dump()


def embeddings(route: Route) -> Any:
    return rounded(vectors(route.embeddings).run(text)["embedding"] for text in TEXTS)


run(answer, stream, tools, thinking, structured, embeddings)
