"""Clients that speak Responses by default or when told to: a loop with a tool on each route of the command line. Prints JSON.

OPENAI_BASE_URL, OPENAI_API_KEY, SSL_CERT_FILE; python loop.py ROUTE…; with REMEMBERS=1 those that let the server remember.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

runs: list[int] = []


def find(q: int) -> str:
    """Looks a number up."""
    runs.append(q)
    return f"found {q}"


async def openai_agents(route: str) -> str:
    from agents import Agent, ModelSettings, Runner, function_tool, set_tracing_disabled

    set_tracing_disabled(True)
    settings = ModelSettings(store=False)
    agent = Agent(
        name="finder", model=route, instructions="Find.", tools=[function_tool(find)], model_settings=settings
    )
    return str((await Runner.run(agent, "What is it?")).final_output)


async def openai_agents_streamed(route: str) -> str:
    from agents import Agent, Runner, function_tool, set_tracing_disabled

    set_tracing_disabled(True)
    run = Runner.run_streamed(Agent(name="finder", model=route, tools=[function_tool(find)]), "What is it?")
    async for _ in run.stream_events():
        pass
    return str(run.final_output)


async def pydantic_ai(route: str) -> str:
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIResponsesModel

    agent = Agent(OpenAIResponsesModel(route), tools=[find])
    return str((await agent.run("What is it?")).output)


async def langchain(route: str) -> str:
    from langchain_core.messages import HumanMessage, ToolMessage
    from langchain_core.tools import tool
    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(model=route, use_responses_api=True, store=False).bind_tools([tool(find)])
    messages: list[Any] = [HumanMessage("What is it?")]
    while True:
        messages.append(await model.ainvoke(messages))
        if not messages[-1].tool_calls:
            return str(messages[-1].text)
        messages += [ToolMessage(find(**call["args"]), tool_call_id=call["id"]) for call in messages[-1].tool_calls]


async def openai_agents_by_id(route: str) -> str:
    """What is new alone goes out in each turn."""
    from agents import Agent, Runner, function_tool, set_tracing_disabled

    set_tracing_disabled(True)
    agent = Agent(name="finder", model=route, tools=[function_tool(find)])
    run = await Runner.run(agent, "What is it?", auto_previous_response_id=True)
    again = await Runner.run(agent, "Again.", previous_response_id=run.last_response_id)
    assert again.final_output == run.final_output
    return str(run.final_output)


async def openai_agents_in_a_session(route: str) -> str:
    """Kept at the client."""
    from agents import Agent, Runner, SQLiteSession, function_tool, set_tracing_disabled

    set_tracing_disabled(True)
    session = SQLiteSession("one")
    agent = Agent(name="finder", model=route, tools=[function_tool(find)])
    run = await Runner.run(agent, "What is it?", session=session)
    again = await Runner.run(agent, "Again.", session=session)
    assert again.final_output == run.final_output
    return str(run.final_output)


async def openai_by_id(route: str) -> str:
    return await _by_id(route, streamed=False)


async def openai_by_id_streamed(route: str) -> str:
    return await _by_id(route, streamed=True)


async def _by_id(route: str, *, streamed: bool) -> str:
    from openai import AsyncOpenAI

    parameters = {"type": "object", "properties": {"q": {"type": "integer"}}, "required": ["q"]}
    tool = {"type": "function", "name": "find", "parameters": parameters, "strict": False}
    client = AsyncOpenAI(max_retries=0)
    request: dict[str, Any] = {"input": "What is it?"}
    while True:
        request |= {"model": route, "tools": [tool]}
        if streamed:
            async with client.responses.stream(**request) as events:
                answer = await events.get_final_response()
        else:
            answer = await client.responses.create(**request)
        calls = [item for item in answer.output if item.type == "function_call"]
        if not calls:
            assert (await client.responses.retrieve(answer.id)).output_text == answer.output_text
            return answer.output_text
        outputs = [
            {
                "type": "function_call_output",
                "call_id": call.call_id,
                "output": find(**json.loads(call.arguments)),
            }
            for call in calls
        ]
        request = {"input": outputs, "previous_response_id": answer.id}


async def main() -> None:
    clients: tuple[Callable[[str], Awaitable[str]], ...] = (
        openai_agents,
        openai_agents_streamed,
        pydantic_ai,
        langchain,
    )
    if os.environ.get("REMEMBERS"):
        clients = (openai_by_id, openai_by_id_streamed, openai_agents_by_id, openai_agents_in_a_session)
    report: dict[str, dict[str, object]] = {}
    for route in sys.argv[1:]:
        for client in clients:
            runs.clear()
            text = await client(route)
            report[f"{client.__name__} on {route}"] = {"text": text, "runs": sorted(runs)}
    print(json.dumps(report))


asyncio.run(main())
