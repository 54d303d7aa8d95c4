"""What a peer may ask of a server, each limit with its reason. Times are in seconds."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Limits:
    """The defaults are those of a worker; tests make them small."""

    message_bytes: int = 64 * MIB
    """Of one message, packed and unpacked. The fronts' `body_bytes_max` lies below it."""
    metadata_bytes: int = 64 * KIB
    """Of a request, counted as HTTP/2 counts it: names, values and 32 bytes for each pair. The fronts stop at 16 KiB."""
    codec_metadata_bytes: int = 256 * KIB
    """What the codec keeps. It drops what goes beyond in silence, so this must lie far above `metadata_bytes`."""
    streams: int = 1000
    """At once on one connection: a front multiplexes the calls of all of its clients on a few."""
    unfinished_bytes: int = 256 * MIB
    """Of requests in the whole process whose end has not come. Eight bodies of 31 MB at once fit; a flood does not."""
    stream_window_bytes: int = 1 * MIB
    """What a client may send of one request before we say that we have taken it. A body of 1 MiB needs no such word."""
    connection_window_bytes: int = 8 * MIB
    """The same for a connection: a few large bodies do not hold up small calls beside them."""
    send_buffer_bytes: int = 256 * KIB
    """Of one stream that the socket has not taken. A reader that stalls costs at most this."""
    unread_answers_bytes: int = 1 * MIB
    """Taken from a peer that does not read our answers. Then we stop reading too: pings and settings cost memory otherwise."""
    resets_per_s: int = 10_000
    """A front whose clients leave all at once resets as many streams as it may hold, and opens as many again. One that was opened
    for it costs 12 µs, so this is a tenth of a core; Rapid Reset needs hundreds of thousands."""
    pings_per_s: int = 10_000
    """Keepalives are few, but gRPC for Go measures its path by a ping for each piece of a stream that it reads: thousands a
    second on one machine. Their answers take 4 µs each."""
    settings_per_s: int = 100
    """Sent once at the start; gRPC's C core changes its windows up to ten times a second while a transfer speeds up."""
    continuations_per_s: int = 200
    """Metadata at its limit takes 4 frames; what the codec does for each costs 90 µs."""
    frames_per_s: int = 100_000
    """Of any kind. A frame costs about 1 µs, so this is a tenth of a core; full frames would be 1.6 GB/s."""
    preface_s: float = 10.0
    """From the connection to the preface and the first settings. A client on the same machine takes a millisecond."""
    body_stall_s: float = 60.0
    """Without a byte of a request that has begun. Nginx waits as long for its own clients (`client_body_timeout`)."""
    write_stall_s: float = 300.0
    """For a window that does not open. A route's `write` limit comes first; this one is for calls that have none."""
    idle_s: float = 3600.0
    """Without a stream. Connections of a worker go sooner, by their age."""
    age_s: float | None = 10.0
    """Then the connection is asked to go (GOAWAY; its calls finish): decision 0007. Varied by a tenth. None: never."""
    goaway_s: float = 10.0
    """For the answer to the ping that goes with GOAWAY. A client that does not answer has seen it by then, or never will."""
    linger_s: float = 10.0
    """After the last byte was sent, for the peer to take it and close. Closing at once would throw away what its kernel has not
    taken, as soon as it says anything."""
    fault_linger_s: float = 1.0
    """The same after a breach of the protocol: time to read the GOAWAY, no more."""
    tick_s: float = 1.0
    """How often the clocks are looked at: one timer for a server instead of three for each call."""
