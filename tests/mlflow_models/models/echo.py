"""A model for `mlflow models serve` that answers what it is told. Runs inside MLflow's own environment, never in ours.

An input that begins with "json:" is the prediction itself; "show" is answered with the parameters that arrived; "boom" fails;
with the parameter `dimensions` each input becomes a vector; any other is echoed, `n` times.
"""

from __future__ import annotations

import json
from typing import Any

import mlflow  # type: ignore[import-not-found, unused-ignore]


class Echo(mlflow.pyfunc.PythonModel):  # type: ignore[misc, unused-ignore]
    def predict(self, context: Any, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        texts = [str(text) for text in model_input.iloc[:, 0]]
        given = {name: value for name, value in (params or {}).items() if value not in (-1, -1.0, ["-"])}
        first = texts[0]
        if first.startswith("json:"):
            return json.loads(first.removeprefix("json:"))
        if first == "boom":
            raise RuntimeError("the model failed")
        if first == "show":
            return [json.dumps(given, sort_keys=True)]
        if "dimensions" in given:
            return [[len(text) / (step + 1) for step in range(given["dimensions"])] for text in texts]
        return [f"echo: {text}" for text in texts for _ in range(given.get("n", 1))]


mlflow.models.set_model(Echo())
