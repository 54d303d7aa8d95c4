"""What a stranger writes into a head costs a front about as much as it is long, whatever it is."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx
import pytest

from tests.front.conftest import Front
from tests.front.double import Core

# Eight times as long, and still below the limit of 16 KiB. What is quadratic takes up to 64 times as long.
_SIZES = (1_800, 14_400)
_TIMES_MAX = 15.0
_LOOKS = 7
_HEADS: dict[str, Callable[[int], dict[str, str]]] = {
    "blanks within a key": lambda size: {"authorization": f"Bearer x{' ' * size}x"},
    "blanks before a key": lambda size: {"authorization": f"Bearer {' ' * size}x"},
    "blanks within a password": lambda size: {"authorization": f"basic x{' ' * size}x"},
    "a long key": lambda size: {"authorization": f"Bearer {'A' * size}"},
    "a long key that ends wrong": lambda size: {"authorization": f"Bearer {'A' * size}!"},
    "a request id": lambda size: {"x-request-id": "a" * size},
    "blanks in the content type": lambda size: {"content-type": f"application/json{' ' * size}x"},
    "many parameters": lambda size: {"": "a&" * (size // 2)},
    "one parameter many times": lambda size: {"": "a=1&" * (size // 4)},
}


async def _least_s(front: Front, http: httpx.AsyncClient, headers: dict[str, str]) -> float:
    """Of a few requests: a busy machine makes one slow, never one fast."""
    query = headers.pop("", "")
    if "authorization" not in headers:
        headers = {**front.basic, **headers}
    least_s = float("inf")
    for _ in range(_LOOKS):
        began_s = time.perf_counter()
        answer = await http.post(f"/v1/chat/completions?{query}".rstrip("?"), content=b"{}", headers=headers)
        least_s = min(least_s, time.perf_counter() - began_s)
        assert answer.status_code < 500
    return least_s


@pytest.mark.parametrize("kind", _HEADS)
async def test_a_head_of_eight_times_the_length_does_not_take_much_longer(front: Front, core: Core, kind: str) -> None:
    async with front.http() as http:
        await http.get("/health")
        small_s, large_s = [await _least_s(front, http, _HEADS[kind](size)) for size in _SIZES]
    assert large_s < _TIMES_MAX * small_s
