"""OpenAI's Azure classes for Python, sync and async, and LangChain's, on the deployments of the command line. Prints JSON.

AZURE_OPENAI_ENDPOINT, AZURE_OPENAI_API_KEY, SSL_CERT_FILE; python sdk.py DEPLOYMENT…
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import AzureChatOpenAI
from openai import AsyncAzureOpenAI, AzureOpenAI, NotFoundError

VERSION = "2024-10-21"
MESSAGES: Any = [{"role": "user", "content": "Say hello."}]


def python(name: str) -> dict[str, Any]:
    client = AzureOpenAI(api_version=VERSION, max_retries=0)
    pinned = AzureOpenAI(api_version=VERSION, azure_deployment=name, max_retries=0)
    stream = client.chat.completions.create(model=name, messages=MESSAGES, stream=True)
    pieces = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
    try:
        client.chat.completions.create(model="nobody", messages=MESSAGES)
    except NotFoundError as error:
        failure = [error.status_code, error.code, bool(error.request_id)]
    return {
        "text": client.chat.completions.create(model=name, messages=MESSAGES).choices[0].message.content,
        "pieces": "".join(pieces),
        "pinned": pinned.chat.completions.create(model="any", messages=MESSAGES).choices[0].message.content,
        "response": client.responses.create(model=name, input="Say hello.").output_text,
        "models": [model.id for model in client.models.list()],
        "vector": len(client.embeddings.create(model="embeddings", input="hello").data[0].embedding),
        "completion": client.completions.create(model="completions", prompt="hello").choices[0].text,
        "failure": failure,
    }


async def asynchronous(name: str) -> dict[str, Any]:
    client = AsyncAzureOpenAI(api_version=VERSION, max_retries=0)
    stream = await client.chat.completions.create(model=name, messages=MESSAGES, stream=True)
    pieces = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
    answer = await client.chat.completions.create(model=name, messages=MESSAGES)
    return {"text": answer.choices[0].message.content, "pieces": "".join(pieces)}


async def langchain(name: str) -> dict[str, Any]:
    runs: list[int | str] = []

    def find(q: int | str) -> str:
        """Looks a number up."""
        runs.append(q)
        return "found"

    model = AzureChatOpenAI(azure_deployment=name, api_version=VERSION, max_retries=0)
    messages: list[Any] = [HumanMessage("What is it?")]
    while True:
        messages.append(await model.bind_tools([tool(find)]).ainvoke(messages))
        if not messages[-1].tool_calls:
            break
        messages += [ToolMessage(find(**call["args"]), tool_call_id=call["id"]) for call in messages[-1].tool_calls]
    pieces = [chunk.content async for chunk in model.astream("Say hello.")]
    return {"text": messages[-1].content, "pieces": "".join(map(str, pieces)), "runs": runs}


async def main() -> None:
    report = {}
    for name in sys.argv[1:]:
        report[name] = {
            "python": python(name),
            "async": await asynchronous(name),
            "langchain": await langchain(name),
        }
    print(json.dumps(report))


asyncio.run(main())
