"""The difference between two snapshots, for workers: one route that changes should not send 6,001 of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from sidecar.domain.snapshot import Route, Snapshot

# With more than this share of the routes new, the whole snapshot is as cheap.
_SHARE_MAX = 0.1
# What a patch carries itself; every other field must be the same object, or equal.
_CARRIED = ("routes", "hash", "warnings")


@dataclass(frozen=True, slots=True)
class Patch:
    """From the snapshot with the hash `before` to the one with the hash `hash`: without `gone`, with `put` (a name that is there
    keeps its place, a new one comes last)."""

    before: str
    hash: str
    put: Mapping[str, Route]
    gone: tuple[str, ...]
    warnings: tuple[str, ...]


def between(old: Snapshot, new: Snapshot) -> Patch | None:
    """None where the whole snapshot has to go. Routes are compared by identity: a change by call keeps the others."""
    if any(
        getattr(old, field.name) != getattr(new, field.name) for field in fields(Snapshot) if field.name not in _CARRIED
    ):
        return None
    put = {name: route for name, route in new.routes.items() if old.routes.get(name) is not route}
    if len(put) > max(1, _SHARE_MAX * len(new.routes)):
        return None
    patch = Patch(old.hash, new.hash, put, tuple(name for name in old.routes if name not in new.routes), new.warnings)
    return patch if list(patched(old, patch).routes) == list(new.routes) else None


def patched(old: Snapshot, patch: Patch) -> Snapshot:
    """`old` after the patch. Raises ValueError for another snapshot than it was made from."""
    if old.hash != patch.before:
        raise ValueError("a patch for another snapshot")
    routes = dict(old.routes)
    for name in patch.gone:
        del routes[name]
    routes.update(patch.put)
    return replace(old, routes=routes, hash=patch.hash, warnings=patch.warnings)
