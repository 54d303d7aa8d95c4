"""How a call ends: gRPC's status codes, and the trailers that carry one."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any

from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from sidecar.transport.metadata import Pair, quoted, written

DETAILS_KEY = "grpc-status-details-bin"
_DOMAIN = "sidecar"


class Status(IntEnum):
    """The codes of https://grpc.github.io/grpc/core/md_doc_statuscodes.html that a server itself answers with."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    RESOURCE_EXHAUSTED = 8
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14


class Aborted(Exception):
    """A servicer ended its call through `Context.abort`. Do not catch it: the transport writes the trailers."""

    def __init__(self, code: int, message: str = "", trailing: Sequence[Pair] = ()) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.trailing = trailing


class Refused(Aborted):
    """The transport ended a call that violated a rule or a limit."""


class MalformedMessage(Refused):
    """A message that is not of the method's type."""

    def __init__(self, name: str) -> None:
        text = f"The request is not a valid {name} message."
        info = error_details_pb2.ErrorInfo(reason="INVALID_REQUEST", domain=_DOMAIN)
        packed = any_pb2.Any()
        packed.Pack(info)
        status = status_pb2.Status(code=int(Status.INVALID_ARGUMENT), message=text, details=[packed])
        super().__init__(Status.INVALID_ARGUMENT, text, [(DETAILS_KEY, status.SerializeToString())])


def number(code: Any) -> int:
    """Returns the number of an int or a `grpc.StatusCode`, whose value is a pair."""
    return code if isinstance(code, int) else int(code.value[0])


def trailers(code: int, message: str, trailing: Sequence[Pair]) -> list[tuple[str, bytes]]:
    """Encodes the trailers. Raises ValueError if the metadata cannot be sent."""
    pairs = [("grpc-status", b"%d" % code)]
    if message:
        pairs.append(("grpc-message", quoted(message)))
    pairs.extend(written(trailing))
    return pairs
