"""Encodes rules and operations for the script. script.lua documents their meaning and the answers."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from importlib import resources
from typing import NamedTuple

import msgspec

from sidecar.limits import Bucket
from sidecar.spend.budgets import Allowance

SCRIPT = resources.files(__package__).joinpath("script.lua").read_bytes()
# Part of the script's name in the store: releases with different scripts can run side by side.
SCRIPT_SHA = hashlib.sha1(SCRIPT, usedforsecurity=False).hexdigest().encode()
# Version of the keys and values. A release that changes them increments this, and restores the sums from the
# archive.
VERSION = 1
# Lua numbers are exact below 2^53, and the script adds to this one.
_WINDOW_NS_MAX = 2**52
_KINDS = {"requests": "r", "tokens": "t", "concurrent": "c"}
TTL_MS = 60_000


class Operation(NamedTuple):
    """One operation of a script."""

    words: bytes
    rules: bytes = b""


def prefix_of(installation: str) -> bytes:
    """Of all keys. The braces are a cluster's hash tag: a call asks for limits of its route and of its consumer in one script,
    which needs them in one slot."""
    return slot_of(installation) + b"%d:" % VERSION


def slot_of(installation: str) -> bytes:
    """How all keys begin, those of other parts of the gateway too."""
    return b"{sidecar:%b}" % installation.encode()


def rules_of(buckets: Iterable[Bucket], allowances: Iterable[Allowance]) -> bytes:
    """Flattened for the script: kind, name, a, b for each rule, limits first."""
    flat: list[str | int] = []
    for bucket in buckets:
        name = bucket_name(bucket)
        if bucket.rate is None:
            flat += ("c", name, bucket.count, 0)
            continue
        interval_ns, window_ns = bucket.rate.interval_ns, bucket.rate.window_ns
        if window_ns > _WINDOW_NS_MAX:  # a limit over years, in whole multiples of what drains in 52 days
            window_ns = max(1, _WINDOW_NS_MAX // interval_ns) * interval_ns
        flat += (_KINDS[bucket.unit], name, interval_ns, window_ns)
    for allowance in allowances:
        flat += (allowance.per[0], sum_name(allowance.key, allowance.per), allowance.micro_dollars, 0)
    return msgspec.msgpack.encode(flat)


def bucket_name(bucket: Bucket) -> str:
    """Of a limit's key, without the prefix."""
    return f"{'c' if bucket.rate is None else 'g'}:{_text(bucket.key)}"


def sum_name(key: bytes, per: str) -> str:
    """The name of a budget's sum, without the prefix. It includes the period: a day and a month of one scope have
    separate sums."""
    return f"b:{_text(key)}:{per[0]}"


def admit(host: bytes, number: int, tokens: int, micro: int, requests: int = 1, ttl_ms: int = TTL_MS) -> bytes:
    return b"a %b %d %d %d %d %d" % (host, number, ttl_ms, requests, tokens, micro)


def hold(host: bytes, number: int, tokens: int, micro: int, requests: int = 1, ttl_ms: int = TTL_MS) -> bytes:
    return b"h %b %d %d %d %d %d" % (host, number, ttl_ms, requests, tokens, micro)


def settle(host: bytes, number: int, requests: int, tokens: int, micro: int, row: bytes = b"") -> bytes:
    return b"s %b %d %d %d %d %b" % (host, number, requests, tokens, micro, row)


def release(host: bytes, number: int) -> bytes:
    return settle(host, number, 0, 0, 0)


def renew(host: bytes, number: int, ttl_ms: int = TTL_MS) -> bytes:
    return b"n %b %d %d" % (host, number, ttl_ms)


def tick(gateway: bytes) -> bytes:
    return b"t %b" % gateway


def _text(key: bytes) -> str:
    return urlsafe_b64encode(key).rstrip(b"=").decode()
