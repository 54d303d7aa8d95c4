"""A small web application: a page with a box, and the answer as it comes. The key stays on this side.

    pip install starlette uvicorn httpx
    python app.py [ROUTE] [PORT]          then open http://127.0.0.1:8000

A browser that leaves ends the call at the provider: the stream is closed, and the gateway closes its connection.
"""

import os
import ssl
import sys
from collections.abc import AsyncIterator

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route

ROUTE = sys.argv[1] if len(sys.argv) > 1 else "chat"
PORT = int(sys.argv[2]) if len(sys.argv) > 2 else 8000
PAGE = """<!doctype html><meta charset="utf-8"><title>Ask</title>
<form id="form"><label>Ask <input id="question" value="Say hello." autofocus></label> <button>Send</button></form>
<output id="answer" aria-live="polite" style="white-space: pre-wrap"></output>
<script>
form.onsubmit = async (event) => {
  event.preventDefault();
  answer.value = "";
  const reply = await fetch("ask", { method: "POST", body: question.value });
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let part; !(part = await reader.read()).done; ) answer.value += part.value;
};
</script>"""

gateway = httpx.AsyncClient(
    base_url=os.environ["SIDECAR_URL"],
    headers={"authorization": f"Bearer {os.environ['SIDECAR_API_KEY']}"},
    verify=ssl.create_default_context(cafile=os.environ["SIDECAR_CA"]),
    timeout=httpx.Timeout(60, connect=5),
)


async def page(_: Request) -> Response:
    return HTMLResponse(PAGE)


async def ask(request: Request) -> Response:
    question = (await request.body()).decode()
    body = {"model": ROUTE, "messages": [{"role": "user", "content": question}], "stream": True}
    call = await gateway.send(gateway.build_request("POST", "/v1/chat/completions", json=body), stream=True)
    if call.status_code != 200:
        reason = (await call.aread()).decode()
        return Response(reason, status_code=call.status_code, media_type="application/json")
    return StreamingResponse(texts(call), media_type="text/plain")


async def texts(call: httpx.Response) -> AsyncIterator[str]:
    """The texts of an event stream of chunks."""
    import json

    try:
        async for line in call.aiter_lines():
            if line.startswith("data: ") and line != "data: [DONE]":
                for choice in json.loads(line[6:]).get("choices", ()):
                    yield choice["delta"].get("content") or ""
    finally:
        await call.aclose()


app = Starlette(routes=[Route("/", page), Route("/ask", ask, methods=["POST"])])

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning")
