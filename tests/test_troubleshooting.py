"""The troubleshooting table of docs/reference/deploy.md has the words of the code, so a search finds the row."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "reference" / "deploy.md"
# Words of the system or of OpenSSL, and values that are filled in.
NOT_OURS = re.compile(
    r"[A-Z_]+|.*\([A-Z]+\)|WRONG_VERSION_NUMBER"
    r"|self-signed certificate|unable to get local issuer certificate|Hostname mismatch|certificate has expired"
)


def _rows() -> Iterator[tuple[str, str]]:
    """What the caller gets, what the log says."""
    _, _, section = PAGE.read_text().partition("## Troubleshooting")
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        if line.startswith("| ") and len(cells) == 3 and cells[0] != "the caller gets":
            yield cells[0], cells[1]


def _sources() -> str:
    """What the product is made of, adjacent strings joined."""
    files = [
        path for folder in ("sidecar", "adapters") for path in (ROOT / folder).rglob("*.py") if "v1" not in path.parts
    ]
    files += [path for path in (ROOT / "deploy").rglob("*") if path.suffix in (".js", ".conf", ".json", ".yaml")]
    return re.sub(r'"\s*\n\s*f?"', "", "\n".join(path.read_text() for path in files))


def _fixed(text: str) -> list[str]:
    """The parts of a message that are the same for everybody."""
    text = re.sub(r"^\d{3}(, \d{3})* ?", "", text)
    parts = re.split(r"\.\.\.|'[^']*'|\"[^\"]*\"|/chat/completions|(?<!/1\.)\b\d+\b(?!\.\d)", text)
    return [part.strip(" .:") for part in parts if len(part.strip(" .:")) > 3]


@pytest.mark.parametrize(("caller", "log"), list(_rows()))
def test_each_message_is_one_of_the_gateways(caller: str, log: str) -> None:
    sources = _sources()
    parts = [] if caller.startswith("429 that names") else _fixed(caller)
    for span in re.findall(r"`([^`]+)`", log):
        phase, colon, text = span.partition(": ")
        words = text if colon and phase.islower() and " " not in phase else span
        parts += [part for part in _fixed(words) if not NOT_OURS.fullmatch(part)]
    missing = [part for part in parts if part not in sources and part.strip('"') not in sources]
    assert missing == []
