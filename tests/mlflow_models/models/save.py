"""Saves a model file as an MLflow model: python save.py MODEL_FILE FOLDER. Runs inside MLflow's own environment.

The signature names the parameters, because the scoring server drops those it does not name; -1 and "-" stand for "not given".
"""

from __future__ import annotations

import sys

import mlflow  # type: ignore[import-not-found, unused-ignore]
from mlflow.models import ModelSignature  # type: ignore[import-not-found, unused-ignore]
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema  # type: ignore[import-not-found, unused-ignore]

PARAMS = [
    ParamSpec("temperature", DataType.double, -1.0),
    ParamSpec("top_k", DataType.long, -1),
    ParamSpec("seed", DataType.long, -1),
    ParamSpec("max_tokens", DataType.long, -1),
    ParamSpec("n", DataType.long, -1),
    ParamSpec("dimensions", DataType.long, -1),
    ParamSpec("stop", DataType.string, ["-"], shape=(-1,)),
]

signature = ModelSignature(inputs=Schema([ColSpec("string")]), params=ParamSchema(PARAMS))
mlflow.pyfunc.save_model(sys.argv[2], python_model=sys.argv[1], signature=signature, pip_requirements=[])
