"""A line to Redis that can be slow or cut: between gateways and the server, or between the server and its replica."""

from __future__ import annotations

import asyncio
import random
from typing import Literal

SLOW_S = 0.1
_CUT_SHARE = 0.05


class Proxy:
    """async with Proxy(port) as proxy: ... proxy.port ...; `mode` and `to` may change at any time."""

    def __init__(self, to: int) -> None:
        self.to = to
        self.port = 0
        self.mode: Literal["pass", "slow", "cut", "swallow", "lose"] = "pass"
        self._losing = False  # the answer to a change of documents
        self.cuts = 0
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        self.cut_all()

    def cut_all(self) -> None:
        for writer in list(self._writers):
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.to)
        except OSError:
            writer.close()
            return
        both = {writer, far_writer}
        self._writers |= both
        await asyncio.gather(self._pipe(reader, far_writer, False), self._pipe(far_reader, writer, True))
        for each in both:
            each.close()
        self._writers -= both

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answers: bool) -> None:
        try:
            while data := await reader.read(65_536):
                if self.mode == "cut" and answers and random.random() < _CUT_SHARE:
                    self.cuts += 1
                    writer.write(data[: len(data) // 2])
                    await writer.drain()
                    break
                if self.mode == "lose" and not answers and b"$5\r\nwrite\r\n" in data:
                    self._losing = True
                if self._losing and answers:
                    self._losing, self.mode = False, "pass"
                    self.cuts += 1
                    break
                if self.mode == "slow" and answers:
                    await asyncio.sleep(SLOW_S)
                if self.mode != "swallow":
                    writer.write(data)
                    await writer.drain()
        except (OSError, asyncio.CancelledError):
            pass
        writer.close()
