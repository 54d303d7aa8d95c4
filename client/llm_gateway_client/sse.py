"""Server-sent events of the gateway: bytes in pieces of any size in, the texts of `data:` out. Only needs Python."""

from __future__ import annotations

import re

from llm_gateway_client.errors import BadAnswer

# The gateway's own limit: tool arguments and audio come in events of hundreds of kilobytes.
_EVENT_BYTES_MAX = 8 * 1024 * 1024
_END = re.compile(rb"\r?\n\r?\n")
_OVERLAP = 3  # an end may be split between two pieces


class Events:
    """One stream. The gateway writes LF; a proxy in between may write CR LF."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Returns the data of the events that `data` completes, skipping comments. Raises BadAnswer for an endless
        event."""
        self._buffer += data
        found: list[bytes] = []
        start = 0
        while (end := _END.search(self._buffer, max(start, self._searched))) is not None:
            lines = bytes(self._buffer[start : end.start()]).replace(b"\r\n", b"\n").split(b"\n")
            texts = [line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:")]
            if texts:
                found.append(b"\n".join(texts))
            start = end.end()
            self._searched = start
        del self._buffer[:start]
        self._searched = max(0, len(self._buffer) - _OVERLAP)
        if len(self._buffer) > _EVENT_BYTES_MAX:
            raise BadAnswer("An event of the answer is too large.", kind="malformed_answer")
        return found
