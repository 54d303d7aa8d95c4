"""What callers of the Responses API have the gateway remember: sealed records, on the disk of one machine for its workers, or in
the store that several machines share.

    memory = DiskMemory(state_dir, settings)      # settings() is what the config says now; None: remember nothing
    await memory.put("search-team", "resp_1", record)
    await memory.get("search-team", ["resp_1"], used=True, bytes_max=1_000_000)

Every record belongs to one consumer. This package does not interpret what a record holds.
"""

from __future__ import annotations

from sidecar.conversations.disk_memory import DiskMemory
from sidecar.conversations.memory import Memory

__all__ = ["DiskMemory", "Memory"]
