"""Server-sent events: bytes in, events out (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

from __future__ import annotations

from dataclasses import dataclass

from adapters._errors import GatewayError, Kind

# One event's bytes at most. Tool arguments and base64 audio come in events of hundreds of kilobytes.
EVENT_BYTES_MAX = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `data` is the joined data lines; `raw` the event's bytes as they came, with the blank line that ends it."""

    name: str
    data: bytes
    raw: bytes
