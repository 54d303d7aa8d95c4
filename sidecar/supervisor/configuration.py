"""The source of the configuration: the config file, or the packaged default in the state directory, plus the routes
and limits managed through the API, in `routes.d/` in the same folder."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib import resources
from pathlib import Path

from sidecar.config import BaseConfig, ConfigErrors, Problem, ReadFile, digest, load_route_file
from sidecar.config.route_store import DamagedFile, RouteFiles
from sidecar.config.settle import TIMING, Timing
from sidecar.config.watcher import Ask, ConfigChange, Watcher
from sidecar.domain.snapshot import Limit, Snapshot
from sidecar.supervisor.start.options import Options
from sidecar.supervisor.start.start_error import StartError
from sidecar.supervisor.start.state import StateDir, write_private
from sidecar.supervisor.widening import widening

_log = logging.getLogger("sidecar")


@dataclass(frozen=True, slots=True)
class RouteDraft:
    """A proposed route file; `text` is None to delete it. `keys` are not in the secrets directory yet."""

    name: str
    text: str | None
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    replaces: bool = False  # keep the limits that were set through the API


@dataclass(frozen=True, slots=True)
class Reading:
    """A configuration, both as the files define it and with the limits that were set through the API."""

    bare: Snapshot
    snapshot: Snapshot
    made: Mapping[str, str] | None = None  # texts of the routes managed through the API, by path; None: as on disk


@dataclass(frozen=True, slots=True)
class ConfigRefused:
    """Why a reload is refused. `unconfirmed`: it can be applied once an operator confirms it."""

    why: str
    unconfirmed: bool = False


class Configuration:
    """The config file, read at the start and again whenever it changes. `local_base_url` is the address of the
    local model.

    `taken` tells which reading is in use: it becomes `snapshot`, and changes through the API are validated against
    it.
    """

    def __init__(self, options: Options, state: StateDir, local_base_url: str | None, timing: Timing = TIMING) -> None:
        self._option = "--config-path" if options.config_path else "--state-dir"
        self._path = options.config_path or state.config
        self._is_ours = options.config_path is None
        self.files = RouteFiles(os.path.dirname(os.path.abspath(self._path)))
        self._state_dir = state.root
        self._watcher = Watcher(
            str(self._path),
            os.environ,
            local_base_url=local_base_url,
            made=self.files,
            opens=lambda snapshot: widening(self._in_use.bare, snapshot).opens,
            timing=timing,
        )
        self._text = ""  # of the main file in use
        self._reading: Reading | None = None
        self._base: BaseConfig | None = None  # parsed from the text on first use
        self._made: Mapping[str, str] | None = None  # texts of routes managed through the API in use, by path
        self._refused = False  # whether the file on disk differs and is invalid

    @property
    def _in_use(self) -> Reading:
        assert self._reading is not None
        return self._reading

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot in use."""
        return self._in_use.snapshot

    def load(self) -> Snapshot:
        """Reads the configuration for the first time, writing the packaged default if that is used for the first
        time. Raises StartError with every problem, one per line."""
        if self._is_ours and not self._path.exists():
            write_private(self._path, default_config())
        if not self._path.is_file():
            why = "is not a file" if self._path.exists() else "does not exist"
            raise StartError(f"The config file {self._path} {why}. Choose another with {self._option}.")
        try:
            self.files.sweep()
        except DamagedFile as error:  # only cleanup: what is needed is read below
            _log.debug("%s: %s", error.path, error)
        except OSError as error:
            _log.warning("%s: %s", self.files.root, error)
        try:
            reading = self._limited(self._watcher.load_finished())
        except ConfigErrors as errors:
            raise StartError(str(errors)) from None
        _warn(reading.snapshot)
        self.taken(reading)
        return reading.snapshot

    def taken(self, reading: Reading) -> None:
        """Marks the result of `up_to_date` as the one in use."""
        self._text = self._watcher.text or ""
        self._reading = reading
        self._base, self._made = None, None

    def changed(self, reading: Reading) -> None:
        """Marks the result of `with_draft` or `with_limits` as the one in use: the same main file, with a change
        through the API."""
        self._reading = reading
        self._made = reading.made

    @property
    def looks(self) -> int:
        """How often it has checked for changes."""
        return self._watcher.looks

    def retry(self) -> None:
        """Reads again after a route was removed: a file that was refused may be valid now."""
        if self._refused:
            self.poke()

    def poke(self) -> None:
        """Reads again even if nothing changed."""
        self._watcher.poke()

    def ask(self, ask: Ask) -> None:
        """Reads again on request, applying the result even if it grants access."""
        self._watcher.poke(ask)

    async def changes(self) -> AsyncIterator[ConfigChange]:
        """Yields each new reading of the file, valid or not. Pass it to `up_to_date`."""
        async for reload in self._watcher.reloads():
            yield reload

    def up_to_date(self, reload: ConfigChange) -> Reading | ConfigRefused:
        """Returns the reading combined with the changes made through the API, or why it is refused (also logged).
        No change may be made through the API meanwhile. Blocks."""
        reading, problems = None, reload.problems
        try:
            bare = reload.snapshot
            if bare is not None and self._watcher.made_version != self.files.version:
                bare = self._watcher.load_text(self._watcher.text or "")  # the file may have been written again by now
            reading = None if bare is None else self._limited(bare)
        except ConfigErrors as errors:
            problems = tuple(errors.problems)
        self._refused = reading is None
        if reading is None:
            for problem in problems:
                _log.error("%s", problem)
            _log.error("The new configuration was refused; the old one stays in use.")
            return ConfigRefused("\n".join(map(str, problems)))
        if losses := widening(self._in_use.bare, reading.bare).losses:
            if not reload.asks:
                return self._unconfirmed(reading.bare, losses)
            _log.warning("%s: Applied, because an operator confirmed it: %s.", self._path, "; ".join(losses))
        _warn(reading.snapshot)
        return reading

    def _unconfirmed(self, bare: Snapshot, losses: Sequence[str]) -> ConfigRefused:
        why = "; ".join(losses)
        _log.error(
            "%s: Configuration %s needs confirmation; the old one stays in use. The file no longer contains "
            "something that kept "
            "callers out or limited them: %s. To confirm it, run `sidecar reload --state-dir %s` (or send SIGHUP).",
            self._path,
            bare.hash,
            why,
            self._state_dir,
        )
        return ConfigRefused(why, unconfirmed=True)

    def _texts(self) -> Mapping[str, str]:
        try:
            return self.files.texts()
        except DamagedFile as error:
            raise ConfigErrors([Problem(error.path, 0, "", str(error))]) from None

    def with_draft(self, draft: RouteDraft) -> Reading:
        """Returns the configuration in use with one route file changed. Raises ConfigErrors. Blocks."""
        path = str(self.files.path(draft.name))
        before = self._texts() if self._made is None else self._made
        made = {name: text for name, text in before.items() if name != path}
        if draft.text is not None:
            made[path] = draft.text

        def key(name: str) -> str | None:
            return draft.keys.get(name) or self.files.secret(name)

        bare = self._by_itself(draft, path, before, made, key)
        if bare is None:
            made = {name: made[name] for name in sorted(made, key=Path)}
            bare = self._watcher.load_text(self._text, made=made, key=key)
        return self._limited(bare, but=None if draft.replaces else draft.name, made=made)

    def _by_itself(
        self, draft: RouteDraft, path: str, before: Mapping[str, str], made: Mapping[str, str], key: ReadFile
    ) -> Snapshot | None:
        """Returns None if splits may refer to the route, or its name is an alias: then everything has to be read. A
        new route comes last until then."""
        if self._base is None:
            self._base = self._watcher.read_base(self._text)
        if self._base.splits or any("destinations" in text for text in before.values()):
            return None
        routes = dict(self._in_use.bare.routes)
        if any(draft.name in route.aliases for route in routes.values()):
            return None
        if draft.text is None:
            del routes[draft.name]
        else:
            found = load_route_file(draft.text, path, self._base, key)
            if found is None:
                return None
            routes |= found
        return replace(self._in_use.bare, routes=routes, hash=digest(self._text, made))

    def with_limits(self) -> Reading:
        """Returns the configuration in use with the limits that are on disk now. Raises ConfigErrors."""
        return self._limited(self._in_use.bare, made=self._made)

    def _limited(self, bare: Snapshot, but: str | None = None, made: Mapping[str, str] | None = None) -> Reading:
        """Applies the limits that were set through the API, except those of one route. Raises ConfigErrors."""
        try:
            limits = self.files.limits()
        except DamagedFile as error:
            raise ConfigErrors([Problem(error.path, 0, "", str(error))]) from None
        return Reading(bare, _limited(bare, {name: each for name, each in limits.items() if name != but}), made)


def default_config() -> str:
    """The configuration of a first start: three routes of the embedded model."""
    return (resources.files("sidecar.config") / "default.yaml").read_text(encoding="utf-8")


def _limited(snapshot: Snapshot, limits: Mapping[str, tuple[Limit, ...]]) -> Snapshot:
    """Replaces limits, and covers them in the hash. MLflow's form of a limit is dropped, as it would no longer be
    accurate."""
    known = {name: each for name, each in limits.items() if name in snapshot.routes}
    if not known:
        return snapshot
    routes = dict(snapshot.routes)
    for name, each in known.items():
        routes[name] = replace(routes[name], limits=each, mlflow_limit=None)
    limits_json = json.dumps({name: [asdict(limit) for limit in each] for name, each in sorted(known.items())})
    digest = hashlib.sha256(f"{snapshot.hash}{limits_json}".encode()).hexdigest()[:12]
    return replace(snapshot, routes=routes, hash=digest)


def _warn(snapshot: Snapshot) -> None:
    for warning in snapshot.warnings:
        _log.warning("%s", warning)
