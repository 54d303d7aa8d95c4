"""The groups of paths in the counters of both fronts."""

from __future__ import annotations

OTHER = "other"
# The first matching prefix decides.
PREFIXES = (
    *(
        ("/v1/", "openai"),
        ("/openai/", "openai"),
        ("/gateway/", "mlflow"),
        ("/endpoints/", "mlflow"),
        ("/api/", "mlflow"),
    ),
    *(
        ("/sidecar.v1.", "grpc"),
        ("/grpc.", "grpc"),
        ("/docs", "docs"),
        ("/home/", "docs"),
        ("/openapi.json", "docs"),
        ("/health", "health"),
    ),
)
# gRPC statuses that the caller is responsible for; all others except OK and CANCELLED are server errors.
_CALLERS = frozenset({"3", "5", "6", "7", "8", "9", "11", "12", "16"})
GONE = "gone"


def group_of(path: str) -> str:
    """The group of a path without its query."""
    if path == "/":
        return "docs"
    return next((group for prefix, group in PREFIXES if path.startswith(prefix)), OTHER)


def class_of(status: str, group: str, grpc: str) -> str:
    """`status` is HTTP's, 0 if there was no answer. `grpc` is "-" for other calls; a gRPC call is classified by its
    own status."""
    if status == "0":
        return GONE
    if group != "grpc" or not grpc.isdigit():
        return f"{status[:1]}xx"
    if grpc == "0":
        return "2xx"
    return GONE if grpc == "1" else "4xx" if grpc in _CALLERS else "5xx"
