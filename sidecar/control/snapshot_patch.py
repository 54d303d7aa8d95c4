"""The difference between two snapshots, so that changing one route does not send 6,001 of them to each worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from sidecar.domain.snapshot import Route, Snapshot

# If more than this share of the routes is new, sending the whole snapshot is as cheap.
_SHARE_MAX = 0.1
# The fields that a patch carries; all others must be identical or equal.
_CARRIED = ("routes", "hash", "warnings")


@dataclass(frozen=True, slots=True)
class Patch:
    """Changes the snapshot with hash `before` into the one with hash `hash`: removes `gone`, adds `put` (existing
    names keep their place, new ones come last)."""

    before: str
    hash: str
    put: Mapping[str, Route]
    gone: tuple[str, ...]
    warnings: tuple[str, ...]


def between(old: Snapshot, new: Snapshot) -> Patch | None:
    """Returns None if the whole snapshot has to be sent. Routes are compared by identity: a change through the API
    keeps the others."""
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
    """Applies the patch to `old`. Raises ValueError if it was made for another snapshot."""
    if old.hash != patch.before:
        raise ValueError("a patch for another snapshot")
    routes = dict(old.routes)
    for name in patch.gone:
        del routes[name]
    routes.update(patch.put)
    return replace(old, routes=routes, hash=patch.hash, warnings=patch.warnings)
