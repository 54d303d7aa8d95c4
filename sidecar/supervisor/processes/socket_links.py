"""Symlinks to the sockets of whichever worker serves in a position, so that the front and local clients do not
notice a replacement."""

from __future__ import annotations

import os
from pathlib import Path

from sidecar.control.channel import Ready


class SocketLinks:
    """Symlinks in `folder`: `w<position>.sock` for the front, `s<position>.sock` for local gRPC."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def lead(self, position: int, ready: Ready | None) -> None:
        """Points to the sockets of a worker that is ready."""
        assert ready is not None
        for kind, path in (("w", ready.front_path), ("s", ready.grpc_path)):
            if path is not None:
                _point(self._folder / f"{kind}{position}.sock", Path(path).name)

    def name_first(self, name: str) -> None:
        """An additional name for the local gRPC socket of position 0."""
        _point(self._folder / name, "s0.sock")


def _point(link: Path, target: str) -> None:
    """Creates or changes a symlink atomically."""
    fresh = link.with_name(f".{link.name}.new")
    try:
        os.unlink(fresh)
    except FileNotFoundError:
        pass
    os.symlink(target, fresh)
    os.replace(fresh, link)
