"""Tool results as formats want them: directly after their calls, and as texts."""

from __future__ import annotations

from collections.abc import Iterable

from sidecar.v1 import inference_pb2 as pb

_MEDIA = ("image", "file")
_ATTACHED = "(see the attachment in the next message)"


def behind_their_calls(messages: Iterable[pb.Message]) -> list[pb.Message]:
    """Moves results directly after the turn with their calls, in their order; what was in between follows.

    Items of the Responses API may have anything there, and so may the blocks of a user's turn. Chat completions and Cohere's
    API refuse a history with something else between calls and their results. A result without a call stays in its place.
    """
    places: list[list[pb.Message]] = []
    of_call: dict[str, list[pb.Message]] = {}
    for message in messages:
        if message.role == pb.ROLE_TOOL and (place := of_call.get(message.tool_call_id)) is not None:
            place.append(message)
            continue
        places.append([message])
        of_call |= {call.id: places[-1] for call in message.tool_calls}
    return [message for place in places for message in place]


def have_media(messages: Iterable[pb.Message]) -> bool:
    """Whether a result contains an image or a file."""
    return any(
        message.role == pb.ROLE_TOOL and any(part.WhichOneof("part") in _MEDIA for part in message.content)
        for message in messages
    )


def with_media_behind(messages: Iterable[pb.Message]) -> list[pb.Message]:
    """Moves images and files of results to a user message after all results of the turn, with the ids of their
    calls. Changes the messages in place."""
    out: list[pb.Message] = []
    media: list[pb.ContentPart] = []
    for message in messages:
        if message.role == pb.ROLE_TOOL:
            _take_media(message, media)
            out.append(message)
            continue
        if media:
            if message.role != pb.ROLE_USER:
                out.append(pb.Message(role=pb.ROLE_USER, content=media))
            else:
                message = pb.Message(role=pb.ROLE_USER, content=[*media, *message.content])
            media = []
        out.append(message)
    if media:
        out.append(pb.Message(role=pb.ROLE_USER, content=media))
    return out


def _take_media(message: pb.Message, media: list[pb.ContentPart]) -> None:
    found = [part for part in message.content if part.WhichOneof("part") in _MEDIA]
    if not found:
        return
    media.append(pb.ContentPart(text=f"The result of tool call {message.tool_call_id} has this attached:"))
    media.extend(pb.ContentPart.FromString(part.SerializeToString()) for part in found)
    kept = [part for part in message.content if part.WhichOneof("part") not in _MEDIA]
    copies = pb.Message(content=kept or [pb.ContentPart(text=_ATTACHED)])
    del message.content[:]
    message.content.extend(copies.content)
