"""Schemas for formats that lack a place for what OpenAI states next to the schema."""

from __future__ import annotations

import msgspec

from adapters.fit import Fit
from adapters.json_object import callers_object
from sidecar.v1 import inference_pb2 as pb

_SCHEMA = "response_format.json_schema.schema"


def described(wanted: pb.JsonSchemaFormat, fit: Fit) -> msgspec.Raw:
    """Returns the schema with the format's `description` added if it has none, since models read it there;
    otherwise its bytes are unchanged. Raises invalid_request for a schema that is not an object."""
    members = callers_object(wanted.schema_json, _SCHEMA)
    if not wanted.description:
        return msgspec.Raw(wanted.schema_json.encode("utf-8", "surrogatepass"))
    if "description" in members:
        fit.leave_out("response_format.json_schema.description")
        return msgspec.Raw(wanted.schema_json.encode("utf-8", "surrogatepass"))
    made = {"description": msgspec.Raw(msgspec.json.encode(wanted.description)), **members}
    return msgspec.Raw(msgspec.json.encode(made))
