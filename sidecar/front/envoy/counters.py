"""What Envoy counts per answer: an access log without output. sidecar.supervisor.metrics.envoy reads the counters."""

from __future__ import annotations

_STATS = "type.googleapis.com/envoy.extensions.access_loggers.stats.v3.Config"
# Each label takes one of a few values; none comes from a client.
_GROUP = {"name": "group", "value_format": "%METADATA(ROUTE:sidecar.front:group)%"}
_TAGS = (
    _GROUP,
    {"name": "status", "value_format": "%RESPONSE_CODE%"},
    {"name": "grpc", "value_format": "%GRPC_STATUS_NUMBER%"},
)


def counters() -> dict[str, object]:
    """The logger, for all answers."""
    answers = {"stat": {"name": "answers", "tags": list(_TAGS)}, "value_fixed": 1}
    took = {"stat": {"name": "took", "tags": [_GROUP]}, "unit": "Milliseconds", "value_format": "%DURATION%"}
    config = {"@type": _STATS, "stat_prefix": "front", "counters": [answers], "histograms": [took]}
    return {"name": "envoy.access_loggers.stats", "typed_config": config}
