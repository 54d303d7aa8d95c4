"""LiteLLM as an SDK: any OpenAI-compatible server is provider openai."""

from __future__ import annotations

import json
from typing import Any

from checks import ABOUT_PARIS, PROMPT, TEXTS, TOOL, WEATHER, Route, get_weather, rounded, run
from pydantic import BaseModel

# settings
import os

import litellm

settings = {"api_base": os.environ["SIDECAR_URL"] + "/v1", "api_key": os.environ["SIDECAR_API_KEY"]}


def model(route: str) -> str:
    return f"openai/{route}"


# end


class City(BaseModel):
    """A city."""

    city: str
    population: int


def ask(route: Route, messages: list[Any], **more: Any) -> Any:
    return litellm.completion(
        model=model(route.name), messages=messages, max_tokens=route.tokens_max, **settings, **more
    )


def answer(route: Route) -> Any:
    return ask(route, [{"role": "user", "content": PROMPT}]).choices[0].message.content


def stream(route: Route) -> Any:
    chunks = ask(route, [{"role": "user", "content": PROMPT}], stream=True)
    return [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]


def tools(route: Route) -> Any:
    return {"whole": loop(route, False, {}), "streamed": loop(route, True, {})}


def thinking(route: Route) -> Any:
    return {"whole": loop(route, False, route.thinking), "streamed": loop(route, True, route.thinking)}


def loop(route: Route, streamed: bool, extra: dict[str, Any]) -> Any:
    messages: list[Any] = [{"role": "user", "content": WEATHER}]
    for _ in range(2):
        got = ask(route, messages, tools=[TOOL], stream=streamed, extra_body=extra)
        if streamed:
            got = litellm.stream_chunk_builder(list(got), messages=messages)
        message = got.choices[0].message
        messages.append(message.model_dump())
        for call in message.tool_calls or ():
            result = get_weather(**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    return message.content


def structured(route: Route) -> Any:
    got = ask(route, [{"role": "user", "content": ABOUT_PARIS}], response_format=City)
    return json.loads(got.choices[0].message.content)


def embeddings(route: Route) -> Any:
    got = litellm.embedding(model=model(route.embeddings), input=TEXTS, encoding_format="float", **settings)
    return rounded(row["embedding"] for row in got.data)


run(answer, stream, tools, thinking, structured, embeddings)
