"""Wire formats of LLM providers, as pure functions. `contract` defines what an adapter is; FORMATS lists them."""

from __future__ import annotations

from collections.abc import Mapping

from adapters.anthropic import FORMAT as ANTHROPIC
from adapters.anthropic import HINTS
from adapters.chunks import has_output
from adapters.cohere import FORMAT as COHERE
from adapters.cohere import FORMAT_V1 as COHERE_V1
from adapters.completions_by_chat import side_of
from adapters.contract import (
    Chunk,
    ClientSide,
    Context,
    Decoder,
    Envelope,
    Format,
    Framing,
    Headers,
    HttpCall,
    PassedStream,
    Provider,
    ProviderSide,
    Request,
    Response,
    StreamWriter,
    Target,
    Task,
)
from adapters.copies import pieces
from adapters.errors import GatewayError, Kind, replace_error
from adapters.event_templates import EventTemplate, template_of, unescaped
from adapters.fit import allowed
from adapters.huggingface import FORMAT as HUGGINGFACE
from adapters.json_object import BYTE_ORDER_MARK
from adapters.members import DROPPABLE, NAMES, NEVER_DROPPED, PROVIDERS_OWN, SHORT_NAMES
from adapters.mlflow import FORMAT as MLFLOW
from adapters.mlflow_client import FORMAT as MLFLOW_A
from adapters.mosaicml import FORMAT as MOSAICML
from adapters.openai import DEPLOYMENTS
from adapters.openai import FORMAT as OPENAI
from adapters.responses import FORMAT as RESPONSES
from adapters.responses import LEFT_OUT as RESPONSES_LEFT_OUT
from adapters.service_tier import AUTO, TIER, service_tier_in, tier_of_json, tier_word
from adapters.sse import Event
from adapters.tool_arguments import NAME as ARGUMENTS
from adapters.usage import latest_usage
from adapters.vectors import encode_vectors, inputs_in

FORMATS: Mapping[str, Format] = {
    format_.name: format_
    for format_ in (OPENAI, ANTHROPIC, COHERE, COHERE_V1, HUGGINGFACE, MLFLOW, MLFLOW_A, MOSAICML, RESPONSES)
}

# Every name that can be reported as left out; used in headers and as metric labels.
LEFT_OUT = (
    NAMES | HINTS | RESPONSES_LEFT_OUT | {"thinking", ARGUMENTS}
)  # a member of Anthropic's API (anthropic/lost_thoughts.py)

__all__ = [
    "AUTO",
    "BYTE_ORDER_MARK",
    "DEPLOYMENTS",
    "DROPPABLE",
    "FORMATS",
    "LEFT_OUT",
    "NEVER_DROPPED",
    "PROVIDERS_OWN",
    "SHORT_NAMES",
    "TIER",
    "Chunk",
    "ClientSide",
    "Context",
    "Decoder",
    "Envelope",
    "Event",
    "EventTemplate",
    "Format",
    "Framing",
    "GatewayError",
    "Headers",
    "HttpCall",
    "Kind",
    "PassedStream",
    "Provider",
    "ProviderSide",
    "Request",
    "Response",
    "StreamWriter",
    "Target",
    "Task",
    "allowed",
    "encode_vectors",
    "has_output",
    "inputs_in",
    "latest_usage",
    "pieces",
    "replace_error",
    "service_tier_in",
    "side_of",
    "template_of",
    "tier_of_json",
    "tier_word",
    "unescaped",
]
