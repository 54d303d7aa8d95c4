"""Conversations as grpcio's client has them, recorded by a proxy, and what a fuzzer makes of them."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections.abc import Callable
from typing import Any

import grpc

from tests.transport.raw import PREFACE, frame

same: Any = bytes
_PIECE_BYTES = 65536


def record(port: int, talk: Callable[[Any], None]) -> bytes:
    """What a client writes while it talks to the server on this port."""
    written = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as front:
        proxy = threading.Thread(target=_pass_on, args=(front, port, written))
        proxy.start()
        with grpc.insecure_channel(
            f"127.0.0.1:{front.getsockname()[1]}", [("grpc.use_local_subchannel_pool", 1)]
        ) as channel:
            talk(channel)
        proxy.join(10)
    return bytes(written)


def _pass_on(front: socket.socket, port: int, written: bytearray) -> None:
    client, _ = front.accept()
    server = socket.create_connection(("127.0.0.1", port))
    back = threading.Thread(target=_pump, args=(server, client, bytearray()))
    back.start()
    _pump(client, server, written)
    back.join(10)
    client.close()
    server.close()


def _pump(source: socket.socket, sink: socket.socket, seen: bytearray) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(_PIECE_BYTES):
            seen += data
            sink.sendall(data)
    for each in (source, sink):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


def short_calls(channel: Any) -> None:
    echo = channel.unary_unary("/test.Bytes/echo", same, same)
    echo(b"hello", timeout=20)
    echo(b"x" * 3000, metadata=[("x-a-bin", b"\0\1"), ("x-b", "c")], compression=grpc.Compression.Gzip)
    list(channel.unary_stream("/test.Bytes/stream", same, same)(b"5 100"))
    with contextlib.suppress(grpc.RpcError):
        channel.unary_unary("/grpc.health.v1.Health/Check", same, same)(b"\xff")


def long_calls(channel: Any) -> None:
    stream = channel.unary_stream("/test.Bytes/turns", same, same)(b"1000 2000")
    next(stream)
    stream.cancel()
    with contextlib.suppress(grpc.RpcError):
        channel.unary_unary("/test.Bytes/wait", same, same)(b"", timeout=0.05)
    channel.unary_unary("/test.Bytes/echo", same, same)(b"y" * 40_000)


def frames_of(data: bytes) -> list[bytes]:
    """The preface, and each frame whole."""
    found, at = [data[: len(PREFACE)]], len(PREFACE)
    while at + 9 <= len(data):
        size = 9 + int.from_bytes(data[at : at + 3], "big")
        found.append(data[at : at + size])
        at += size
    return found


def mutated(data: bytes, rng: random.Random) -> bytes:
    """One of the ways in which bytes or frames can be wrong."""
    return rng.choice(_MUTATIONS)(data, rng)


def _bytes_changed(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16, 64))):
        end = len(data) if rng.random() < 0.5 else min(len(data), 600)
        changed[rng.randrange(end)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    return bytes(changed)


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def _bytes_inserted(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + rng.randbytes(rng.randrange(1, 50)) + data[at:]


def _frames_moved(data: bytes, rng: random.Random) -> bytes:
    first, *frames = frames_of(data)
    if rng.random() < 0.3:
        rng.shuffle(frames)
    else:
        frames.insert(rng.randrange(len(frames)), rng.choice(frames))
    return first + b"".join(frames)


def _frames_left_out(data: bytes, rng: random.Random) -> bytes:
    frames = frames_of(data)
    at = rng.randrange(1, len(frames))
    del frames[at : at + rng.randrange(1, 3)]
    return b"".join(frames)


def _head_changed(data: bytes, rng: random.Random) -> bytes:
    frames = frames_of(data)
    at = rng.randrange(1, len(frames))
    changed = bytearray(frames[at])
    changed[rng.choice((0, 1, 2, 3, 3, 4, 4, 5, 8, 8))] = (
        rng.randrange(256) if rng.random() < 0.5 else rng.randrange(12)
    )
    frames[at] = bytes(changed)
    return b"".join(frames)


def _frames_made_up(data: bytes, rng: random.Random) -> bytes:
    frames = frames_of(data)
    for _ in range(rng.randrange(1, 8)):
        payload = rng.randbytes(rng.choice((0, 4, 5, 6, 8, 8, 36, 300)))
        made = frame(rng.randrange(11), rng.choice((0, 1, 4, 5, 8, 0x20, 0xFF)), rng.randrange(12), payload)
        frames.insert(rng.randrange(1, len(frames) + 1), made)
    return b"".join(frames)


_MUTATIONS = (
    _bytes_changed,
    _bytes_changed,
    _cut,
    _bytes_inserted,
    _frames_moved,
    _frames_left_out,
    _head_changed,
    _frames_made_up,
)
