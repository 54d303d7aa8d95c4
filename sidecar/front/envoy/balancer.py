"""Envoy behind a load balancer: additional addresses, listeners without TLS, and who is trusted to name the
caller's address.

Each function returns lines of envoy.yaml with their indentation; none if nothing is configured.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from ipaddress import ip_address, ip_network

from sidecar.front.envoy.names import all_but
from sidecar.front.settings import FrontSettings

_PROXY_PROTOCOL = "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol"
_XFF = "type.googleapis.com/envoy.extensions.http.original_ip_detection.xff.v3.XffConfig"
_MATCHER = "type.googleapis.com/envoy.extensions.common.matching.v3.ExtensionWithMatcher"
_MUTATION = "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"
_SKIP = "type.googleapis.com/envoy.extensions.filters.common.matcher.action.v3.SkipFilter"
_DIRECT_SOURCE = "type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3.DirectSourceIPInput"
_IP_MATCHER = "type.googleapis.com/xds.type.matcher.v3.IPMatcher"
_HEADER_INPUT = "type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput"

PREFIX = "x-forwarded-prefix"
# The supervisor probes the front's health from this machine.
_LOOPBACK = ("127.0.0.0/8", "::1/128")

Json = dict[str, object]


def believes_headers(settings: FrontSettings) -> bool:
    """A balancer that speaks PROXY protocol forwards headers unchanged, so forwarding headers cannot be trusted
    then."""
    return bool(settings.trusted_proxies) and not settings.proxy_protocol


def more_hosts(settings: FrontSettings) -> Iterator[str]:
    if settings.more_hosts:
        addresses = [{"address": _socket(host, settings.listen_port)} for host in settings.more_hosts]
        yield f"    additional_addresses: {json.dumps(addresses)}"


def proxy_protocol(settings: FrontSettings) -> Iterator[str]:
    if settings.proxy_protocol:
        yield f"    - {json.dumps(_listener_filter())}"


def from_trusted(settings: FrontSettings) -> str:
    """An additional condition of the filter chain: other connections are closed, since their claimed address cannot
    be trusted."""
    if not settings.proxy_protocol:
        return ""
    return f", direct_source_prefix_ranges: {json.dumps(_ranges(_may_connect(settings)))}"


def remote_address(settings: FrontSettings) -> Iterator[str]:
    if not believes_headers(settings):
        yield "          use_remote_address: true                  # x-forwarded-for is not believed"
        yield "          skip_xff_append: true"
        return
    cidrs = {"cidrs": _ranges(settings.trusted_proxies)}
    detection = {"@type": _XFF, "xff_trusted_cidrs": cidrs, "skip_xff_append": True}
    extension = {"name": "envoy.http.original_ip_detection.xff", "typed_config": detection}
    yield "          use_remote_address: false                 # x-forwarded-for of those in front of us is believed"
    yield f"          original_ip_detection_extensions: [{json.dumps(extension)}]"


def forwarded(settings: FrontSettings) -> str:
    """The pattern of forwarding headers that are not trusted from anyone."""
    if not believes_headers(settings):
        return "x-forwarded-.*"
    return f"x-forwarded-{all_but(('for', 'prefix'))}".replace("\\", "\\\\")


def prefix_filter(settings: FrontSettings) -> Iterator[str]:
    """Removes x-forwarded-prefix unless the peer is trusted."""
    if not believes_headers(settings):
        return
    skip: Json = {"action": {"name": "skip", "typed_config": {"@type": _SKIP}}}
    ranges = {"@type": _IP_MATCHER, "range_matchers": [{"ranges": _ranges(settings.trusted_proxies), "on_match": skip}]}
    tree = {
        "input": {"name": "peer", "typed_config": {"@type": _DIRECT_SOURCE}},
        "custom_match": {"name": "ip", "typed_config": ranges},
    }
    mutation = {"@type": _MUTATION, "mutations": {"request_mutations": [{"remove": PREFIX}]}}
    extension = {"name": "envoy.filters.http.header_mutation", "typed_config": mutation}
    delegate = {"@type": _MATCHER, "extension_config": extension, "xds_matcher": {"matcher_tree": tree}}
    yield f"          - {json.dumps({'name': 'prefix', 'typed_config': delegate})}"


def plain_listeners(settings: FrontSettings) -> Iterator[str]:
    """Listeners for HTTP/1.1 and HTTP/2 without TLS, otherwise identical to the TLS listener."""
    for number, (host, port) in enumerate(settings.plain_addresses):
        filters = [_listener_filter()] if settings.proxy_protocol else []
        match = {"direct_source_prefix_ranges": _ranges(_may_connect(settings))} if settings.proxy_protocol else {}
        yield f"  - name: plain_{number}"
        yield f"    address: {json.dumps(_socket(host, port))}"
        yield "    per_connection_buffer_limit_bytes: 262144"
        yield "    tcp_backlog_size: 4096"
        yield "    socket_options: *sockets"
        yield f"    listener_filters_timeout: {settings.header_timeout_s}s"
        yield f"    listener_filters: {json.dumps(filters)}"
        yield "    filter_chains:"
        yield f"    - filter_chain_match: {json.dumps(match)}"
        yield "      filters: *front"


def _listener_filter() -> Json:
    return {"name": "envoy.filters.listener.proxy_protocol", "typed_config": {"@type": _PROXY_PROTOCOL}}


def _may_connect(settings: FrontSettings) -> list[str]:
    own = [each for each in (settings.listen_host, *settings.more_hosts) if not _is_wildcard(each)]
    return [*settings.trusted_proxies, *_LOOPBACK, *own]


def _is_wildcard(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:  # a host name
        return True


def _ranges(networks: Iterable[str]) -> list[Json]:
    parsed = dict.fromkeys(map(ip_network, networks))  # merged, since Envoy rejects overlapping ranges
    return [{"address_prefix": str(each.network_address), "prefix_len": each.prefixlen} for each in parsed]


def _socket(host: str, port: int) -> Json:
    return {"socket_address": {"address": host, "port_value": port}}
