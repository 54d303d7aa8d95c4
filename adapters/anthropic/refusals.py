"""What a canonical request can ask and this format cannot say: refused by name, unless the route drops it."""

from __future__ import annotations

from collections.abc import Callable

from adapters.contract import Target
from adapters.errors import GatewayError, Kind
from sidecar.v1 import inference_pb2 as pb

# Parameter, in the words of OpenAI's format -> whether the request asks for it. A value that asks for what the provider does
# anyway (n = 1, a penalty of 0, logprobs = false, store = false) is honoured without a word.
_ASKED: tuple[tuple[str, Callable[[pb.ChatRequest], bool]], ...] = (
    ("n", lambda r: r.HasField("n") and r.n != 1),
    ("seed", lambda r: r.HasField("seed")),
    ("frequency_penalty", lambda r: r.frequency_penalty != 0),
    ("presence_penalty", lambda r: r.presence_penalty != 0),
    ("logit_bias", lambda r: r.HasField("logit_bias_json")),
    ("logprobs", lambda r: r.logprobs),
    ("top_logprobs", lambda r: r.top_logprobs != 0),
    ("modalities", lambda r: any(word != "text" for word in r.modalities)),
    ("audio", lambda r: r.HasField("audio")),
    ("prediction", lambda r: r.HasField("prediction_json")),
    ("store", lambda r: r.store),
    ("verbosity", lambda r: r.HasField("verbosity")),
    ("prompt_cache_key", lambda r: r.HasField("prompt_cache_key")),
    ("stream_options.include_obfuscation", lambda r: r.stream_options.include_obfuscation),
    ("stream_options.extra_json", lambda r: r.stream_options.extra_json != ""),
)


def refuse_unsupported(request: pb.ChatRequest, target: Target) -> None:
    """Raises unsupported_parameter for the first parameter that the format cannot express."""
    for param, asked in _ASKED:
        if asked(request):
            refuse(target, param)


def refuse(target: Target, param: str, name: str | None = None, why: str = "") -> None:
    """Raises unsupported_parameter, unless drop_params lists `param` or its general `name`: then it is to be left out."""
    names = {param, name or param, param.partition(".")[0]}
    if names & frozenset(target.options.get("drop_params", ())):
        return
    message = f"{target.provider.name} does not support {param}"
    raise GatewayError(Kind.UNSUPPORTED_PARAMETER, f"{message}: {why}" if why else message, param=param)


def invalid(param: str, why: str) -> GatewayError:
    return GatewayError(Kind.INVALID_REQUEST, f"{param}: {why}", param=param)
