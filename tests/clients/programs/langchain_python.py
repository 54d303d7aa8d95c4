"""LangChain's ChatOpenAI and OpenAIEmbeddings."""

from __future__ import annotations

from typing import Any

from checks import ABOUT_PARIS, PROMPT, SCHEMA, TEXTS, WEATHER, Route, get_weather, rounded, run
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel

# settings
import os

from langchain_openai import ChatOpenAI, OpenAIEmbeddings

settings = {"base_url": os.environ["SIDECAR_URL"] + "/v1", "api_key": os.environ["SIDECAR_API_KEY"]}


def model(route: str, **more: Any) -> ChatOpenAI:
    return ChatOpenAI(model=route, **settings, **more)


def vectors(route: str) -> OpenAIEmbeddings:
    # Texts go as texts: it would count tokens with a table of OpenAI's models that it fetches from the network.
    return OpenAIEmbeddings(model=route, check_embedding_ctx_length=False, **settings)


# end


class City(BaseModel):
    """A city."""

    city: str
    population: int


def answer(route: Route) -> Any:
    return model(route.name, max_tokens=route.tokens_max).invoke(PROMPT).content


def stream(route: Route) -> Any:
    chunks = model(route.name, max_tokens=route.tokens_max).stream(PROMPT)
    return [chunk.content for chunk in chunks if chunk.content]


def tools(route: Route) -> Any:
    return {"whole": loop(route, False, {}), "streamed": loop(route, True, {})}


def thinking(route: Route) -> Any:
    return {"whole": loop(route, False, route.thinking), "streamed": loop(route, True, route.thinking)}


def loop(route: Route, streamed: bool, extra: dict[str, Any]) -> Any:
    bound = model(route.name, max_tokens=route.tokens_max, extra_body=extra or None).bind_tools([tool(get_weather)])
    messages: list[Any] = [HumanMessage(WEATHER)]
    for _ in range(2):
        if streamed:
            message: Any = None
            for chunk in bound.stream(messages):
                message = chunk if message is None else message + chunk
        else:
            message = bound.invoke(messages)
        messages.append(message)
        messages += [ToolMessage(get_weather(**call["args"]), tool_call_id=call["id"]) for call in message.tool_calls]
    return message.content


def structured(route: Route) -> Any:
    llm = model(route.name, max_tokens=route.tokens_max)
    described = {**SCHEMA, "title": "City", "description": "A city."}
    found = {"json_schema": llm.with_structured_output(City).invoke(ABOUT_PARIS).model_dump()}
    found["dict"] = llm.with_structured_output(described, method="json_schema").invoke(ABOUT_PARIS)
    if route.name != "local":
        found["function_calling"] = (
            llm.with_structured_output(City, method="function_calling").invoke(ABOUT_PARIS).model_dump()
        )
    return found


def embeddings(route: Route) -> Any:
    return rounded(vectors(route.embeddings).embed_documents(TEXTS))


run(answer, stream, tools, thinking, structured, embeddings)
