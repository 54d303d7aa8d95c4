"""Models served by MLflow (`mlflow models serve`, or any server of its scoring protocol), provider side, without
streams.

https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/: POST /invocations with `inputs` and `params`
returns `predictions`. The server only passes on the params in the model's signature, and ignores others. Answers
have no model, finish reason or usage.
"""

from __future__ import annotations

from adapters.contract import Format, ProviderSide, Task
from adapters.mlflow.decode import decode_chat, decode_completion, decode_embeddings
from adapters.mlflow.encode import encode_chat, encode_completion, encode_embeddings
from adapters.served_errors import error

FORMAT = Format(
    name="mlflow",
    client={},
    provider={
        Task.CHAT: ProviderSide(encode=encode_chat, decode=decode_chat, stream=None),
        Task.COMPLETIONS: ProviderSide(encode=encode_completion, decode=decode_completion, stream=None),
        Task.EMBEDDINGS: ProviderSide(encode=encode_embeddings, decode=decode_embeddings, stream=None),
    },
    error=error,
    paths=("/invocations",),
)
