"""Reads what is left of limits in the store, computed as in script.lua, without taking anything."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sidecar.limits import Bucket
from sidecar.store.line import Line, Unanswered
from sidecar.store.operations import bucket_name

# A page is waiting for this. Calls on the same connection are not delayed.
_ANSWER_S = 1.0


async def read_levels(line: Line, prefix: bytes, buckets: Sequence[Bucket]) -> list[int]:
    """Returns, in the order of `buckets`: nanoseconds until it is empty, or the number of running calls. Raises
    StoreError."""
    try:
        async with asyncio.timeout(_ANSWER_S):
            seconds, micros = await line.ask("TIME")
            now_us = int(seconds) * 1_000_000 + int(micros)
            keys = [prefix + bucket_name(each).encode() for each in buckets]
            return await asyncio.gather(
                *(_level(line, key, each, now_us) for key, each in zip(keys, buckets, strict=True))
            )
    except TimeoutError:
        raise Unanswered("there was no answer in time") from None


async def _level(line: Line, key: bytes, bucket: Bucket, now_us: int) -> int:
    if bucket.rate is None:
        return int(await line.ask("ZCOUNT", key, f"({now_us // 1000}", "+inf"))
    text = await line.ask("GET", key)
    if text is None:
        return 0
    used_ns, at_us = map(int, text.split())
    return max(0, used_ns - max(0, now_us - at_us) * 1000)
