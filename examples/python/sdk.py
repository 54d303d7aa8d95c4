"""OpenAI's SDK: an answer, and one as it comes. `pip install openai`, then `python sdk.py [ROUTE]`."""

import os
import ssl
import sys

import httpx
from openai import OpenAI

route = sys.argv[1] if len(sys.argv) > 1 else "chat"
# Only for a private CA; with a public certificate leave http_client out.
trust = ssl.create_default_context(cafile=os.environ["SIDECAR_CA"])
client = OpenAI(
    base_url=os.environ["SIDECAR_URL"] + "/v1",
    api_key=os.environ["SIDECAR_API_KEY"],
    http_client=httpx.Client(verify=trust),
)
messages = [{"role": "user", "content": "Say hello."}]

answer = client.chat.completions.create(model=route, messages=messages)
print(answer.choices[0].message.content, f"({answer.usage.total_tokens} tokens)")

for chunk in client.chat.completions.create(model=route, messages=messages, stream=True):
    for choice in chunk.choices:
        print(choice.delta.content or "", end="", flush=True)
print()
