"""Server reflection, v1 and v1alpha, which tools such as grpcurl use to discover the methods.

The messages of both versions are identical on the wire. grpcio-reflection only ships v1alpha, so the same servicer
serves v1, with a descriptor derived from v1alpha's by renaming it.
"""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from sidecar.transport.methods import Methods

ALPHA: str = reflection.SERVICE_NAME
SERVICE = "grpc.reflection.v1.ServerReflection"
_ALPHA_PACKAGE, _PACKAGE = "grpc.reflection.v1alpha", "grpc.reflection.v1"
_FILE = "grpc/reflection/v1/reflection.proto"


def add_reflection(methods: Methods) -> None:
    """Adds reflection for the methods added so far, and for itself. Call it last."""
    _describe_v1()
    names = (*methods.services, ALPHA, SERVICE)
    servicer = reflection.aio.ReflectionServicer(names)  # type: ignore[attr-defined]  # set at run time
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, methods)
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    methods.add_registered_method_handlers(SERVICE, {"ServerReflectionInfo": handler})


def _describe_v1() -> None:
    """Adds v1 to the descriptor pool that the servicer reads. Called once per process."""
    pool = descriptor_pool.Default()
    try:
        pool.FindFileByName(_FILE)
    except KeyError:
        pool.AddSerializedFile(_v1().SerializeToString())


def _v1() -> descriptor_pb2.FileDescriptorProto:
    proto = descriptor_pb2.FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(proto)
    proto.name, proto.package = _FILE, _PACKAGE
    for message in proto.message_type:
        for field in message.field:
            if field.type_name:  # assigning it would turn a scalar into a message
                field.type_name = _renamed(field.type_name)
    for method in proto.service[0].method:
        method.input_type, method.output_type = _renamed(method.input_type), _renamed(method.output_type)
    return proto


def _renamed(name: Any) -> str:
    text: str = name
    return text.replace(f".{_ALPHA_PACKAGE}.", f".{_PACKAGE}.")
