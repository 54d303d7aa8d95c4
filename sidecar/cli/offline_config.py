"""Reads the config file for commands that need no gateway: includes routes managed through the API, and tolerates
missing keys."""

from __future__ import annotations

import os
from collections import UserDict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sidecar.cli.failure import Failure
from sidecar.supervisor.start.options import STATE_DIR

if TYPE_CHECKING:
    from sidecar.domain.snapshot import Snapshot

NOT_SET = "(variable-not-set-here)"


class _Environment(UserDict[str, str]):
    """A variable that only the gateway has is irrelevant here: nothing is sent."""

    def __missing__(self, name: str) -> str:
        return NOT_SET

    def get(self, name: str, default: object = None) -> str:
        return self[name]


def loaded(config_path: Path | None, state_dir: Path | None) -> Snapshot:
    """Raises Failure. The secret of a variable that is not set is NOT_SET."""
    from sidecar import config
    from sidecar.config.route_store import DamagedFile, RouteFiles

    path = config_path or (state_dir or STATE_DIR) / "config.yaml"
    if not path.is_file():
        raise Failure(f"The config file {path} does not exist. Choose the gateway's with --config-path.")
    folder = str(path.absolute().parent)
    made = RouteFiles(folder)
    try:
        snapshot = config.load(
            config.read_config(str(path)),
            _Environment(os.environ),
            file=str(path),
            read_file=config.reader(folder),
            local_base_url=config.LOCAL_UNKNOWN,
            directory=folder,
            route_files=made.texts(),
            read_secret=made.secret,
        )
        limits = made.limits()
    except config.ConfigErrors as errors:
        raise Failure(f"{errors}\nRun `sidecar check {path}` to see the lines.") from None
    except DamagedFile as error:
        raise Failure(f"{error.path}: {error}") from None
    set_by_call = {
        name: replace(snapshot.routes[name], limits=limits[name]) for name in limits if name in snapshot.routes
    }
    return replace(snapshot, routes={**snapshot.routes, **set_by_call})
