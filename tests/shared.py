"""The large set of recordings that lies beside a checkout, not in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_DEFAULT = Path(__file__).parents[2] / "shared"
NEEDED = "needs the shared recordings; SIDECAR_SHARED names their directory"


def shared_path() -> Path | None:
    """Where the set is (SIDECAR_SHARED, else beside the checkout); None if it is not there."""
    path = Path(os.environ.get("SIDECAR_SHARED") or _DEFAULT)
    return path if (path / "recordings").is_dir() else None


def shared() -> Path:
    """The same for a test that needs it: skips with the reason, which conftest makes a failure under CI."""
    path = shared_path()
    if path is None:
        pytest.skip(NEEDED)
    return path
