"""Envoy's own counters under the names that dashboards and alerts know, in addition to the originals.

Envoy does not count by path, so everything is one group, "all"; a client that leaves is in no class.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import Metric
    from prometheus_client.samples import Sample

GROUP = "all"
_FRONT = ("envoy_http_conn_manager_prefix", "front")
_CORE = ("envoy_cluster_name", "core")
# Envoy's name, the label that makes it ours -> our name.
_COUNTERS = {
    ("envoy_http_basic_auth_denied", _FRONT): "sidecar_front_auth_failures",
    ("envoy_http_downstream_rq_too_large", _FRONT): "sidecar_front_too_large",
    ("envoy_cluster_upstream_cx_connect_fail", _CORE): "sidecar_front_connect_errors",
}
_HELP = {
    "sidecar_front_auth_failures": "Requests that the front refused because of their credentials.",
    "sidecar_front_too_large": "Requests that the front refused because their body is too large.",
    "sidecar_front_connect_errors": "Times the front could not reach a worker.",
}
# Names that Prometheus' own linter refuses; other metrics of Envoy's, or ours, say the same.
_LEFT_OUT = frozenset(
    {"envoy_cluster_membership_total", "envoy_lua_lua_vm_count", "envoy_server_days_until_first_cert_expiring"}
)
_CLASSES = "envoy_http_downstream_rq_xx"
_TIMES = "envoy_http_downstream_rq_time"  # milliseconds


def translated(families: Iterable[Metric]) -> Iterator[Metric]:
    """The families, and ours made of them. A counter that Envoy has not used yet is 0 in ours: alerts want one."""
    from prometheus_client.core import CounterMetricFamily

    counts = dict.fromkeys(_COUNTERS.values(), 0.0)
    requests = CounterMetricFamily(
        "sidecar_front_requests", "Requests that the front has answered.", labels=("group", "class")
    )
    own: list[Metric] = []
    for family in families:
        for sample in family.samples:
            name = sample.name.removesuffix("_total")
            for (theirs, label), ours in _COUNTERS.items():
                if name == theirs and _has(sample, label):
                    counts[ours] += sample.value
            if name == _CLASSES and _has(sample, _FRONT):
                kind = f"{sample.labels['envoy_response_code_class']}xx"
                requests.add_metric((GROUP, kind), sample.value)
        if family.name == _TIMES:
            yield _durations(family)
        family.documentation = family.documentation or "A statistic of Envoy's own; see its documentation."
        if family.name not in _LEFT_OUT:
            own.append(family)
    yield from _each_name_once(own)
    yield requests
    for name, value in counts.items():
        counter = CounterMetricFamily(name, _HELP[name])
        counter.add_metric((), value)
        yield counter


def _each_name_once(families: list[Metric]) -> Iterator[Metric]:
    """Envoy has counters that differ in a last `_total` alone, which the parser gives to every counter; Envoy writes the one
    without it first. That one gets its name back, and has no type: a page on which a name stands twice is refused as a whole."""
    from prometheus_client.core import UnknownMetricFamily

    last = {family.name: family for family in families}
    for family in families:
        if last[family.name] is family:
            yield family
            continue
        renamed = UnknownMetricFamily(family.name, family.documentation)
        renamed.samples = [sample._replace(name=family.name) for sample in family.samples]
        yield renamed


def _durations(family: Metric) -> Metric:
    """Milliseconds to seconds."""
    from prometheus_client.core import HistogramMetricFamily

    ours = [sample for sample in family.samples if _has(sample, _FRONT)]
    buckets = [(_seconds(sample.labels["le"]), sample.value) for sample in ours if sample.name == f"{_TIMES}_bucket"]
    total_s = sum(sample.value for sample in ours if sample.name == f"{_TIMES}_sum") / 1000
    found = HistogramMetricFamily(
        "sidecar_front_request_duration_seconds",
        "Seconds from the first byte of a request to the last byte of the answer.",
        labels=("group",),
    )
    found.add_metric((GROUP,), buckets, total_s)
    return found


def _seconds(bound: str) -> str:
    return bound if bound == "+Inf" else repr(float(bound) / 1000)


def _has(sample: Sample, label: tuple[str, str]) -> bool:
    return bool(sample.labels.get(label[0]) == label[1])
