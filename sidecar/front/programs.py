"""The programs that can serve as the front, behind a common interface for the supervisor and the tests."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from sidecar.front import envoy, nginx
from sidecar.front.envoy import admin, cors, users
from sidecar.front.settings import FrontError, FrontSettings
from sidecar.identity.users import why_nobody


@dataclass(frozen=True, slots=True)
class Program:
    """One of them. nginx.py and envoy/ document each function."""

    name: str
    title: str
    """Its name in messages."""
    find: Callable[[], Path]
    render: Callable[[FrontSettings, Path], Path]
    check: Callable[[Path, Path | None], None]
    command: Callable[[Path, Path], tuple[list[str], Path]]
    stop_signal: signal.Signals
    """Ends it; lets calls finish unless there is a `drain`."""
    death_signal: signal.Signals
    """The signal it receives if its parent dies."""
    take_cors: Callable[[FrontSettings, Path], object]
    """(settings, folder): writes which web pages may call. Takes effect after `reload_signal`, or at once if there
    is none."""
    take_certificate: Callable[[FrontSettings, Path], object]
    """Likewise for the paths of certificate and key."""
    take_users: Callable[[Path, Path], str]
    """(users file, folder): applies a changed users file. Returns why it lets nobody in, or "". OSError."""
    refused: Callable[[Path], Awaitable[dict[str, int]]] | None = None
    """(folder): how often it has refused each file that it reads by itself. OSError, http.client.HTTPException."""
    drain: Callable[[Path, float], Awaitable[None]] | None = None
    """(folder, maximum seconds): lets calls finish; call it before `stop_signal`."""
    reload_signal: signal.Signals | None = None
    """Makes it reload its certificate while calls continue. None: it notices a change itself."""
    users_by_itself: bool = False
    """The users file is read for every request."""


def program(name: str) -> Program:
    """Returns the program by its command-line name. Raises FrontError."""
    try:
        return PROGRAMS[name]
    except KeyError:
        raise FrontError(f"Unknown front {name!r}. Choose one of {', '.join(PROGRAMS)}.") from None


# If killed, an Nginx master would leave its workers behind, so it gets SIGTERM and ends them; Envoy is a single
# process.
PROGRAMS = {
    each.name: each
    for each in (
        Program(
            "nginx",
            "Nginx",
            nginx.find_nginx,
            nginx.render,
            nginx.check,
            nginx.command,
            stop_signal=signal.SIGQUIT,
            death_signal=signal.SIGTERM,
            reload_signal=signal.SIGHUP,
            take_cors=nginx.render,
            take_certificate=nginx.render,
            take_users=lambda users_file, _: why_nobody(users_file),
            users_by_itself=True,
        ),
        Program(
            "envoy",
            "Envoy",
            envoy.find_envoy,
            envoy.render,
            envoy.check,
            envoy.command,
            stop_signal=signal.SIGTERM,
            death_signal=signal.SIGKILL,
            refused=admin.refused,
            drain=admin.drain,
            take_cors=lambda settings, folder: cors.write_cors(settings.cors_origins, folder / cors.CORS),
            take_certificate=envoy.write_certificate,
            take_users=lambda users_file, folder: users.write_users(users_file, folder / envoy.USERS),
        ),
    )
}
