"""Every RPC of our own services by gRPC, behind both fronts: bytes that are no message, and each field at the ends of its range.

The RPCs and their fields are those of the descriptors: a new one is tried by being there.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import grpc
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message

from sidecar.v1 import inference_pb2, routes_pb2
from tests.garbage.conftest import Gateway, nothing_changed, small_answer
from tests.provider import Provider
from tests.scale import SCALE

METHODS: list[MethodDescriptor] = [
    method
    for module in (inference_pb2, routes_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]
ADMINS = frozenset({"CreateRoute", "UpdateRoute", "DeleteRoute", "SetLimits"})
AT_ONCE = 64
DEPTH = 3
TWO_VECTORS = "The provider answered 2 vectors"  # as the simulator does to whatever it is asked
CALL_S = 60.0
# What says that the caller is mistaken, and that all is well.
MISTAKES = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)
# Bytes that protobuf does not read: it is not known what is called, so it is not known whether the caller may.
NO_MESSAGE = {
    "random bytes": bytes((each * 167 + 13) % 256 for each in range(256)),
    "a length beyond the end": b"\x0a\xff\xff\xff\xff\x0f",
    "a cut varint": b"\x08\xff",
    "a field of number 0": b"\x00\x01",
    "a text that is no UTF-8": b"\x0a\x02\xc3\x28",
    "JSON": b'{"route": "chat"}',
    "deep groups": b"\x0b" * 5000,
}
_TEXTS = (
    "",
    ".",
    "..",
    "%2e%2e",
    "../../etc/passwd",
    "a\0b",
    "a\nb",
    "\u202e",
    "*",
    "-1",
    "{}",
    "[",
    "NaN",
    "a" * 5000,
)
_INT32, _INT64 = 2**31, 2**63
_WHOLE = {FieldDescriptor.CPPTYPE_INT32: _INT32, FieldDescriptor.CPPTYPE_INT64: _INT64}
_REALS = {FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT}


@dataclass(frozen=True, slots=True)
class Call:
    what: str
    method: MethodDescriptor
    user: str | None
    request: bytes

    @property
    def path(self) -> str:
        return f"/{self.method.containing_service.full_name}/{self.method.name}"


def _good(method: MethodDescriptor) -> Message:
    """What is asked to be spoiled; an empty message for what is not known here."""
    made: dict[str, Message] = {
        "ChatRequest": inference_pb2.ChatRequest(
            route="chat",
            messages=[
                inference_pb2.Message(role=inference_pb2.ROLE_USER, content=[inference_pb2.ContentPart(text="x")])
            ],
        ),
        "CompleteRequest": inference_pb2.CompleteRequest(route="completions", prompts=[inference_pb2.Prompt(text="x")]),
        "EmbedRequest": inference_pb2.EmbedRequest(route="embeddings", inputs=[inference_pb2.EmbedInput(text="x")]),
        "CreateRouteRequest": routes_pb2.CreateRouteRequest(route=_spec("chat")),
        "UpdateRouteRequest": routes_pb2.UpdateRouteRequest(route=_spec("chat")),
        "SetLimitsRequest": routes_pb2.SetLimitsRequest(
            route="nobody",
            limits=[routes_pb2.RateLimit(unit=routes_pb2.LIMIT_UNIT_REQUESTS, count=1, per_seconds=60)],
        ),
        "DeleteRouteRequest": routes_pb2.DeleteRouteRequest(name="chat"),
    }
    found = made.get(method.input_type.name)
    return _class(method)() if found is None else found


def _spec(name: str) -> routes_pb2.RouteSpec:
    model = routes_pb2.ModelSpec(
        provider="openai-compatible", name="m", config_json='{"base_url": "http://127.0.0.1:9/v1"}'
    )
    return routes_pb2.RouteSpec(name=name, task=routes_pb2.TASK_CHAT, model=model)


@cache
def _class(method: MethodDescriptor) -> Any:
    return message_factory.GetMessageClass(method.input_type)


def _spoiled(message: Message, depth: int = DEPTH, at: str = "") -> Iterator[tuple[str, Message]]:
    """The message with each field in turn at an end of its range."""
    fields: Any = message.DESCRIPTOR.fields  # protobuf has two classes of descriptors for types
    for field in fields:
        place = f"{at}{field.name}"
        for value in _ends(field):
            fresh = type(message)()
            fresh.CopyFrom(message)
            _put(fresh, field, value)
            yield f"{place} = {value!r}"[:80], fresh
        if field.message_type is not None and depth and not field.message_type.GetOptions().map_entry:
            inner = message_factory.GetMessageClass(field.message_type)()
            present = getattr(message, field.name)
            if field.is_repeated:
                inner.CopyFrom(present[0]) if present else None
            else:
                inner.CopyFrom(present)
            for where, spoiled in _spoiled(inner, depth - 1, f"{place}."):
                fresh = type(message)()
                fresh.CopyFrom(message)
                _put(fresh, field, spoiled)
                yield where, fresh


def _ends(field: FieldDescriptor) -> tuple[Any, ...]:
    """Values of its type, as far out as they go."""
    if field.enum_type is not None:
        return (0, 99, -1)
    if (most := _WHOLE.get(field.cpp_type)) is not None:
        return (0, -1, most - 1, -most)
    if field.cpp_type in _REALS:
        return (-1.0, float("nan"), float("inf"), float("-inf"), struct.unpack("<d", b"\xff" * 6 + b"\xef\x7f")[0])
    if field.type == FieldDescriptor.TYPE_BYTES:
        return (b"", b"\xff" * 64)
    if field.type == FieldDescriptor.TYPE_STRING:
        return _TEXTS
    if field.message_type is not None and not field.message_type.GetOptions().map_entry:
        return (message_factory.GetMessageClass(field.message_type)(),)
    return ()


def _put(message: Message, field: FieldDescriptor, value: Any) -> None:
    if field.is_repeated:
        message.ClearField(field.name)
        held = getattr(message, field.name)
        held.append(value) if field.message_type is None else held.add().CopyFrom(value)
    elif field.message_type is not None:
        getattr(message, field.name).SetInParent()
        getattr(message, field.name).CopyFrom(value)
    else:
        setattr(message, field.name, value)


def _answered(gateway: Gateway, calls: list[Call]) -> Iterator[tuple[Call, grpc.StatusCode, str]]:
    """Each with its status, AT_ONCE at a time."""
    stack = gateway.stack
    with grpc.secure_channel(stack.grpc_front, grpc.ssl_channel_credentials(stack.ca.read_bytes())) as channel:
        for start in range(0, len(calls), AT_ONCE):
            some = calls[start : start + AT_ONCE]
            for call, running in [(call, _begun(channel, call, gateway)) for call in some]:
                if call.method.server_streaming:
                    try:
                        list(running)
                    except grpc.RpcError:
                        pass
                yield call, running.code(), running.details() or ""


def _begun(channel: Any, call: Call, gateway: Gateway) -> Any:
    metadata = () if call.user is None else (("authorization", f"Bearer {gateway.keys[call.user]}"),)
    if call.method.server_streaming:
        return channel.unary_stream(call.path)(call.request, metadata=metadata, timeout=CALL_S)
    return channel.unary_unary(call.path).future(call.request, metadata=metadata, timeout=CALL_S)


def _by_role(call: Call, code: grpc.StatusCode) -> bool | None:
    if call.user is None:
        return code is grpc.StatusCode.UNAUTHENTICATED
    if call.user != "boss" and call.method.name in ADMINS:
        return code is grpc.StatusCode.PERMISSION_DENIED
    return None


def test_what_is_no_message_reaches_no_servicer(gateway: Gateway, simulator: Provider) -> None:
    calls = [
        Call(what, method, user, data)
        for method in METHODS
        for user in (None, "ann", "boss")
        for what, data in NO_MESSAGE.items()
    ]
    before = len(simulator.calls)
    with nothing_changed(gateway):
        wrong = [
            (call.what, call.path, call.user, code, words)
            for call, code, words in _answered(gateway, calls)
            if code is not (grpc.StatusCode.UNAUTHENTICATED if call.user is None else grpc.StatusCode.INVALID_ARGUMENT)
        ]
    assert wrong == []
    assert len(simulator.calls) == before


@pytest.mark.parametrize("service", ["RouteService", "InferenceService"])
def test_a_field_at_the_end_of_its_range_is_the_callers_mistake_or_fine(
    gateway: Gateway, simulator: Provider, service: str
) -> None:
    simulator.script = small_answer
    calls = []
    for method in (method for method in METHODS if method.containing_service.name == service):
        spoiled = list(_spoiled(_good(method)))
        if service == "InferenceService":
            spoiled = spoiled[:: round(1 / (2 * SCALE)) or 1]
        for what, message in spoiled:
            users = ("ann", "boss") if method.name in ADMINS else ("boss",)
            calls += [Call(what, method, user, message.SerializeToString()) for user in users]
            if what.startswith(("name", "route =")):
                calls.append(Call(what, method, None, message.SerializeToString()))
    made = []

    def right(call: Call, code: grpc.StatusCode, words: str) -> bool:
        by_role = _by_role(call, code)
        if by_role is not None:
            return by_role
        if code is grpc.StatusCode.OK and call.method.name == "CreateRoute":
            made.append(routes_pb2.CreateRouteRequest.FromString(call.request).route.name)
        return code is grpc.StatusCode.OK or code in MISTAKES or TWO_VECTORS in words

    with nothing_changed(gateway):
        wrong = [
            f"{call.path} by {call.user}, {call.what}: {code}, {words[:150]}"
            for call, code, words in _answered(gateway, calls)
            if not right(call, code, words)
        ]
        for name in made:
            gateway.delete(name)
    assert "\n".join(wrong) == ""
