"""Anthropic's Python SDK against the gateway: `python sdk.py ROUTE...` with ANTHROPIC_BASE_URL and ANTHROPIC_API_KEY.

Prints a report of each route, as JSON.
"""

import json
import sys
from typing import Any

import anthropic
from anthropic import Anthropic, beta_tool

client = Anthropic(max_retries=0)
seen: list[int] = []
hello = [{"role": "user", "content": "Oslo?"}]


@beta_tool
def find(q: object) -> str:
    """Finds.

    Args:
        q: What to find.
    """
    seen.append(1)
    return f"found {q}"


def report(route: str) -> dict[str, Any]:
    seen.clear()
    whole = client.messages.create(model=route, max_tokens=64, messages=hello)
    with client.messages.stream(model=route, max_tokens=64, messages=hello) as stream:
        pieces = list(stream.text_stream)
        streamed = stream.get_final_message()
    runner = client.beta.messages.tool_runner(model=route, max_tokens=64, messages=hello, tools=[find])
    last = runner.until_done()
    runs = len(seen)
    with_stream = client.beta.messages.tool_runner(
        model=route, max_tokens=64, messages=hello, tools=[find], stream=True
    )
    texts = [message.get_final_message().content[-1].type for message in with_stream]
    count = client.messages.count_tokens(model=route, messages=hello)
    try:
        client.messages.create(model="nobody", max_tokens=64, messages=hello)
        failure: object = None
    except anthropic.NotFoundError as error:
        failure = [error.status_code, error.body["error"]["type"], bool(error.request_id)]
    return {
        "text": whole.content[0].text,
        "request_id": bool(whole._request_id),
        "stop_reason": whole.stop_reason,
        "usage": whole.usage.input_tokens,
        "pieces": "".join(pieces),
        "streamed": streamed.content[0].text,
        "runner": last.content[-1].text,
        "tool_runs": runs,
        "streamed_runner": texts,
        "streamed_tool_runs": len(seen) - runs,
        "count": count.input_tokens,
        "models": [model.id for model in client.models.list()],
        "failure": failure,
    }


print(json.dumps({route: report(route) for route in sys.argv[1:]}))
