"""Text completions through /generate of Text Generation Inference.

`details`, which contain finish reason and token counts, are requested unless the caller decides otherwise (the
servers' default since 2.0). Their tokens are dropped unless the caller wants logprobs: they repeat the text at ten
times its size. Members of extra_json go into `parameters`, where the API has all of its own.
"""

from __future__ import annotations

from typing import Any

import msgspec

from adapters.contract import Context, HttpCall, Target
from adapters.errors import GatewayError, Kind
from adapters.fit import Fit
from adapters.fit_request import fit_completion
from adapters.huggingface.chat import root_of
from adapters.huggingface.failure import protocol, refuse_error
from adapters.json_object import MALFORMED, Obj, array_items, merge_extra, of_answer
from adapters.plain_text_formats import only_prompt
from adapters.refusals import plain_fields
from sidecar.v1 import inference_pb2 as pb

_PLAIN = (
    ("max_tokens", "max_new_tokens"),
    ("temperature", "temperature"),
    ("top_p", "top_p"),
    ("frequency_penalty", "frequency_penalty"),
    ("seed", "seed"),
    ("best_of", "best_of"),
    ("echo", "return_full_text"),
)
# The members of a request that it supports (`adapters.members`).
PLACES = frozenset(
    {
        *(
            "model",
            "prompt",
            "stream",
            "stream_options",
            "stream_options.include_usage",
            "max_tokens",
            "stop",
            "logprobs",
        ),
        *("temperature", "top_p", "frequency_penalty", "seed", "best_of", "echo"),
    }
)
_OWNED = frozenset({"inputs", "parameters", "stop", "top_n_tokens", *(theirs for _, theirs in _PLAIN)})
_FINISH_REASONS = {
    "eos_token": pb.FINISH_REASON_STOP,
    "stop_sequence": pb.FINISH_REASON_STOP,
    "length": pb.FINISH_REASON_LENGTH,
}
_COUNT_MAX = 2**31 - 1
_COUNTS = msgspec.json.Decoder(int)


class _Token(msgspec.Struct):
    text: str = ""
    logprob: float | None = None


_TOKENS = msgspec.json.Decoder(list[_Token])
_TOP_TOKENS = msgspec.json.Decoder(list[list[_Token]])


def encode(request: pb.CompleteRequest, target: Target, stream: bool, context: Context) -> HttpCall:
    fit = Fit(target)
    request = fit_completion(request, PLACES, fit)
    prompt = only_prompt(request, fit)
    parameters = plain_fields(request, _PLAIN) | _greedy(request)
    if parameters.get("temperature") == 0:
        del parameters["temperature"]
    if parameters.get("top_p") == 1:  # the default; the server only accepts values below 1
        del parameters["top_p"]
    if stream and request.echo:
        fit.refuse("echo", why="it only repeats the prompt in an answer that is not streamed")
        del parameters["return_full_text"]
    if request.stop:
        parameters["stop"] = list(request.stop)
    if request.HasField("logprobs"):
        parameters["top_n_tokens"] = max(1, request.logprobs)  # it only returns logprobs together with alternatives
    parameters = merge_extra(parameters, request.extra_json, "", _OWNED)
    parameters.setdefault("details", True)
    url = root_of(target) + ("/generate_stream" if stream else "/generate")
    body = msgspec.json.encode({"inputs": prompt, "parameters": parameters})
    return HttpCall(url, body, left_out=fit.left_out())


def _greedy(request: pb.CompleteRequest) -> dict[str, Any]:
    """The server refuses a temperature of 0; this is the equivalent."""
    return {"do_sample": False} if request.HasField("temperature") and request.temperature == 0 else {}


def decode(body: bytes, context: Context) -> pb.CompleteResponse:
    """Decodes an answer, or a list with one, as the root path and hosted endpoints return it."""
    obj = _open(body)
    text = obj.string("generated_text")
    if text is None:
        raise protocol("it has no generated_text")
    answer = pb.CompleteResponse(id=context.new_id("cmpl-"), created=context.now_s, model=context.model)
    choice = answer.choices.add(index=0, text=text)
    details = obj.object("details")
    if details is not None:
        read_details(details, choice, answer)
    if (extra := obj.extra()) is not None:
        answer.extra_json = extra
    return answer


def _open(body: bytes) -> Obj:
    obj = open_object(body) if not body.lstrip().startswith(b"[") else None
    if obj is None:
        items = array_items(body, "the body", of_answer)
        if len(items) != 1:
            raise protocol("it is not one answer")
        obj = open_object(items[0][0])
    return obj


def open_object(body: bytes) -> Obj:
    """The members of an answer or an event. Raises upstream_protocol, or the provider's error in a 200."""
    try:
        body.decode()
    except UnicodeDecodeError:
        raise of_answer("the body", "valid UTF-8") from None
    obj = Obj(body, "", of_answer)
    refuse_error(obj)
    return obj


def read_details(details: Obj, choice: pb.CompletionChoice, answer: Any) -> None:
    """Reads finish reason, counts and logprobs; the rest (seed, other sequences) stays in the choice's extra_json."""
    native = details.string("finish_reason") or ""
    if native:
        choice.native_finish_reason = native
        choice.finish_reason = _FINISH_REASONS.get(native, pb.FINISH_REASON_OTHER)
    _read_usage(details, answer)
    tokens, top = details.take("tokens"), details.take("top_tokens")
    if tokens is not None and top is not None:
        choice.logprobs_json = logprobs(tokens, top)
    if rest := details.extra():
        choice.extra_json = '{"details":' + rest + "}"


def _read_usage(details: Obj, answer: Any) -> None:
    """Prompt tokens are counted if the server lists them, or gives their number (streams)."""
    output, prompt = _count(details, "generated_tokens"), _count(details, "input_length")
    prefill = details.members.get("prefill")
    if prefill is not None:
        try:
            listed = len(array_items(bytes(prefill), "prefill", of_answer))
        except GatewayError:
            listed = 0
        prompt = listed or prompt
        if bytes(prefill) == b"[]":
            del details.members["prefill"]
    if output is not None:
        answer.usage.output_tokens = output
    if prompt is not None:
        answer.usage.input_tokens = prompt
    if output is not None and prompt is not None:
        answer.usage.total_tokens = min(output + prompt, _COUNT_MAX)


def _count(obj: Obj, name: str) -> int | None:
    """An invalid count never fails the answer: it stays where it is."""
    try:
        value = _COUNTS.decode(obj.members.get(name, b""))
    except MALFORMED:
        return None
    if not 0 <= value <= _COUNT_MAX:
        return None
    del obj.members[name]
    return value


def logprobs(tokens: bytes, top: bytes) -> str:
    """In the format of OpenAI's text completions, without offsets, which the server does not give."""
    try:
        chosen, tops = _TOKENS.decode(tokens), _TOP_TOKENS.decode(top)
    except MALFORMED:
        raise GatewayError(Kind.UPSTREAM_PROTOCOL, "The provider's answer is not of its format: its tokens.") from None
    return msgspec.json.encode(
        {
            "tokens": [token.text for token in chosen],
            "token_logprobs": [token.logprob for token in chosen],
            "top_logprobs": [{one.text: one.logprob for one in each} for each in tops],
        }
    ).decode()
