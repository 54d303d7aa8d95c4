"""OpenAI's Responses API, both sides: chat, unary and streamed
(https://platform.openai.com/docs/api-reference/responses).

The client side reads Codex, the Agents SDK and others; `remembered` handles stored answers. The provider side talks
to OpenAI and Azure: bodies of callers of this format pass through, those of all other callers of a route with
`chat_api: responses` are translated.
"""

from __future__ import annotations

from adapters.contract import ClientSide, Context, Envelope, Format, ProviderSide, Task
from adapters.openai import FORMAT as _OPENAI
from adapters.openai import open_plain_body
from adapters.responses.answer import encode_response
from adapters.responses.fit import fit_request, leaves
from adapters.responses.observer import observe
from adapters.responses.passed_events import PassedEvents
from adapters.responses.passing import check, patch_for, takes_responses
from adapters.responses.provider_answer import EventDecoder, decode
from adapters.responses.provider_request import encode
from adapters.responses.remembered import not_kept
from adapters.responses.request import LEFT_OUT, decode_request, read
from adapters.responses.side_calls import check_count, decode_count, encode_count, patch_compact_for, patch_count_for
from adapters.responses.stream import ResponseWriter
from sidecar.v1 import inference_pb2 as pb

__all__ = ["FORMAT", "LEFT_OUT", "ResponseWriter", "not_kept"]


def _bare(answer: pb.ChatResponse) -> bytes:
    """An answer to a request that is not available, so nothing of it is repeated."""
    context = Context(answer.created, lambda prefix: prefix + answer.id)
    return encode_response(Envelope({}, answer.model, stream=False, include_usage=True), answer, context)


FORMAT = Format(
    name="responses",
    client={
        Task.CHAT: ClientSide(
            open_plain_body,
            decode_request,
            _bare,
            None,
            fit=fit_request,
            leaves=leaves,
            read=read,
            writer=ResponseWriter,
            whole=encode_response,
            passing=PassedEvents,
        )
    },
    provider={
        Task.CHAT: ProviderSide(
            encode=encode,
            decode=decode,
            stream=EventDecoder,
            patch_for=patch_for,
            check=check,
            observe=observe,
            offered=takes_responses,
            counting=ProviderSide(
                encode=encode_count, decode=decode_count, stream=None, patch_for=patch_count_for, check=check_count
            ),
            compacting=ProviderSide(
                encode=encode, decode=decode, stream=None, patch_for=patch_compact_for, check=check
            ),
        )
    },
    error=_OPENAI.error,
    paths=("/responses",),
)
