"""MLflow's autologging of OpenAI's SDK: each call becomes a trace with its tokens."""

from __future__ import annotations

import os
from typing import Any

from checks import PROMPT, TEXTS, Route, rounded, run

# A tracking store of files needs no database.
os.environ.update(
    MLFLOW_ALLOW_FILE_STORE="true", MLFLOW_TRACKING_URI="file:mlruns", MLFLOW_ENABLE_ASYNC_TRACE_LOGGING="false"
)

# settings
import os

import mlflow
from openai import OpenAI

mlflow.openai.autolog()
client = OpenAI(base_url=os.environ["SIDECAR_URL"] + "/v1", api_key=os.environ["SIDECAR_API_KEY"])
# end


def traced(text: str) -> str:
    """The answer, where the last trace has it, and its tokens."""
    trace = mlflow.get_trace(mlflow.get_last_active_trace_id())
    if not trace.info.token_usage or trace.info.token_usage["total_tokens"] != 30:
        raise AssertionError(f"the trace has tokens {trace.info.token_usage}")
    if text not in str(trace.data.response):
        raise AssertionError(f"the trace has {trace.data.response}")
    return text


def answer(route: Route) -> Any:
    got = client.chat.completions.create(model=route.name, messages=[{"role": "user", "content": PROMPT}])
    return traced(got.choices[0].message.content)


def stream(route: Route) -> Any:
    chunks = client.chat.completions.create(
        model=route.name,
        messages=[{"role": "user", "content": PROMPT}],
        stream=True,
        stream_options={"include_usage": True},
    )
    pieces = [choice.delta.content for chunk in chunks for choice in chunk.choices if choice.delta.content]
    traced("".join(pieces))
    return pieces


def embeddings(route: Route) -> Any:
    return rounded(row.embedding for row in client.embeddings.create(model=route.embeddings, input=TEXTS).data)


run(answer, stream, embeddings)
