"""The public calls of mlflow.deployments (2.9 and later) against one address. Prints one JSON object.

python deployments.py ADDRESS
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from typing import Any

warnings.simplefilter("ignore")
import mlflow  # noqa: E402
from mlflow.deployments import get_deploy_client  # noqa: E402


def plain(value: Any) -> Any:
    """An endpoint, whatever the release makes of it."""
    if hasattr(value, "model_dump_json"):
        return json.loads(value.model_dump_json())
    return json.loads(value.json()) if hasattr(value, "json") else vars(value)


def failure(function: Callable[..., Any], **keywords: Any) -> dict[str, Any]:
    try:
        return {"type": None, "text": repr(function(**keywords))}
    except Exception as error:  # noqa: BLE001
        return {"type": type(error).__name__, "text": str(error)}


client = get_deploy_client(sys.argv[1])
print(
    json.dumps(
        {
            "version": mlflow.__version__,
            "endpoints": [plain(each) for each in client.list_endpoints()],
            "endpoint": plain(client.get_endpoint(endpoint="chat")),
            "chat": client.predict(
                endpoint="chat", inputs={"messages": [{"role": "user", "content": "Say hello."}], "temperature": 1.5}
            ),
            "completions": client.predict(endpoint="completions", inputs={"prompt": "Once"}),
            "embeddings": client.predict(endpoint="embeddings", inputs={"input": ["cats", "dogs"]}),
            "unknown": failure(client.get_endpoint, endpoint="no-such-route"),
            "create": failure(client.create_endpoint, name="made"),
        }
    )
)
