"""Where the configuration comes from: the file that was named, or the packaged default in the state directory."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator
from importlib import resources

from sidecar.config import ConfigErrors
from sidecar.reload import Watcher
from sidecar.snapshot import Snapshot
from sidecar.supervisor.options import Options
from sidecar.supervisor.start_error import StartError
from sidecar.supervisor.state import StateDir, write_private

_log = logging.getLogger("sidecar")


class Configuration:
    """The file, read at the start and again whenever it changes. `local_base_url` is where the local model answers."""

    def __init__(self, options: Options, state: StateDir, local_base_url: str | None) -> None:
        self._option = "--config-path" if options.config_path else "--state-dir"
        self._path = options.config_path or state.config
        if options.config_path is None and not self._path.exists():
            write_private(self._path, default_config())
        self._watcher = Watcher(str(self._path), os.environ, local_base_url=local_base_url)

    def load(self) -> Snapshot:
        """The first reading. Raises StartError with every problem found, one a line."""
        if not self._path.is_file():
            raise StartError(f"config file {self._path}: does not exist; name another with {self._option}")
        try:
            snapshot = self._watcher.load()
        except ConfigErrors as errors:
            raise StartError(str(errors)) from None
        _warn(snapshot)
        return snapshot

    def poke(self) -> None:
        """Reads it again even if nothing changed."""
        self._watcher.poke()

    async def changes(self) -> AsyncIterator[Snapshot | None]:
        """Each new configuration; None for each one that cannot be used, after its problems were logged."""
        async for reload in self._watcher.reloads():
            for problem in reload.problems:
                _log.error("%s", problem)
            if reload.snapshot is None:
                _log.error("configuration not taken, the old one stays")
            else:
                _warn(reload.snapshot)
            yield reload.snapshot


def default_config() -> str:
    """The configuration of a first start: the embedded model's three routes."""
    return (resources.files("sidecar") / "default.yaml").read_text(encoding="utf-8")


def _warn(snapshot: Snapshot) -> None:
    for warning in snapshot.warnings:
        _log.warning("%s", warning)
