"""Runs every client and writes docs/reference/clients.md: `python -m tests.clients`. It takes some minutes."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.clients.conftest import serving
from tests.clients.page import PAGE, page
from tests.clients.running import run
from tests.clients.table import CLIENTS


def main() -> None:
    with tempfile.TemporaryDirectory() as name, serving(Path(name)) as stack:
        found = {}
        for client in CLIENTS:
            folder = Path(name) / client.id
            folder.mkdir()
            found[client.id] = run(client, stack, folder)
    PAGE.write_text(page(found))


if __name__ == "__main__":
    main()
