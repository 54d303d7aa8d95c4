"""The embedded model: SmolLM2-135M-Instruct, run by llama.cpp as an ordinary upstream of OpenAI's format on
loopback.

`ensure_model` fetches the file once, `command` starts its server, `ready` tells whether it serves. One server
answers chat, completions and embeddings under one address (decision 0008).
"""

from __future__ import annotations

from sidecar.local.fetch import ModelError, ensure_model
from sidecar.local.launch import MODEL, base_url, command, free_port, ready

__all__ = ["MODEL", "ModelError", "base_url", "command", "ensure_model", "free_port", "ready"]
