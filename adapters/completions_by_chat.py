"""Text completions for providers that only chat: the prompt becomes one user message, and its answer is the
continuation.

Most models no longer have a completions API, while MLflow's examples request completions from `gpt-4`. This works
with any format's chat. What chat cannot express is refused by name. A thought in the answer stays in the choice's
extra_json.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from adapters.contract import Context, Decoder, Format, HttpCall, ProviderSide, Target, Task
from adapters.errors import GatewayError, Kind
from adapters.fit import Fit
from adapters.fit_request import fit_completion
from adapters.members import COMPLETIONS
from adapters.sse import Event
from sidecar.v1 import inference_pb2 as pb

# Fields with the same name in both requests.
_SAME = (
    "n",
    "max_tokens",
    "temperature",
    "top_p",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias_json",
    "user",
)
# The members of a request that a conversation supports (`adapters.members`); the provider's chat checks them again.
_PLACES = frozenset(COMPLETIONS) - {"suffix", "echo", "best_of"}
_OBJECTS = msgspec.json.Decoder(dict[str, msgspec.Raw])
# If a provider's thought has no name of its own.
_THOUGHT = "reasoning_content"
_WHY = "this model serves completions through chat"


def side_of(format_: Format, target: Target, task: Task) -> ProviderSide | None:
    """How `target` serves `task`; None if it does not. The route's `completions_api` overrides the provider's row."""
    if task not in target.provider.tasks:
        return None
    own = format_.provider.get(task)
    if task is not Task.COMPLETIONS or not _by_chat(own, target):
        return own
    chat = format_.provider.get(Task.CHAT)
    return None if chat is None else completions_by_chat(chat)


def _by_chat(own: ProviderSide | None, target: Target) -> bool:
    options = target.provider.options
    api = target.options.get("completions_api") or options.get("completions_api", "completions")
    if api == "by_model":
        base = target.model.lower().removeprefix("ft:").partition(":")[0]  # ft:davinci-002:company::id
        return base not in options["completions_models"]
    return own is None or api == "chat"


def completions_by_chat(chat: ProviderSide) -> ProviderSide:
    """Derives a side for completions from one for chat. Bodies never pass through, since the formats differ."""

    def encode(request: pb.CompleteRequest, target: Target, stream: bool, context: Context) -> HttpCall:
        fit = Fit(target)
        wanted = fit_completion(request, _PLACES, fit)
        try:
            call = chat.encode(_request(wanted, fit), target, stream, context)
        except GatewayError as error:
            if error.param == "top_logprobs":  # unknown to this caller
                raise fit.unsupported("logprobs", f"{_WHY}, which has no alternatives", drop_as="logprobs") from None
            raise
        return call._replace(left_out=tuple(dict.fromkeys((*fit.left_out(), *call.left_out))))

    def decode(body: bytes, context: Context) -> pb.CompleteResponse:
        return _answer(chat.decode(body, context))

    stream = None if chat.stream is None else _stream(chat.stream)
    return ProviderSide(encode, decode, stream, framing=chat.framing)


def _stream(chat: Callable[[Target, Context], Decoder]) -> Callable[[Target, Context], Decoder]:
    return lambda target, context: _Texts(chat(target, context))


def _request(request: pb.CompleteRequest, fit: Fit) -> pb.ChatRequest:
    _check_prompt(request, fit)
    out = pb.ChatRequest(route=request.route, stop=request.stop)
    out.messages.add(role=pb.ROLE_USER).content.add(text=request.prompts[0].text)
    for name in _SAME:
        if request.HasField(name):
            setattr(out, name, getattr(request, name))
    models: tuple[str, ...] = fit.target.provider.options.get("max_completion_tokens_models", ())
    if request.HasField("max_tokens") and fit.target.model.lower().startswith(models):
        out.ClearField("max_tokens")
        out.max_completion_tokens = request.max_tokens
    if request.HasField("logprobs"):
        out.logprobs = True
        if request.logprobs:
            out.top_logprobs = request.logprobs
    if request.HasField("stream_options"):
        out.stream_options.CopyFrom(request.stream_options)
    if request.HasField("extra_json"):
        out.extra_json = request.extra_json
    return out


def _check_prompt(request: pb.CompleteRequest, fit: Fit) -> None:
    if not request.prompts:
        raise GatewayError(Kind.INVALID_REQUEST, "'prompt' must have at least one prompt.", param="prompt")
    if len(request.prompts) > 1:
        raise fit.unsupported("prompt", f"{_WHY}, which takes one prompt per call")
    kind = request.prompts[0].WhichOneof("prompt")
    if kind == "tokens":
        raise fit.unsupported("prompt", f"{_WHY}, which takes a text instead of token ids")
    if kind is None:
        raise GatewayError(Kind.INVALID_REQUEST, "'prompt' is empty.", param="prompt")


def _answer(chat: pb.ChatResponse) -> pb.CompleteResponse:
    out = pb.CompleteResponse()
    _head(chat, out)
    for choice in chat.choices:
        into = out.choices.add(index=choice.index)
        texts: list[str] = []  # joined at the end, because a message's field is copied whenever it is extended
        thought: list[str] = []
        for part in choice.message.content:
            match part.WhichOneof("part"):
                case "text":
                    texts.append(part.text)
                case (
                    "refusal"
                ):  # what the model wrote instead of an answer; a text completion has no other place for it
                    texts.append(part.refusal)
                case "thinking":
                    thought.append(part.thinking.text)
        into.text = "".join(texts)
        _finish(choice, into, choice.message.extra_json, "".join(thought))
    return out


class _Texts:
    """Converts chat chunks to text chunks, leaving out what has no text (a role)."""

    __slots__ = ("_chat",)

    def __init__(self, chat: Decoder) -> None:
        self._chat = chat

    @property
    def done(self) -> bool:
        return self._chat.done

    @property
    def repeats(self) -> bool:
        return self._chat.repeats

    def feed(self, event: Event) -> list[Any]:
        return [made for chunk in self._chat.feed(event) if (made := _chunk(chunk)) is not None]

    def close(self) -> list[Any]:
        return [made for chunk in self._chat.close() if (made := _chunk(chunk)) is not None]


def _chunk(chat: pb.StreamChatResponse) -> pb.StreamCompleteResponse | None:
    out = pb.StreamCompleteResponse()
    _head(chat, out)
    for choice in chat.choices:
        into = pb.CompletionChoice(index=choice.index, text=choice.delta.content + choice.delta.refusal)
        _finish(choice, into, choice.delta.extra_json, choice.delta.thinking.text)
        if into.text or into.finish_reason or into.HasField("logprobs_json") or into.HasField("extra_json"):
            out.choices.append(into)
    return out if out.choices or out.HasField("usage") or out.HasField("extra_json") else None


def _head(chat: Any, out: Any) -> None:
    out.id, out.created, out.model = chat.id, chat.created, chat.model
    if chat.HasField("usage"):
        out.usage.CopyFrom(chat.usage)
    for name in ("system_fingerprint", "extra_json"):
        if chat.HasField(name):
            setattr(out, name, getattr(chat, name))


def _finish(choice: Any, into: pb.CompletionChoice, message_extra: str, thought: str) -> None:
    into.finish_reason = choice.finish_reason
    into.native_finish_reason = choice.native_finish_reason
    if choice.HasField("logprobs"):
        into.logprobs_json = _logprobs(choice.logprobs)
    extra = {**(_OBJECTS.decode(choice.extra_json) if choice.extra_json else {})}
    if message_extra:
        extra |= _OBJECTS.decode(message_extra)
    if thought:
        extra[_THOUGHT] = msgspec.Raw(msgspec.json.encode(thought))
    if extra:
        into.extra_json = msgspec.json.encode(extra).decode()


def _logprobs(logprobs: pb.Logprobs) -> str:
    """In the format of text completions: one list per kind. Without text_offset, since the end of the prompt is
    unknown here."""
    tokens = logprobs.content
    return msgspec.json.encode(
        {
            "tokens": [each.token for each in tokens],
            "token_logprobs": [each.logprob for each in tokens],
            "top_logprobs": [{top.token: top.logprob for top in each.top} for each in tokens],
        }
    ).decode()
