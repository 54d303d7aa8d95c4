"""The formats of callers of MLflow's gateways, client side only (docs/reference/mlflow.md). Not to be confused with
the provider format `mlflow`: a model served by MLflow.

Dialect A (2.5 to 2.8) is a separate format. B (2.9 and later) and C (3.9+) are OpenAI's format without the model's
name, so their bodies reach upstreams of that format unchanged; only opening them differs. The route's name is in the
path: an Envelope from here has an empty `model`, which the servicer fills in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from adapters.contract import ClientSide, Format, Task
from adapters.mlflow_client import answer as _answer
from adapters.mlflow_client.envelopes import members_of, opener_a, opener_b, opener_c
from adapters.mlflow_client.temperature import fit
from adapters.mlflow_client.violations import Violations, detail_of
from adapters.openai import FORMAT as OPENAI
from adapters.served_errors import error

_ENCODE_A: Mapping[Task, Callable[[Any], bytes]] = {
    Task.CHAT: _answer.encode_chat,
    Task.COMPLETIONS: _answer.encode_completion,
    Task.EMBEDDINGS: _answer.encode_embeddings,
}
# This dialect has no streams. After renaming by `open`, members are read as OpenAI's: unknown ones pass through.
FORMAT = Format(
    name="mlflow-a",
    client={
        task: ClientSide(
            opener_a(task),
            OPENAI.client[task].decode_request,
            _ENCODE_A[task],
            None,
            fit=None if task is Task.EMBEDDINGS else fit,
        )
        for task in Task
    },
    provider={},
    error=error,
)
CLIENT_B = {task: replace(OPENAI.client[task], open=opener_b(task)) for task in Task}
CLIENT_C = {task: replace(OPENAI.client[task], open=opener_c(task)) for task in Task}

__all__ = ["CLIENT_B", "CLIENT_C", "FORMAT", "Violations", "detail_of", "members_of"]
