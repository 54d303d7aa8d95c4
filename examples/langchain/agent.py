"""An agent with a tool, by LangChain. `pip install langchain-openai`, then `python agent.py [ROUTE]`.

The route may be of any provider: the gateway translates the calls of tools and their results.
"""

import os
import ssl
import sys

import httpx
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

TURNS_MAX = 5


@tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"18 degrees and sunny in {city}"


model = ChatOpenAI(
    model=sys.argv[1] if len(sys.argv) > 1 else "chat",
    base_url=os.environ["SIDECAR_URL"] + "/v1",
    api_key=os.environ["SIDECAR_API_KEY"],
    http_client=httpx.Client(verify=ssl.create_default_context(cafile=os.environ["SIDECAR_CA"])),
).bind_tools([get_weather])

messages = [HumanMessage("Use get_weather: what is the weather in Paris?")]
for _ in range(TURNS_MAX):
    answer = model.invoke(messages)
    messages.append(answer)
    if not answer.tool_calls:
        break
    for call in answer.tool_calls:
        print(f"{call['name']}({call['args']})")
        messages.append(ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"]))
print(messages[-1].text)
