"""Where limits and money are counted: one interface, in shared memory or in Redis: docs/concepts/limits.md."""

from __future__ import annotations

from sidecar.store.contract import Admitted, Needs, Rules, Store
from sidecar.store.memory import SharedMemory

__all__ = ["Admitted", "Needs", "Rules", "SharedMemory", "Store"]
