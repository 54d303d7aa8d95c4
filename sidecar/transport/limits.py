"""What a peer may ask of a server: every limit with its reason. Times are in seconds."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Limits:
    """The defaults are those of a worker; tests use smaller ones."""

    message_bytes: int = 64 * MIB
    """Of one message, compressed and decompressed. The fronts' `body_bytes_max` is below it."""
    metadata_bytes: int = 64 * KIB
    """Of a request's metadata, counted as HTTP/2 does: names, values and 32 bytes per pair. The fronts stop at 16
    KiB."""
    codec_metadata_bytes: int = 256 * KIB
    """What the codec keeps. It silently drops anything beyond, so this must be far above `metadata_bytes`."""
    streams: int = 1000
    """Concurrent streams on one connection: a front multiplexes the calls of all its clients on a few connections."""
    unfinished_bytes: int = 256 * MIB
    """Of unfinished requests in the whole process. Eight concurrent bodies of 31 MB fit; a flood does not."""
    stream_window_bytes: int = 1 * MIB
    """What a client may send of one request before we extend its window. A body of 1 MiB never waits for that."""
    connection_window_bytes: int = 8 * MIB
    """The same for a connection: a few large bodies do not hold up small calls on it."""
    send_buffer_bytes: int = 256 * KIB
    """Of one stream that the socket has not accepted. A stalled reader costs at most this."""
    unread_answers_bytes: int = 1 * MIB
    """Queued for a peer that does not read our answers. Beyond it we stop reading as well, since pings and settings
    would cost memory."""
    resets_per_s: int = 10_000
    """A front whose clients all leave at once resets as many streams as it may hold, and opens as many again.
    Opening and resetting one costs 12 µs, so this is a tenth of a core; Rapid Reset needs hundreds of thousands."""
    pings_per_s: int = 10_000
    """Keepalives are rare, but gRPC for Go measures its path with a ping per piece of a stream that it reads:
    thousands per second on one machine. Answering one takes 4 µs."""
    settings_per_s: int = 100
    """Settings are sent once at the start; gRPC's C core changes its windows up to ten times a second while a
    transfer speeds up."""
    continuations_per_s: int = 200
    """Metadata at its limit takes 4 frames; each costs the codec 90 µs."""
    frames_per_s: int = 100_000
    """Of any kind. A frame costs about 1 µs, so this is a tenth of a core; full frames would be 1.6 GB/s."""
    preface_s: float = 10.0
    """From the connection to the preface and first settings. A client on the same machine takes a millisecond."""
    body_stall_s: float = 60.0
    """Without a byte of a started request. Nginx waits as long for its own clients (`client_body_timeout`)."""
    write_stall_s: float = 300.0
    """For a window that does not open. A route's `write` limit fires first; this is for calls that have none."""
    idle_s: float = 3600.0
    """Without a stream. A worker's connections are usually closed earlier, because of their age."""
    age_s: float | None = 10.0
    """Age at which the connection is asked to close (GOAWAY; its calls finish): decision 0007. Varied by a tenth.
    None means never."""
    goaway_s: float = 10.0
    """For the reply to the ping that goes with GOAWAY. A client that has not answered by then never will."""
    linger_s: float = 10.0
    """For the peer to receive the last byte and close. Closing at once would discard whatever its kernel has not
    received as soon as it sends anything."""
    fault_linger_s: float = 1.0
    """The same after a protocol violation: enough to read the GOAWAY."""
    tick_s: float = 1.0
    """How often timeouts are checked: one timer per server instead of three per call."""
