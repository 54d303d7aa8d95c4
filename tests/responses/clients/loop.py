"""Clients that speak Responses by default or when told to: a loop with a tool on each route of the command line. Prints JSON.

OPENAI_BASE_URL, OPENAI_API_KEY, SSL_CERT_FILE; python loop.py ROUTE…
"""

from __future__ import annotations

import asyncio
import json
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


async def main() -> None:
    clients: tuple[Callable[[str], Awaitable[str]], ...] = (
        openai_agents,
        openai_agents_streamed,
        pydantic_ai,
        langchain,
    )
    report: dict[str, dict[str, object]] = {}
    for route in sys.argv[1:]:
        for client in clients:
            runs.clear()
            text = await client(route)
            report[f"{client.__name__} on {route}"] = {"text": text, "runs": sorted(runs)}
    print(json.dumps(report))


asyncio.run(main())
