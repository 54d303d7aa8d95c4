"""Everything that can go wrong between the gateway and a provider, as exceptions with a kind and a message for
callers.

These messages contain no address and quote nothing of an answer. `reason` is for the operator's log, and so is what
`explain` finds in the chain of causes: messages of the system or the TLS library, which contain nothing of a request
or an answer.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from typing import ClassVar

from adapters import GatewayError, Kind


class Failure(Exception):
    """`reason` says briefly what was wrong; "" if the class says everything. `phase` is the step of the exchange."""

    kind: ClassVar[Kind] = Kind.UPSTREAM_UNAVAILABLE
    text: ClassVar[str]
    phase: ClassVar[str] = "answer"

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason or self.text)
        self.reason = reason

    def shown(self) -> GatewayError:
        """The error that callers get. Raise it `from` this one."""
        return GatewayError(self.kind, self.text)


class ConnectFailed(Failure):
    text = "Cannot connect to the provider."
    phase = "connect"


class NameUnknown(ConnectFailed):
    phase = "name"


class ConnectTimedOut(Failure):
    kind = Kind.UPSTREAM_TIMEOUT
    text = "Cannot connect to the provider in time."
    phase = "connect"


class ProxyRefused(Failure):
    text = "The proxy refused to connect to the provider."
    phase = "proxy"


class TlsRefused(Failure):
    text = "The provider's TLS certificate or handshake was refused."
    phase = "tls"


class TrustUnreadable(TlsRefused):
    text = "The file of CA certificates for the provider cannot be read; an operator has to fix it."


class TokenRefused(Failure):
    text = "Cannot connect to the provider's token service."
    phase = "token"


class OutOfResources(Failure):
    """This process is out of file descriptors or memory, which says nothing about the provider."""

    kind = Kind.OVERLOADED
    text = "The gateway is out of file descriptors or memory."
    phase = "connect"


class ConnectionLost(Failure):
    """The connection was lost before the head was complete. `answered`: some bytes of an answer had arrived."""

    text = "The provider closed the connection without an answer."

    def __init__(self, reason: str = "", *, answered: bool = False) -> None:
        super().__init__(reason)
        self.answered = answered


class BadRequest(Failure):
    """The request cannot be sent: a header value with a line break, a URL without a host. The config refuses such
    values; this is the last line of defence."""

    kind = Kind.INTERNAL
    text = "The gateway could not write the request to the provider."
    phase = "request"


class BadHead(Failure):
    """The head violates RFC 9112."""

    kind = Kind.UPSTREAM_PROTOCOL
    text = "The provider's answer is not HTTP."


class HeadTooLarge(Failure):
    kind = Kind.UPSTREAM_PROTOCOL
    text = "The head of the provider's answer is too large."


class TooManyInformational(Failure):
    kind = Kind.UPSTREAM_PROTOCOL
    text = "The provider sent too many informational responses."


class BodyBroken(Failure):
    """The body breaks off, or its framing violates RFC 9112."""

    kind = Kind.UPSTREAM_INTERRUPTED
    text = "The provider's answer broke off."
    phase = "body"


class UnknownCoding(Failure):
    kind = Kind.UPSTREAM_PROTOCOL
    text = "The provider's answer uses a compression that the gateway does not support."
    phase = "body"


class BrokenCoding(Failure):
    kind = Kind.UPSTREAM_PROTOCOL
    text = "The provider's answer cannot be decompressed."
    phase = "body"


_OUT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
# Maximum length of a chain of causes, across our own code, the HTTP library, the event loop and the system. The
# longest seen is seven, from a token service.
_CAUSES_MAX = 12
# Maximum length of one message in the log.
_CHARACTERS_MAX = 300


def is_out_of_resources(error: BaseException) -> bool:
    """Whether this process or the machine ran out of descriptors or memory."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _OUT):
        return True
    if not isinstance(error, socket.gaierror):
        return False
    try:  # without a free descriptor, a lookup fails with "try again" or "unknown"
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as failed:
        return failed.errno in _OUT
    return False


def internal_failure(error: BaseException) -> GatewayError | None:
    """The error for callers if this process ran out of a resource; None if `error` is a bug."""
    return GatewayError(OutOfResources.kind, OutOfResources.text) if is_out_of_resources(error) else None


def explain(error: BaseException) -> tuple[str, str]:
    """Explains for the operator's log where in the exchange a call failed, and why. Both results are printable, and
    "" if the causes say no more than the error's own message."""
    phase, words = "", []
    cause = error.__cause__
    for _ in range(_CAUSES_MAX):
        if cause is None:
            break
        if isinstance(cause, Failure):
            phase = phase or cause.phase
            words.append(cause.reason or cause.text)
        elif text := _words_of(cause):
            words.append(text)
        cause = _behind(cause)
    return phase, printable(" ".join(dict.fromkeys(words)))


def _behind(error: BaseException) -> BaseException | None:
    """The next error in a chain of causes. Libraries do not always raise `from`."""
    if isinstance(error, ExceptionGroup):
        return error.exceptions[0]
    return error.__cause__ or (None if isinstance(error, Failure | GatewayError) else error.__context__)


def _words_of(error: BaseException) -> str:
    """A library's own message if that class of errors quotes nothing; otherwise the type."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"{error.verify_message} ({error.verify_code})."
        case ssl.SSLError():
            return f"{error.reason or error.strerror or 'TLS error'}."
        case socket.gaierror():
            return f"{error.strerror} ({error.errno})."
        case OSError() if error.errno is not None:
            return f"{os.strerror(error.errno)} ({errno.errorcode.get(error.errno, error.errno)})."
        case GatewayError() | ExceptionGroup() | OSError():
            return ""
        case _:
            return f"{type(error).__name__}."


def printable(text: str) -> str:
    """Makes a text printable on one line, and truncates it."""
    cut = text if len(text) <= _CHARACTERS_MAX else f"{text[:_CHARACTERS_MAX]}..."
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in cut)
