"""What callers of the Responses API have the gateway remember: sealed records on the disk, shared by the workers of one host.

    memory = Memory(state_dir, settings)      # settings() is what the config says now; None: remember nothing
    await memory.put("search-team", "resp_1", record)
    await memory.get("search-team", ["resp_1"])

A record belongs to one consumer. What is in it nobody here reads.
"""

from __future__ import annotations

from sidecar.conversations.memory import Memory

__all__ = ["Memory"]
