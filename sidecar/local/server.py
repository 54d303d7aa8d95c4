"""Serves the embedded model over HTTP in OpenAI's format, on loopback: `python -m sidecar.local.server --model FILE
--port N`.

The HTTP server is llama.cpp's, inside xllamacpp. This process only sets it up, and ends with its parent.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from sidecar.local.launch import MODEL
from sidecar.local.parent import die_with_parent

# The context length that the model was trained for. Its cache takes 190 MB at this size; concurrent requests share
# it.
_CONTEXT_TOKENS = 8192
# Requests computed together. More would only slow each one down: the processor is the limit.
_SLOTS = 4
# The longest answer if the caller sets no max_tokens: a model this small may repeat itself endlessly.
_ANSWER_TOKENS_MAX = 512
# This server's defaults, as any provider has: the model's authors recommend 0.2 and 0.9; the penalty prevents loops
# (with llama.cpp's own defaults, "Say hello." filled 2,048 tokens with one emoji).
_TEMPERATURE = 0.2
_TOP_P = 0.9
_REPEAT_PENALTY = 1.1
# One thread per connection, including streams and keep-alive.
_CONNECTIONS_MAX = 128
# On a small machine, llama.cpp's spin-waits take the processor from the gateway: 2 threads on 2 busy cores were 20
# times slower.
_CORES_OF_A_SMALL_MACHINE = 4
_THREADS_MAX = 4
# How often to check for the parent if the kernel does not report its end (macOS).
_PARENT_POLL_S = 1.0


def _threads() -> int:
    cores = os.cpu_count() or 1
    return 1 if cores <= _CORES_OF_A_SMALL_MACHINE else min(_THREADS_MAX, cores // 2)


def _parameters(model: Path, port: int) -> Any:
    """llama.cpp's settings for a server that generates text and computes embeddings (mean pooling)."""
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(model)
    parameters.model_alias = {MODEL}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = port
    parameters.cors_origins = ""  # no web page may call it
    parameters.ui = False
    parameters.endpoint_slots = False  # it would show other callers' prompts
    parameters.verbosity = -1
    parameters.chat_template = (Path(__file__).parent / "chat_template.jinja").read_text()
    parameters.embedding = True
    parameters.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    # A text to embed must fit into one physical batch.
    parameters.n_batch = parameters.n_ubatch = 2048
    parameters.n_ctx = _CONTEXT_TOKENS
    parameters.n_parallel = _SLOTS
    parameters.kv_unified = True
    parameters.n_predict = _ANSWER_TOKENS_MAX
    parameters.sampling.temp = _TEMPERATURE
    parameters.sampling.top_p = _TOP_P
    parameters.sampling.penalty_repeat = _REPEAT_PENALTY
    parameters.n_threads_http = _CONNECTIONS_MAX
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = _threads()
    parameters.n_gpu_layers = 0
    parameters.fit_params = False
    parameters.cache_ram_mib = 0  # by default, it keeps up to 8 GiB of prompts
    return parameters


def _stop(number: int, frame: FrameType | None) -> None:
    # llama.cpp joins its threads in a destructor, which waits for running answers; there is nothing to save.
    os._exit(0)


def _port_problem(port: int) -> str | None:
    """Checked before llama.cpp does, which reports "failed" without a reason."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError as error:
            return error.strerror
    return None


def serve(model: Path, port: int, parent_pid: int) -> str:
    """Serves until SIGTERM, SIGINT, or the parent's end. Prints one line if it cannot."""
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    die_with_parent()
    if not model.is_file():
        return f"{model}: no such model file"
    if (problem := _port_problem(port)) is not None:
        return f"port {port} on 127.0.0.1: {problem}"
    try:
        import xllamacpp
    except ImportError as error:
        return f"the embedded model needs xllamacpp, which does not load here: {error}"
    try:
        server = xllamacpp.Server(_parameters(model, port))
    except RuntimeError as error:
        return f"{model}: llama.cpp cannot serve it: {error}"
    while os.getppid() == parent_pid:
        time.sleep(_PARENT_POLL_S)
    del server
    os._exit(0)


def main() -> int:
    parser = argparse.ArgumentParser(description="Serve the embedded model in OpenAI's format on loopback.")
    parser.add_argument("--model", type=Path, required=True, help="the GGUF file")
    parser.add_argument("--port", type=int, required=True, help="TCP port on 127.0.0.1")
    parser.add_argument("--parent-pid", type=int, default=os.getppid(), help="end when this is no longer the parent")
    arguments = parser.parse_args()
    print(f"sidecar local model: {serve(arguments.model, arguments.port, arguments.parent_pid)}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
