"""The gRPC channels of one client. Each is served by one worker of the gateway, so a client has several and uses
them in turn.

When the gateway closes a connection (restart, age limit), gRPC opens another one: calls in progress finish, and
later ones use the new connection.
"""

from __future__ import annotations

import itertools
import operator
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc

from llm_gateway_client.errors import SidecarError
from llm_gateway_client.grpc_codec import Rpc
from llm_gateway_client.requests import Call
from llm_gateway_client.targets import Target

# The gateway's own message limit; gRPC's default is 4 MiB, which 1,000 embeddings exceed.
_MESSAGE_BYTES_MAX = 64 * 1024 * 1024
OPTIONS = (
    ("grpc.max_receive_message_length", _MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", _MESSAGE_BYTES_MAX),
    ("grpc.use_local_subchannel_pool", 1),  # otherwise channels to the same address would share a connection
    # gRPC itself resends what the server has certainly not seen (on a connection that was just closed). Retry
    # policies, which DNS could supply, would repeat calls that cost money: only retry_policy.py decides on those.
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.primary_user_agent", "llm-gateway-client/1"),
)
_serialized = operator.methodcaller("SerializeToString")


class Pool:
    """At most `channels` channels, each opened by its first call. `open_` creates one, sync or async."""

    def __init__(self, target: Target, channels: int, open_: Callable[[], Any]) -> None:
        self._open = open_
        self._channels: list[Any] = [None] * channels
        self._methods: dict[tuple[int, str], Any] = {}
        self._lock = threading.Lock()
        self._turn = itertools.count()
        self._metadata = () if target.authorization is None else (("authorization", target.authorization),)

    def method(self, rpc: Rpc) -> Any:
        """Returns the callable for a call, on the next channel."""
        at = next(self._turn) % len(self._channels)
        with self._lock:  # threads may share a client
            method = self._methods.get((at, rpc.path))
            if method is None:
                if self._channels[at] is None:
                    self._channels[at] = self._open()
                make = self._channels[at].unary_stream if rpc.streams else self._channels[at].unary_unary
                method = self._methods[at, rpc.path] = make(
                    rpc.path, request_serializer=_serialized, response_deserializer=rpc.answer_of
                )
        return method

    def metadata(self, request_id: str) -> tuple[tuple[str, str], ...]:
        return (*self._metadata, ("x-request-id", request_id))

    def opened(self) -> list[Any]:
        """Removes and returns the open channels; later calls open new ones."""
        with self._lock:
            channels = [channel for channel in self._channels if channel is not None]
            self._channels = [None] * len(self._channels)
            self._methods.clear()
        return channels


def credentials_of(target: Target) -> grpc.ChannelCredentials | None:
    """Returns None for a target without TLS. Reads the CA file."""
    if not target.tls:
        return None
    return grpc.ssl_channel_credentials(Path(target.ca).read_bytes() if target.ca is not None else None)


def message_of(rpc: Rpc, call: Call[Any], request_id: str) -> Any:
    """Encodes the request. Raises InvalidRequest, as the gateway would."""
    try:
        return rpc.encode(call.body)
    except SidecarError as error:
        error.request_id = request_id
        raise
