"""`responses:` -> which answers of the Responses API are stored."""

from __future__ import annotations

from sidecar.config.encryption_key import ENCRYPTION_KEY
from sidecar.config.kinds import long_duration, size
from sidecar.config.problems import Report
from sidecar.config.section import Entries, Field, Section
from sidecar.domain.snapshot import Remembering

# Nobody can continue an answer in less than a second; OpenAI stores its own for 30 days.
_REMEMBER_S = (1.0, 30 * 86_400.0)
# From one short conversation to a dedicated disk.
_BYTES = (64 * 1024, 1024 * 1024**3)


def _check(found: Remembering, entries: Entries, path: str, report: Report) -> None:
    if found.consumer_bytes_max > found.bytes_max and "consumer_bytes_max" in entries:
        report.error(entries["consumer_bytes_max"].line, path, "consumer_bytes_max is larger than bytes_max")


RESPONSES = Section(
    "responses",
    Remembering,
    (
        Field(
            "remember",
            long_duration(
                *_REMEMBER_S,
                "time",
                'Seconds, or text such as "30m", "1h", "7d"; 1s to 30d.',
                lambda seconds: f"{seconds:g}s",
                "_s",
            ),
            "How long an answer is kept after its last use.",
            required=True,
            hint="such as 1h",
        ),
        Field(
            "bytes_max",
            size(*_BYTES),
            "Space for the answers of all consumers, on disk or in the store's memory; the oldest are deleted first.",
        ),
        Field(
            "consumer_bytes_max",
            size(*_BYTES),
            "Space for the answers of one consumer.",
            "It keeps one consumer from displacing the others. A single answer that is larger is not kept, and "
            "says so (`store: false`).",
        ),
        Field(
            "encryption_key",
            ENCRYPTION_KEY,
            "The key that encrypts the answers: $NAME, ${NAME} or file:PATH, at least 32 random characters.",
            "If you change the key, stored answers can no longer be read.",
            default="a file in the state directory; required with a `store`",
        ),
    ),
    "What the gateway remembers for callers of the Responses API. Without this section: nothing.",
    _check,
)


def require_shared_key(found: Remembering | None, entries: Entries, report: Report) -> None:
    """Where several gateways remember together, none of them can read what another's own key encrypted."""
    if (
        found is not None
        and found.encryption_key is None
        and "encryption_key" not in entries["responses"].value.entries
    ):
        hint = "answers are kept in the store then: $NAME or file:PATH, the same for all gateways of the installation"
        report.error(entries["responses"].line, "responses.encryption_key", "is missing, and there is a `store`", hint)
