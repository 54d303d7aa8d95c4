"""Section 3.5 of the reference on reliability, U01 to U42: which modes of the matrix are each fault; what is left out of it, why,
and where else it is looked at. A new mode is named here where it is one of these."""

from __future__ import annotations

MODES_OF: dict[str, tuple[str, ...]] = {
    "U01": ("a name that nobody has",),
    "U02": ("silent", "silent after the head"),
    "U03": ("silent half-way",),
    "U04": ("nobody listens",),
    "U05": ("a certificate nobody trusts", "no TLS where it should be"),
    "U07": ("closed before the status", "reset before the status", "half closed before the status"),
    "U08": ("a header of 70 KB", "10,000 headers", "no HTTP"),
    "U09": ("closed half-way", "reset half-way"),
    "U10": ("200 with a page", "200 with nothing", "content type text/plain", "no content type"),
    "U11": (
        "status 429 with a page",
        "status 502 with a page",
        "status 503 with a page",
        "status 504 with a page",
    ),
    "U12": ("200 with an error inside",),
    "U13": (
        "an object without an answer",
        "members of the wrong type",
        "nothing where the answer should be",
        "a list instead of an object",
    ),
    "U14": ("larger than the route takes",),
    "U15": ("status 400", "status 404", "status 413", "status 422"),
    "U16": ("status 401, the key in its text", "status 403, the key in its text"),
    "U17": (
        "429, retry-after 0",
        "429, retry-after -1",
        "429, retry-after 1e9",
        "429, retry-after nonsense",
        "429, retry-after Wed, 21 Oct 2015 07:28:00 GMT",
    ),
    "U18": ("status 500", "status 520", "status 529"),
    "U19": (
        "compressed though identity was asked for",
        "said to be compressed, but is not",
        "compressed in a way that was never offered",
        "compressed, and cut",
    ),
    "U20": ("a decompression bomb",),
    "U21": ("one byte at a time", "garbage half-way"),
    "U22": ("status 302", "status 307", "status 308, back to the same place"),
    "U23": ("status 204", "status 206", "status 304", "status 418"),
    "U24": ("an error event first",),
    "U25": ("an error event half-way",),
    "U26": ("CRLF line ends", "CR line ends"),
    "U28": ("comments and ids between events", "a byte order mark"),
    "U29": ("without its end marker", "ends before it finishes"),
    "U30": ("events after the end", "nothing but its end marker"),
    "U31": ("a broken event half-way",),
    "U35": ("headers that are nobody's business",),
    "U38": ("an event of 600 KiB",),
}

# Why, and the tests that look at it elsewhere; without any it is open.
LEFT_OUT: dict[str, tuple[str, tuple[str, ...]]] = {
    "U06": (
        "it needs a connection that an earlier call left; here every call has a fresh one, for no cell may touch another",
        ("tests/worker/test_rest.py", "tests/gateway/test_retries.py"),
    ),
    "U27": (
        "bytes cut inside a character: every cut of every recording. Half an emoji escaped in each of two pieces: the stream is "
        "refused as not of its format, where it could be joined",
        ("tests/adapters/test_laws.py", "tests/adapters/test_sse.py"),
    ),
    "U32": ("one provider's own events", ("tests/adapters/test_providers.py", "tests/adapters/test_openai_stream.py")),
    "U33": (
        "addresses are the operator's, or an admin's where the file allows it, and private ones are what a model on the same "
        "network has: there is nothing to refuse",
        (),
    ),
    "U34": ("it is about the gateway's environment, not about an answer", ("tests/upstream/test_upstream_tls.py",)),
    "U36": (
        "not a fault: what adds up in pieces",
        ("tests/adapters/test_openai_stream.py", "tests/adapters/test_laws.py"),
    ),
    "U37": (
        "not a fault: what counts",
        ("tests/adapters/test_openai_stream.py", "tests/adapters/test_anthropic_decode.py"),
    ),
    "U39": ("not a fault: what is kept of a stream in disorder", ("tests/adapters/test_openai_stream.py",)),
    "U40": ("it is about many calls", ("tests/gateway/test_retries.py", "tests/gateway/test_ejection.py")),
    "U41": ("the simulated provider reads a request to its end before it answers", ()),
    "U42": (
        "embeddings; the matrix is of chats. Numbers that are none are found; whether there are as many vectors as texts is not "
        "looked at",
        ("tests/adapters/test_openai_answer.py", "tests/gateway/test_vectors.py"),
    ),
}
