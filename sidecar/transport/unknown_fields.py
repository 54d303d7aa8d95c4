"""Refuses protobuf fields that this version does not know. Ignoring them would silently change what the caller
gets."""

from __future__ import annotations

from typing import Any, NoReturn

from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from adapters import GatewayError, Kind, pieces


def refuse_unknown_fields(message: Message) -> None:
    """Raises invalid_request naming the first unknown field by message and number. Does not change the message."""
    clean = type(message)()
    clean.CopyFrom(message)
    clean.DiscardUnknownFields()
    # Both steps run in C; walking the message in Python would cost more than the rest of the servicer.
    if clean.ByteSize() != message.ByteSize():
        _refuse(message)


def refuse_unknown_fields_of_large(message: Message) -> None:
    """The same in steps, between which others have the interpreter."""
    if len(UnknownFieldSet(message)) or any(map(_has_unknown_fields, pieces(message))):
        _refuse(message)


def _has_unknown_fields(piece: Message) -> bool:
    """The piece is changed."""
    size = piece.ByteSize()
    piece.DiscardUnknownFields()
    return piece.ByteSize() != size


def _refuse(message: Message) -> NoReturn:
    where, number = _find(message)
    raise GatewayError(
        Kind.INVALID_REQUEST, f"Unknown field number {number} in {where}: this version of the gateway does not know it."
    )


def _find(message: Any) -> tuple[str, int]:
    unknown = UnknownFieldSet(message)
    if len(unknown):
        return message.DESCRIPTOR.full_name, unknown[0].field_number
    for field, value in message.ListFields():
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        for inner in value if field.is_repeated else (value,):
            where, number = _find(inner)
            if number:
                return where, number
    return "", 0
