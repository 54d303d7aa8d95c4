"""The two programs that can be the front, under one set of names: what the supervisor and the tests know of them."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from sidecar.front import envoy, nginx
from sidecar.front.envoy import admin, cors, users
from sidecar.front.settings import FrontError, FrontSettings


@dataclass(frozen=True, slots=True)
class Program:
    """One of them. See nginx.py and envoy/ for what each function promises."""

    name: str
    title: str
    """As in messages."""
    find: Callable[[], Path]
    render: Callable[[FrontSettings, Path], Path]
    check: Callable[[Path, Path | None], None]
    command: Callable[[Path, Path], tuple[list[str], Path]]
    stop_signal: signal.Signals
    """Ends it, and lets calls finish if there is no `drain`."""
    death_signal: signal.Signals
    """What it gets when its parent dies."""
    take_cors: Callable[[FrontSettings, Path], object]
    """(settings, folder): writes which web pages may call; effective after `reload_signal`, or by itself where there is none."""
    take_certificate: Callable[[FrontSettings, Path], object]
    """The same of the certificate's and the key's paths."""
    drain: Callable[[Path, float], Awaitable[None]] | None = None
    """(folder, seconds at most): lets calls finish; to be called before `stop_signal`."""
    reload_signal: signal.Signals | None = None
    """Makes it read its certificate again, calls under way going on. None: it notices by itself. One that cannot be used is
    refused in its log, and the old one stays."""
    take_users: Callable[[Path, Path], None] | None = None
    """(users file, folder): makes a changed users file effective. None: it is read at every request."""


def program(name: str) -> Program:
    """By its name on the command line. Raises FrontError."""
    try:
        return PROGRAMS[name]
    except KeyError:
        raise FrontError(f"There is no front {name!r}. Choose one of {', '.join(PROGRAMS)}.") from None


# A killed master would leave Nginx's workers behind, so it gets SIGTERM and takes them along; Envoy is one process.
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
            drain=admin.drain,
            take_cors=lambda settings, folder: cors.write_cors(settings.cors_origins, folder / cors.CORS),
            take_certificate=envoy.write_certificate,
            take_users=lambda users_file, folder: users.write_users(users_file, folder / envoy.USERS),
        ),
    )
}
