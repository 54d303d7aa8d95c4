"""YAML -> a frozen Snapshot, or everything that is wrong with it. docs/reference/config.md describes the file.

`load` is pure apart from `read_file`; `load_file` and `check` work on files.
"""

from __future__ import annotations

import os.path
from collections.abc import Mapping
from dataclasses import replace

from adapters.providers import PROVIDERS
from sidecar.config.files import ReadFile, read_config, reader
from sidecar.config.problems import ConfigErrors, Problem, Report
from sidecar.config.route_file import BaseConfig, digest, load_route_file, read_base
from sidecar.config.scope import Scope
from sidecar.config.secrets import Sources
from sidecar.config.top_level import read
from sidecar.config.upstream import provider_name
from sidecar.config.variables import SECRET_KEYS, expand_tree
from sidecar.config.yaml_tree import parse
from sidecar.domain.snapshot import Snapshot
from sidecar.domain.version import version_of

__all__ = [
    "LOCAL_UNKNOWN",
    "BaseConfig",
    "ConfigErrors",
    "Problem",
    "ReadFile",
    "check",
    "digest",
    "load",
    "load_file",
    "load_route_file",
    "read_base",
    "read_config",
    "reader",
    "secret_keys",
]

# Stands for the local model's address where it will not be called: in checks, and before the model has started.
LOCAL_UNKNOWN = "http://127.0.0.1:0/v1"


def load(
    text: str,
    env: Mapping[str, str],
    *,
    file: str = "config.yaml",
    read_file: ReadFile,
    local_base_url: str | None = None,
    directory: str | None = None,
    route_files: Mapping[str, str] | None = None,
    read_secret: ReadFile | None = None,
) -> Snapshot:
    """Returns a validated configuration with its secrets resolved. Raises ConfigErrors with every problem found.

    `read_file` takes a path as written (relative to the config's directory) and returns the content, or None if
    there is no such file. `file` is the name in messages. `directory` is where relative paths of `ca_file` start
    (default: that of `file`). `local_base_url` is the address of the embedded model; without it, the provider
    `local` is an error.

    `route_files` holds the routes that are managed through the API, one per file, by the file's name in messages.
    Such a file contains only `routes:` or `endpoints:`, validated like those of the main file: `defaults:` apply,
    names are unique over all files, and a problem's `file` names the file. Their routes follow the main file's, in
    the given order. Keys in them are written `secret:NAME` (`secret_keys` lists the settings that are keys).
    `read_secret(NAME)` returns the content, or None if there is no such secret; NAME never leads out of a directory.
    Variables, paths and plain keys are refused there, and so are `ca_file` and `client_certificate`. `hash` covers
    all files.
    """
    report = Report(file)
    start = os.path.dirname(file) if directory is None else directory
    scope = Scope(report, Sources(env, read_file), start, local_base_url)
    stored = Sources({}, _nothing, read_secret or _nothing)
    root = parse(text, report)
    expand_tree(root, env, report)
    others = []
    for name, content in (route_files or {}).items():
        its_scope = replace(scope, report=report.of_file(name), sources=stored, version=version_of(content))
        others.append((parse(content, its_scope.report), its_scope))
    values = read(root, others, scope)
    if report.problems:
        raise ConfigErrors(report.problems)
    warnings = tuple(str(warning) for warning in report.warnings)
    return Snapshot(hash=digest(text, route_files or {}), warnings=warnings, **values)


def _nothing(path: str) -> str | None:
    return None


def secret_keys(provider: str) -> frozenset[str]:
    """The settings below a provider's `model.config` that are keys; those of all providers if there is no such
    provider."""
    row = PROVIDERS.get(provider_name(provider))
    if row is None:
        return SECRET_KEYS
    rows = (row, PROVIDERS["azure"]) if row.name == "openai" else (row,)
    return frozenset(key for each in rows for key in each.config_keys if key in SECRET_KEYS)


def load_file(path: str, env: Mapping[str, str], *, local_base_url: str | None = None) -> Snapshot:
    """Loads a file; messages name it as `path` does. Raises ConfigErrors, also if it cannot be read."""
    directory = os.path.dirname(os.path.abspath(path))
    text = read_config(path)
    return load(text, env, file=path, read_file=reader(directory), local_base_url=local_base_url, directory=directory)


def check(path: str, env: Mapping[str, str]) -> tuple[int, list[str]]:
    """Returns what `sidecar check FILE` exits with and prints: 1 and the problems, or 0, the warnings and one line
    "ok"."""
    try:
        snapshot = load_file(path, env, local_base_url=LOCAL_UNKNOWN)
    except ConfigErrors as errors:
        return 1, [str(problem) for problem in errors.problems]
    count = len(snapshot.routes)
    warnings = [f"warning: {warning}" for warning in snapshot.warnings]
    return 0, [*warnings, f"ok: {count} route{'s' * (count != 1)} (hash {snapshot.hash})"]
