"""Frameworks that speak Messages, on each route of the command line: one answer, a stream, a loop with parallel calls and
thoughts, a schema, a refusal. Prints JSON.

ANTHROPIC_BASE_URL, ANTHROPIC_API_KEY, SSL_CERT_FILE; python frameworks.py ROUTE...
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel

runs: list[int | str] = []
THINKING = {"type": "enabled", "budget_tokens": 2048}
ASK, SAY = "What is it?", "Say hello."


class City(BaseModel):
    name: str
    people: int


def find(q: int | str) -> str:
    """Looks something up."""
    runs.append(q)
    return f"found {q}"


async def langchain(route: str) -> dict[str, Any]:
    from langchain_anthropic import ChatAnthropic
    from langchain_core.messages import HumanMessage, ToolMessage
    from langchain_core.tools import tool

    options: dict[str, Any] = {"model": route, "max_tokens": 4096, "max_retries": 0}
    model = ChatAnthropic(**options)
    answer, streamed = await model.ainvoke(SAY), [chunk async for chunk in model.astream(SAY)]
    whole = streamed[0]
    for chunk in streamed[1:]:
        whole += chunk
    loops = {}
    for kind in ("whole", "streamed"):
        runs.clear()
        caller = ChatAnthropic(**options, thinking=THINKING, streaming=kind == "streamed").bind_tools([tool(find)])
        messages: list[Any] = [HumanMessage(ASK)]
        while not (len(messages) > 1 and isinstance(messages[-1], type(answer)) and not messages[-1].tool_calls):
            if messages[-1].type == "ai":
                messages += [
                    ToolMessage(find(**call["args"]), tool_call_id=call["id"]) for call in messages[-1].tool_calls
                ]
            messages.append(await caller.ainvoke(messages))
        loops[kind] = [messages[-1].text, sorted(runs, key=str), "thinking" in json.dumps(messages[1].content)]
    method = {"method": "json_schema"}
    city = await ChatAnthropic(**options).with_structured_output(City, **method).ainvoke("A city?")
    usage = answer.usage_metadata
    return {
        "text": answer.text,
        "pieces": whole.text,
        "usage": [usage["input_tokens"], usage["output_tokens"]],
        "loops": loops,
        "city": city.model_dump(),
        "failure": await failure(lambda: ChatAnthropic(**options | {"model": "nobody"}).ainvoke(SAY)),
    }


async def litellm(route: str) -> dict[str, Any]:
    import litellm as library

    options: dict[str, Any] = {"model": f"anthropic/{route}", "max_tokens": 4096, "num_retries": 0}
    hello = [{"role": "user", "content": SAY}]
    answer = await library.acompletion(messages=hello, **options)
    stream = await library.acompletion(messages=hello, stream=True, **options)
    pieces = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    parameters = {"type": "object", "properties": {"q": {}}, "required": ["q"]}
    tools = [{"type": "function", "function": {"name": "find", "description": "Finds.", "parameters": parameters}}]
    allowed = {"allowed_openai_params": ["thinking"]}  # of models that it does not know by name
    loops = {}
    for kind in ("whole", "streamed"):
        runs.clear()
        messages: list[Any] = [{"role": "user", "content": ASK}]
        thoughts = False
        while True:
            sent = {**options, "messages": messages, "tools": tools, "thinking": THINKING, **allowed}
            if kind == "streamed":
                chunks = [chunk async for chunk in await library.acompletion(stream=True, **sent)]
                message = library.stream_chunk_builder(chunks, messages=messages).choices[0].message
            else:
                message = (await library.acompletion(**sent)).choices[0].message
            thoughts = thoughts or bool(message.get("thinking_blocks"))
            messages.append(message.model_dump(exclude_none=True))
            if not message.tool_calls:
                break
            messages += [
                {"role": "tool", "tool_call_id": call.id, "content": find(**json.loads(call.function.arguments))}
                for call in message.tool_calls
            ]
        loops[kind] = [message.content, sorted(runs, key=str), thoughts]
    schema = {
        "type": "json_schema",
        "json_schema": {"name": "city", "schema": City.model_json_schema(), "strict": True},
    }
    city = await library.acompletion(messages=hello, response_format=schema, **options)
    return {
        "text": answer.choices[0].message.content,
        "pieces": pieces,
        "usage": [answer.usage.prompt_tokens, answer.usage.completion_tokens],
        "loops": loops,
        "city": json.loads(city.choices[0].message.content),
        "failure": await failure(
            lambda: library.acompletion(messages=hello, **options | {"model": "anthropic/nobody"})
        ),
    }


async def pydantic_ai(route: str) -> dict[str, Any]:
    from anthropic import AsyncAnthropic
    from pydantic_ai import Agent, NativeOutput
    from pydantic_ai.messages import ModelResponse, ThinkingPart
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.providers.anthropic import AnthropicProvider

    def model(name: str) -> AnthropicModel:
        provider = AnthropicProvider(anthropic_client=AsyncAnthropic(max_retries=0))
        schemas = {"supports_json_schema_output": True}  # of models that it does not know by name
        return AnthropicModel(name, provider=provider, profile=schemas)

    answer = await Agent(model(route)).run(SAY)
    async with Agent(model(route)).run_stream(SAY) as streamed:
        pieces = "".join([piece async for piece in streamed.stream_text(delta=True)])
    loops = {}
    for kind in ("whole", "streamed"):
        runs.clear()
        agent = Agent(model(route), tools=[find], model_settings={"anthropic_thinking": THINKING, "max_tokens": 4096})
        if kind == "streamed":
            async with agent.run_stream(ASK) as run:
                output, history = await run.get_output(), run.all_messages()
        else:
            result = await agent.run(ASK)
            output, history = result.output, result.all_messages()
        parts = [part for turn in history if isinstance(turn, ModelResponse) for part in turn.parts]
        loops[kind] = [
            output,
            sorted(runs, key=str),
            any(isinstance(part, ThinkingPart) and part.content for part in parts),
        ]
    city = await Agent(model(route), output_type=NativeOutput(City)).run("A city?")
    usage = answer.usage
    usage = usage() if callable(usage) else usage
    return {
        "text": answer.output,
        "pieces": pieces,
        "usage": [usage.input_tokens, usage.output_tokens],
        "loops": loops,
        "city": city.output.model_dump(),
        "failure": await failure(lambda: Agent(model("nobody")).run(SAY)),
    }


async def failure(call: Callable[[], Awaitable[Any]]) -> list[Any]:
    """The status of a refusal, and whether it says why."""
    try:
        await call()
    except Exception as error:  # noqa: BLE001  # each client has its own
        return [getattr(error, "status_code", None), "There is no route" in str(error)]
    return []


async def main() -> None:
    import litellm as library

    library.suppress_debug_info = True
    report: dict[str, dict[str, Any]] = {}
    for route in sys.argv[1:]:
        report[route] = {client.__name__: await client(route) for client in (langchain, litellm, pydantic_ai)}
    print(json.dumps(report))


asyncio.run(main())
