"""A model for `mlflow models serve` whose answers come from the gateway, over REST as any HTTP client calls it.

Runs inside MLflow's own environment, with SIDECAR_URL, SIDECAR_API_KEY and SIDECAR_CA as `.sidecar/env` names them.
"""

from __future__ import annotations

import os
from typing import Any

import mlflow  # type: ignore[import-not-found, unused-ignore]


class Caller(mlflow.pyfunc.PythonModel):  # type: ignore[misc, unused-ignore]
    def predict(self, context: Any, model_input: Any, params: dict[str, Any] | None = None) -> list[str]:
        return [ask(str(text)) for text in model_input.iloc[:, 0]]


def ask(question: str) -> str:
    import requests  # type: ignore[import-not-found, import-untyped, unused-ignore]

    answer = requests.post(
        f"{os.environ['SIDECAR_URL']}/v1/chat/completions",
        json={"model": "chat", "messages": [{"role": "user", "content": question}]},
        headers={"authorization": f"Bearer {os.environ['SIDECAR_API_KEY']}"},
        verify=os.environ["SIDECAR_CA"],
        timeout=30,
    )
    answer.raise_for_status()
    return str(answer.json()["choices"][0]["message"]["content"])


mlflow.models.set_model(Caller())
