"""LlamaIndex: OpenAILike and OpenAILikeEmbedding."""

from __future__ import annotations

from typing import Any

from checks import ABOUT_PARIS, PROMPT, TEXTS, WEATHER, Route, get_weather, rounded, run
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

# settings
import os

from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai_like import OpenAILike

settings = {"api_base": os.environ["SIDECAR_URL"] + "/v1", "api_key": os.environ["SIDECAR_API_KEY"]}


def model(route: str, **more: Any) -> OpenAILike:
    return OpenAILike(model=route, is_chat_model=True, is_function_calling_model=True, **settings, **more)


def vectors(route: str) -> OpenAILikeEmbedding:
    return OpenAILikeEmbedding(model_name=route, **settings)


# end


class City(BaseModel):
    """A city."""

    city: str
    population: int


def answer(route: Route) -> Any:
    return (
        model(route.name, max_tokens=route.tokens_max).chat([ChatMessage(role="user", content=PROMPT)]).message.content
    )


def stream(route: Route) -> Any:
    chunks = model(route.name, max_tokens=route.tokens_max).stream_chat([ChatMessage(role="user", content=PROMPT)])
    return [chunk.delta for chunk in chunks if chunk.delta]


def tools(route: Route) -> Any:
    return {"whole": loop(route, False, {}), "streamed": loop(route, True, {})}


def thinking(route: Route) -> Any:
    return {"whole": loop(route, False, route.thinking), "streamed": loop(route, True, route.thinking)}


def loop(route: Route, streamed: bool, extra: dict[str, Any]) -> Any:
    more = {"additional_kwargs": {"extra_body": extra}, "temperature": 1} if extra else {}  # its own default is 0.1
    llm = model(route.name, max_tokens=route.tokens_max, **more)
    tool = FunctionTool.from_defaults(get_weather)
    history = [ChatMessage(role="user", content=WEATHER)]
    for _ in range(2):
        if streamed:
            *_, got = llm.stream_chat_with_tools([tool], chat_history=history)
        else:
            got = llm.chat_with_tools([tool], chat_history=history)
        history.append(got.message)
        for call in llm.get_tool_calls_from_response(got, error_on_no_tool_call=False):
            result = get_weather(**call.tool_kwargs)
            history.append(ChatMessage(role="tool", content=result, additional_kwargs={"tool_call_id": call.tool_id}))
    return got.message.content


def structured(route: Route) -> Any:
    llm = model(route.name, max_tokens=route.tokens_max, should_use_structured_outputs=True)
    by_tool = model(route.name, max_tokens=route.tokens_max)
    messages = [ChatMessage(role="user", content=ABOUT_PARIS)]
    return {
        "json_schema": llm.as_structured_llm(City).chat(messages).raw.model_dump(),
        "tool": by_tool.as_structured_llm(City).chat(messages).raw.model_dump(),
    }


def embeddings(route: Route) -> Any:
    return rounded(vectors(route.embeddings).get_text_embedding_batch(TEXTS))


run(answer, stream, tools, thinking, structured, embeddings)
