"""Whose credential a start announces: the first user's, which it makes, or that of an earlier start."""

from __future__ import annotations

import logging
from pathlib import Path

from sidecar.supervisor.start.announcement import Credential, known_credential
from sidecar.supervisor.start.state import StateDir

_log = logging.getLogger("sidecar")
FIRST_USER = "sidecar"


def first_user(state: StateDir) -> Credential:
    """The credential of the last start, or a new user where there is none yet."""
    from sidecar.identity import users

    if not users.list_users(state.users):
        password = users.add_user(state.users, FIRST_USER)
        return Credential(FIRST_USER, password, users.api_key(FIRST_USER, password))
    return known_user(state.users, state.env)


def known_user(users_file: Path, env: Path) -> Credential:
    """The credential of the last start, if the file still has its user. OSError."""
    from sidecar.identity import users

    known = known_credential(env)
    if known.user not in users.list_users(users_file) or known.api_key is None:
        _log.info("%s holds no password of a user. Use your own, or run `sidecar users add NAME`.", env)
        return Credential()
    return known
