"""The gateway's own client, by REST or gRPC with the same lines: `python client.py [ROUTE] [TARGET]`.

Without a target it reads what `. .sidecar/env` sets; `127.0.0.1:50051` is gRPC without TLS.
"""

import sys

from llm_gateway_client import Client, RateLimited

route = sys.argv[1] if len(sys.argv) > 1 else "chat"
target = sys.argv[2] if len(sys.argv) > 2 else None

with Client(target) as client:
    try:
        for chunk in client.stream_chat(route, "Say hello."):
            print(chunk.text, end="", flush=True)
        print()
    except RateLimited as error:
        print(f"Too many calls; again in {error.retry_after_s} s: {error}")
