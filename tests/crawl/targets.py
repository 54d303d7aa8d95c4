"""Every method and path that exists behind the fronts, read from the descriptors alone: not from what the fronts are made of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from google.api import annotations_pb2, http_pb2
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import Descriptor, MethodDescriptor, ServiceDescriptor
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from sidecar import v1

OWN_SERVICE = "sidecar.v1.RestService"
PUBLIC = "Health"
AZURE = "/openai/"  # its SDKs name an API version behind every path
VALUE = "chat"  # of every variable in a path


# {name}, or {name=**} or {name=*/**} where it may have slashes in it.
_VARIABLE = re.compile(r"{(\w+)(=(?:\*/)?\*\*)?}")


@dataclass(frozen=True, slots=True)
class Target:
    """One method and path."""

    name: str
    """The RPC that a good call of it reaches: /package.Service/Method."""
    verb: str
    path: str
    grpc: bool = False
    """Whether it is the RPC's own path."""
    template: str = ""
    """The path with its variables, for REST."""
    reachable: bool = True
    """False for the RPCs that only the front itself may call."""

    def means(self, path: str) -> bool:
        """Whether a plain path is this one, whatever its variables are."""
        pieces = _VARIABLE.split(self.template or self.path)  # what stands between variables, and "=**" or None of each
        pattern = re.escape(pieces[0])
        for several, text in zip(pieces[2::3], pieces[3::3], strict=True):
            pattern += (".+" if several else "[^/]+") + re.escape(text)
        return re.fullmatch(pattern, path) is not None

    @property
    def public(self) -> bool:
        return not self.grpc and self.name == f"/{OWN_SERVICE}/{PUBLIC}"


def targets() -> list[Target]:
    """REST first, then gRPC."""
    rest = [target for service in _services() if service.full_name == OWN_SERVICE for target in _rest(service)]
    return rest + [target for service in _services() for target in _grpc(service)]


def _services() -> Iterator[ServiceDescriptor]:
    """All in our own package, whatever file they stand in, and the two that gRPC brings along."""
    files = descriptor_pb2.FileDescriptorSet.FromString((Path(v1.__file__).parent / "descriptors.pb").read_bytes())
    for file in files.file:
        if file.package == "sidecar.v1":
            module = import_module(file.name.removesuffix(".proto").replace("/", ".") + "_pb2")
            yield from module.DESCRIPTOR.services_by_name.values()
    yield from health_pb2.DESCRIPTOR.services_by_name.values()
    yield from reflection_pb2.DESCRIPTOR.services_by_name.values()


def _rest(service: ServiceDescriptor) -> Iterator[Target]:
    for method in service.methods:
        first: http_pb2.HttpRule = method.GetOptions().Extensions[annotations_pb2.http]
        for rule in (first, *first.additional_bindings):
            yield from _bound(method, rule)


def _bound(method: MethodDescriptor, rule: http_pb2.HttpRule) -> Iterator[Target]:
    """The path, and the path with each field that comes from the query."""
    verb = rule.WhichOneof("pattern")
    assert verb is not None, method.full_name
    template: str = getattr(rule, verb)
    path = _VARIABLE.sub(VALUE, template)
    name = f"/{OWN_SERVICE}/{method.name}"
    yield Target(name, verb.upper(), path, template=template)
    if path.startswith(AZURE):
        yield Target(name, verb.upper(), f"{path}?api-version=2024-10-21", template=template)
    if not rule.body:
        for field in _left(method.input_type, template):
            yield Target(name, verb.upper(), f"{path}?{field}={VALUE}", template=template)


def _left(message: Descriptor, template: str) -> list[str]:
    taken = [name for name, _ in _VARIABLE.findall(template)]
    return [field.name for field in message.fields if field.name not in taken]


def _grpc(service: ServiceDescriptor) -> Iterator[Target]:
    names = {service.full_name, service.full_name.replace("v1alpha", "v1")}  # reflection has two names
    for name in sorted(names):
        for method in service.methods:
            path = f"/{name}/{method.name}"
            yield Target(path, "POST", path, grpc=True, reachable=name != OWN_SERVICE)
