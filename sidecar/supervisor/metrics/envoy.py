"""Exposes Envoy's counters under the names that our dashboards and alerts use, in addition to the originals.

Calls are counted by an access log without output (sidecar.front.envoy.counters), grouped by path and class like
Nginx's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from sidecar.front.groups import OTHER, class_of

if TYPE_CHECKING:
    from prometheus_client import Metric
    from prometheus_client.samples import Sample

_FRONT = ("envoy_http_conn_manager_prefix", "front")
_CORE = ("envoy_cluster_name", "core")
# Envoy's name and the label value that selects ours -> our name.
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
# Names that Prometheus' linter rejects; other metrics contain the same information.
_LEFT_OUT = frozenset(
    {"envoy_cluster_membership_total", "envoy_lua_lua_vm_count", "envoy_server_days_until_first_cert_expiring"}
)
_MS = "_ms"
_ANSWERS = "envoy_front_answers"  # from sidecar.front.envoy.counters, like the next one
_TIMES = "envoy_front_took"  # milliseconds


def translated(families: Iterable[Metric]) -> Iterator[Metric]:
    """Returns the families, plus ours derived from them. Ours is 0 for a counter that Envoy has not used yet, for
    alerts."""
    from prometheus_client.core import CounterMetricFamily

    counts = dict.fromkeys(_COUNTERS.values(), 0.0)
    answers: defaultdict[tuple[str, str], float] = defaultdict(float)
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
            if name == _ANSWERS:
                answers[_series(sample.labels)] += sample.value
        if family.name == _TIMES:
            yield _durations(family)
        if family.name in (_ANSWERS, _TIMES):
            continue
        family.documentation = family.documentation or "A statistic of Envoy's own; see its documentation."
        if family.name not in _LEFT_OUT:
            own.append(_in_seconds(family) if family.name.endswith(_MS) else family)
    yield from _each_name_once(own)
    for series, count in sorted(answers.items()):
        requests.add_metric(series, count)
    yield requests
    for name, value in counts.items():
        counter = CounterMetricFamily(name, _HELP[name])
        counter.add_metric((), value)
        yield counter


def _each_name_once(families: list[Metric]) -> Iterator[Metric]:
    """Some of Envoy's counters differ only in a trailing `_total`, which the parser appends to every counter; Envoy
    lists the one without it first. That one gets its original name and no type, because Prometheus rejects a
    page with a duplicate name."""
    from prometheus_client.core import UnknownMetricFamily

    last = {family.name: family for family in families}
    for family in families:
        if last[family.name] is family:
            yield family
            continue
        renamed = UnknownMetricFamily(family.name, family.documentation)
        renamed.samples = [sample._replace(name=family.name) for sample in family.samples]
        yield renamed


def _in_seconds(family: Metric) -> Metric:
    """Converts one of Envoy's histograms to Prometheus' base unit, including its name."""
    from prometheus_client.core import HistogramMetricFamily

    name = f"{family.name.removesuffix(_MS)}_seconds"
    found = HistogramMetricFamily(name, family.documentation)
    for sample in family.samples:
        labels, value = dict(sample.labels), sample.value
        if "le" in labels:
            labels["le"] = _seconds(labels["le"])
        elif sample.name.endswith("_sum"):
            value /= 1000
        found.add_sample(sample.name.replace(family.name, name, 1), labels, value)
    return found


def _durations(family: Metric) -> Metric:
    """Converts milliseconds to seconds."""
    from prometheus_client.core import HistogramMetricFamily

    buckets: dict[str, list[tuple[str, float]]] = {}
    total_s: defaultdict[str, float] = defaultdict(float)
    for sample in family.samples:
        group = _group(sample.labels)
        if sample.name == f"{_TIMES}_bucket":
            buckets.setdefault(group, []).append((_seconds(sample.labels["le"]), sample.value))
        elif sample.name == f"{_TIMES}_sum":
            total_s[group] += sample.value / 1000
    found = HistogramMetricFamily(
        "sidecar_front_request_duration_seconds",
        "Seconds from the first byte of a request to the last byte of the answer.",
        labels=("group",),
    )
    for group, of_group in buckets.items():
        found.add_metric((group,), of_group, total_s[group])
    return found


def _group(labels: Mapping[str, str]) -> str:
    """A request without a route has no group."""
    found = labels.get("group", "-")
    return OTHER if found == "-" else found


def _series(labels: Mapping[str, str]) -> tuple[str, str]:
    group = _group(labels)
    return group, class_of(labels.get("status", "0"), group, labels.get("grpc", "-"))


def _seconds(bound: str) -> str:
    return bound if bound == "+Inf" else repr(float(bound) / 1000)


def _has(sample: Sample, label: tuple[str, str]) -> bool:
    return bool(sample.labels.get(label[0]) == label[1])
