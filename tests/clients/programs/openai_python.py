"""OpenAI's own SDK for Python, 1.x and later."""

from __future__ import annotations

import json
from typing import Any

from checks import ABOUT_PARIS, PROMPT, TEXTS, TOOL, WEATHER, Route, get_weather, rounded, run
from pydantic import BaseModel

# settings
import os

from openai import OpenAI

client = OpenAI(base_url=os.environ["SIDECAR_URL"] + "/v1", api_key=os.environ["SIDECAR_API_KEY"])
# end


class City(BaseModel):
    """A city."""

    city: str
    population: int


def answer(route: Route) -> Any:
    messages = [{"role": "user", "content": PROMPT}]
    got = client.chat.completions.create(model=route.name, messages=messages, max_tokens=route.tokens_max)
    return got.choices[0].message.content


def stream(route: Route) -> Any:
    messages = [{"role": "user", "content": PROMPT}]
    chunks = client.chat.completions.create(
        model=route.name,
        messages=messages,
        max_tokens=route.tokens_max,
        stream=True,
        stream_options={"include_usage": True},
    )
    return [choice.delta.content for chunk in chunks for choice in chunk.choices if choice.delta.content]


def tools(route: Route) -> Any:
    return {"whole": loop(route, False, {}), "streamed": loop(route, True, {})}


def thinking(route: Route) -> Any:
    return {"whole": loop(route, False, route.thinking), "streamed": loop(route, True, route.thinking)}


def loop(route: Route, streamed: bool, extra: dict[str, Any]) -> Any:
    """As the SDK's guide does it: the message of the answer is appended as it came."""
    messages: list[Any] = [{"role": "user", "content": WEATHER}]
    wanted = {
        "model": route.name,
        "messages": messages,
        "tools": [TOOL],
        "max_tokens": route.tokens_max,
        "extra_body": extra,
    }
    for _ in range(2):
        if streamed:
            with client.chat.completions.stream(**wanted) as events:
                message = events.get_final_completion().choices[0].message
        else:
            message = client.chat.completions.create(**wanted).choices[0].message
        messages.append(message)
        for call in message.tool_calls or ():
            result = get_weather(**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    return message.content


def structured(route: Route) -> Any:
    got = client.chat.completions.parse(
        model=route.name,
        messages=[{"role": "user", "content": ABOUT_PARIS}],
        response_format=City,
        max_completion_tokens=route.tokens_max,
    )
    return got.choices[0].message.parsed.model_dump()


def embeddings(route: Route) -> Any:
    default = client.embeddings.create(model=route.embeddings, input=TEXTS)
    numbers = client.embeddings.create(model=route.embeddings, input=TEXTS, encoding_format="float")
    return {
        "base64": rounded(row.embedding for row in default.data),
        "float": rounded(row.embedding for row in numbers.data),
    }


run(answer, stream, tools, thinking, structured, embeddings)
