"""The google.api.http bindings of a service, read once. The document of /docs and the files of both fronts derive
from them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from google.api import annotations_pb2
from google.protobuf.descriptor import Descriptor, ServiceDescriptor

from sidecar.v1 import rest_pb2

_LONG = re.compile(r"{(\w+)=(?:\*/)?\*\*}")
# Query parameters that paths accept and ignore. Azure's SDKs send the version of the API that they were written for.
_UNREAD = {"/openai/": ("api-version",)}


@dataclass(frozen=True, slots=True)
class HttpBinding:
    """One HTTP method and path of one RPC. `verb` is "" if the rule has no plain HTTP method. `path` contains its
    variables as {name}; those that may contain slashes ({name=**} in the proto) are in `long`."""

    rpc: str
    verb: str  # get, post, ...
    path: str
    long: frozenset[str]
    body: str  # "*", the name of a field, or "": the RPC has no body
    message: Any
    """The request's descriptor (google.protobuf.descriptor.Descriptor)."""

    @property
    def unread(self) -> tuple[str, ...]:
        """Query parameters that are accepted and ignored."""
        return unread_of(self.path)

    @property
    def variables(self) -> list[str]:
        """Names of the variables in the path, in order."""
        return re.findall(r"{(\w+)}", self.path)


def unread_of(path: str) -> tuple[str, ...]:
    """Query parameters that a path accepts and ignores."""
    return next((names for prefix, names in _UNREAD.items() if path.startswith(prefix)), ())


def all_unread() -> tuple[str, ...]:
    """Those of all paths."""
    return tuple(dict.fromkeys(name for names in _UNREAD.values() for name in names))


def service() -> ServiceDescriptor:
    """The gateway's REST service."""
    return rest_pb2.DESCRIPTOR.services_by_name["RestService"]


def bindings_of(rest: ServiceDescriptor) -> Iterator[HttpBinding]:
    """Every method and path of the service, in order."""
    for method in rest.methods:
        rule = method.GetOptions().Extensions[annotations_pb2.http]
        for each in (rule, *rule.additional_bindings):
            kind = each.WhichOneof("pattern") or "custom"
            verb, path = ("", "") if kind == "custom" else (kind, getattr(each, kind))
            message: Descriptor = method.input_type
            long = frozenset(_LONG.findall(path))
            yield HttpBinding(method.name, verb, _LONG.sub(r"{\1}", path), long, each.body, message)
