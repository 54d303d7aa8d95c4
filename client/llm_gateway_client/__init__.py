"""The Python client: `Client` and `AsyncClient` over gRPC or REST, and `fluent` with MLflow's function names. See
docs/reference/client.md.

grpc and protobuf are only imported when a gRPC target is used: REST needs httpx alone.
"""

from __future__ import annotations

from llm_gateway_client.aio.client import AsyncClient
from llm_gateway_client.aio.retrying import AsyncStream
from llm_gateway_client.errors import (
    BadAnswer,
    Cancelled,
    Conflict,
    InternalError,
    Interrupted,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    QuotaExhausted,
    RateLimited,
    SidecarError,
    TargetError,
    TimedOut,
    Unauthenticated,
    Unavailable,
    Unreachable,
    UpstreamRefused,
)
from llm_gateway_client.retry_policy import Retries
from llm_gateway_client.sync.client import Client
from llm_gateway_client.sync.retrying import Stream
from llm_gateway_client.values import (
    ChatChunk,
    ChatResponse,
    Choice,
    ChunkChoice,
    CompletionChoice,
    CompletionChunk,
    CompletionResponse,
    Delta,
    Embedding,
    EmbedResponse,
    Limits,
    Logprobs,
    Message,
    Model,
    RateLimit,
    Route,
    TokenLogprob,
    ToolCall,
    ToolCallDelta,
    Usage,
)

__all__ = [
    "AsyncClient",
    "AsyncStream",
    "BadAnswer",
    "Cancelled",
    "ChatChunk",
    "ChatResponse",
    "Choice",
    "ChunkChoice",
    "Client",
    "CompletionChoice",
    "CompletionChunk",
    "CompletionResponse",
    "Conflict",
    "Delta",
    "EmbedResponse",
    "Embedding",
    "InternalError",
    "Interrupted",
    "InvalidRequest",
    "Limits",
    "Logprobs",
    "Message",
    "Model",
    "NotFound",
    "PermissionDenied",
    "QuotaExhausted",
    "RateLimit",
    "RateLimited",
    "Retries",
    "Route",
    "SidecarError",
    "Stream",
    "TargetError",
    "TimedOut",
    "TokenLogprob",
    "ToolCall",
    "ToolCallDelta",
    "Unauthenticated",
    "Unavailable",
    "Unreachable",
    "UpstreamRefused",
    "Usage",
]
