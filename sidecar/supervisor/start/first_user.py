"""The credential that a start announces: of a first user, which it creates, or of an earlier start."""

from __future__ import annotations

import logging
from pathlib import Path

from sidecar.supervisor.start.announcement import Credential, known_credential
from sidecar.supervisor.start.state import StateDir

_log = logging.getLogger("sidecar")
_LINES_SHOWN = 5
FIRST_USER = "sidecar"


def _warn_of_lines_of_nobody(users_file: Path) -> None:
    """A users file that is damaged refuses its users, one after another: the log says why. OSError."""
    from sidecar.identity import users

    if odd := users.lines_of_nobody(users_file):
        shown = ", ".join(map(str, odd[:_LINES_SHOWN])) + (" and more" if len(odd) > _LINES_SHOWN else "")
        words = "%s: line %s: not a user, written as name:{SHA}hash. Restore the file, or `sidecar users add NAME --replace`."
        _log.warning(words, users_file, shown)


def first_user(state: StateDir) -> Credential:
    """Returns the credential of the last start, or creates a user if there is none yet. OSError; UsersError for a
    file without a line of a user."""
    from sidecar.identity import users

    if users.list_users(state.users) and (why := users.why_nobody(state.users)):
        raise users.UsersError(
            f"{state.users}: {why} Repair the file, or remove it: the start then makes a first user."
        )
    if not users.list_users(state.users):
        password = users.add_user(state.users, FIRST_USER)
        return Credential(FIRST_USER, password, users.api_key(FIRST_USER, password))
    return known_user(state.users, state.env)


def known_user(users_file: Path, env: Path) -> Credential:
    """Returns the credential of the last start, if its user still exists. Raises OSError."""
    from sidecar.identity import users

    _warn_of_lines_of_nobody(users_file)
    known = known_credential(env)
    if known.user not in users.list_users(users_file) or known.api_key is None:
        _log.info("%s contains no user's password. Use your own, or run `sidecar users add NAME`.", env)
        return Credential()
    return known
