"""YAML -> a frozen Snapshot, or everything that is wrong with it. docs/config.md describes the file.

`load` is pure but for `read_file`; `load_file` and `check` are the same with the disk behind them.
"""

from __future__ import annotations

import hashlib
import os.path
from collections.abc import Mapping

from sidecar.config._files import ReadFile, read_config, reader
from sidecar.config._problems import ConfigErrors, Problem, Report
from sidecar.config._route import Scope, routes
from sidecar.config._secrets import Sources
from sidecar.config._tree import parse
from sidecar.snapshot import Snapshot

__all__ = [
    "LOCAL_UNKNOWN",
    "ConfigErrors",
    "Problem",
    "ReadFile",
    "check",
    "load",
    "load_file",
    "read_config",
    "reader",
]

# Stands for the local model's address where nobody will call it: in checks, and before the model has been started.
LOCAL_UNKNOWN = "http://127.0.0.1:0/v1"


def load(
    text: str,
    env: Mapping[str, str],
    *,
    file: str = "config.yaml",
    read_file: ReadFile,
    local_base_url: str | None = None,
    directory: str | None = None,
) -> Snapshot:
    """A checked configuration with its secrets resolved. Raises ConfigErrors with every problem found.

    `read_file` takes a path as it is written (relative to the config's directory) and gives the content, or None where
    there is no such file. `file` is for messages. `directory` is where relative paths of `ca_file` start (default: that
    of `file`).
    `local_base_url` is where the embedded model answers; without it the provider `local` is an error.
    """
    report = Report(file)
    start = os.path.dirname(file) if directory is None else directory
    found = routes(parse(text, report), Scope(report, Sources(env, read_file), start, local_base_url))
    if report.problems:
        raise ConfigErrors(report.problems)
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return Snapshot(found, digest, tuple(str(warning) for warning in report.warnings))


def load_file(path: str, env: Mapping[str, str], *, local_base_url: str | None = None) -> Snapshot:
    """`load` of a file; messages name it as `path` does. Raises ConfigErrors, also where it cannot be read."""
    directory = os.path.dirname(os.path.abspath(path))
    text = read_config(path)
    return load(text, env, file=path, read_file=reader(directory), local_base_url=local_base_url, directory=directory)


def check(path: str, env: Mapping[str, str]) -> tuple[int, list[str]]:
    """What `sidecar check FILE` exits with and prints: 1 and the problems, or 0 and the warnings and one line "ok"."""
    try:
        snapshot = load_file(path, env, local_base_url=LOCAL_UNKNOWN)
    except ConfigErrors as errors:
        return 1, [str(problem) for problem in errors.problems]
    count = len(snapshot.routes)
    warnings = [f"warning: {warning}" for warning in snapshot.warnings]
    return 0, [*warnings, f"ok: {count} route{'s' * (count != 1)} (hash {snapshot.hash})"]
