"""What stands on a route, or under `defaults:` for all of them."""

from __future__ import annotations

import os.path
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, TypeVar

from sidecar.config import fields
from sidecar.config.problems import Report
from sidecar.config.secrets import Sources
from sidecar.config.yaml_tree import Entry, Node
from sidecar.domain.snapshot import Admission, Breaker, Retries, Timeouts

_Value = TypeVar("_Value", Retries, Breaker, Admission)

# Settings of ours that stand on a route, or under `defaults:` for all of them.
SHARED_KEYS = (
    "timeouts",
    "response_bytes_max",
    "ca_file",
    "proxy",
    "retries",
    "breaker",
    "admission",
    "mlflow_dialect",
)
TIMEOUT_KEYS = ("connect", "first_output", "idle", "total", "write")
RETRIES_KEYS = ("budget", "backoff", "backoff_max")
BREAKER_KEYS = ("consecutive_failures", "error_ratio", "calls_min", "window", "open")
ADMISSION_KEYS = ("concurrent", "queue", "queue_time")
DIALECTS: Final = ("a", "b")
# Below 1 KiB no answer fits; 1 GiB is more than a worker's memory should be trusted with.
RESPONSE_BYTES = (1024, 1024**3)
# A caller waits for all attempts of a call together; more of them only make a provider's bad hour worse.
RETRIES_MAX = 10
# A failure count or a window's calls: beyond this a breaker never opens.
BREAKER_COUNT_MAX = 100_000
# Calls of one worker: each holds a socket and some ten KiB.
CONCURRENT_MAX = 100_000


@dataclass(frozen=True, slots=True)
class Settings:
    """What `defaults:` says, and a route may say otherwise."""

    timeouts: Timeouts = field(default_factory=Timeouts)
    response_bytes_max: int = 64 * 1024 * 1024  # as Route has it; a test compares them
    ca_file: str | None = None
    proxy: str | None = None
    retries: Retries = field(default_factory=Retries)
    breaker: Breaker = field(default_factory=Breaker)
    admission: Admission | None = None
    mlflow_dialect: Literal["a", "b"] = "a"

    def of_route(self) -> dict[str, Any]:
        """Those of Route; the others are its upstreams'."""
        return {
            "timeouts": self.timeouts,
            "response_bytes_max": self.response_bytes_max,
            "retries": self.retries,
            "breaker": self.breaker,
            "admission": self.admission,
            "mlflow_dialect": self.mlflow_dialect,
        }


@dataclass(frozen=True, slots=True)
class Scope:
    """What every part of one load needs."""

    report: Report
    sources: Sources
    directory: str  # of the config file
    local_base_url: str | None


def settings(entries: Mapping[str, Entry], path: str, found: Settings, scope: Scope) -> Settings:
    """`found` with what `entries` say otherwise; what is wrong goes to the report and stays as it was."""
    report = scope.report
    changes: dict[str, Any] = {}
    if (entry := entries.get("timeouts")) is not None:
        changes["timeouts"] = _timeouts(entry.value, f"{path}.timeouts", found.timeouts, report)
    if (entry := entries.get("response_bytes_max")) is not None:
        size = fields.size(entry.value, f"{path}.response_bytes_max", report, *RESPONSE_BYTES)
        changes["response_bytes_max"] = size or found.response_bytes_max
    if (entry := entries.get("ca_file")) is not None:
        changes["ca_file"] = _ca_file(entry.value, f"{path}.ca_file", scope)
    if (entry := entries.get("proxy")) is not None and fields.url(entry.value, f"{path}.proxy", report):
        changes["proxy"] = entry.value.text.rstrip("/")
    if (entry := entries.get("retries")) is not None:
        changes["retries"] = _retries(entry.value, f"{path}.retries", found.retries, report)
    if (entry := entries.get("breaker")) is not None:
        changes["breaker"] = _breaker(entry.value, f"{path}.breaker", found.breaker, report)
    if (entry := entries.get("admission")) is not None:
        changes["admission"] = admission(entry.value, f"{path}.admission", found.admission, report)
    if (entry := entries.get("mlflow_dialect")) is not None:
        changes["mlflow_dialect"] = (
            fields.word(entry.value, f"{path}.mlflow_dialect", report, DIALECTS) or found.mlflow_dialect
        )
    return replace(found, **changes)


def _timeouts(node: Node, path: str, timeouts: Timeouts, report: Report) -> Timeouts:
    entries = fields.mapping(node, path, report, TIMEOUT_KEYS) or {}
    read = {name: fields.duration(entry.value, f"{path}.{name}", report) for name, entry in entries.items()}
    return replace(timeouts, **{f"{name}_s": seconds for name, seconds in read.items() if seconds is not None})


def _retries(node: Node, path: str, found: Retries, report: Report) -> Retries:
    entries = fields.mapping(node, path, report, RETRIES_KEYS) or {}
    changes: dict[str, Any] = {}
    for name, entry in entries.items():
        if name == "budget":
            changes["budget"] = fields.integer(entry.value, f"{path}.budget", report, 0, RETRIES_MAX)
        else:
            changes[f"{name}_s"] = fields.duration(entry.value, f"{path}.{name}", report)
    made = _changed(found, changes)
    if made.backoff_s > made.backoff_max_s:
        line = (entries.get("backoff") or entries["backoff_max"]).line
        report.error(line, path, "backoff is longer than backoff_max", f"{made.backoff_s:g}s, {made.backoff_max_s:g}s")
    return made


def _breaker(node: Node, path: str, found: Breaker, report: Report) -> Breaker:
    entries = fields.mapping(node, path, report, BREAKER_KEYS) or {}
    changes: dict[str, Any] = {}
    for name, entry in entries.items():
        place = f"{path}.{name}"
        if name == "error_ratio":
            changes[name] = fields.share(entry.value, place, report)
        elif name in ("window", "open"):
            changes[f"{name}_s"] = fields.duration(entry.value, place, report)
        else:
            changes[name] = fields.integer(entry.value, place, report, 1, BREAKER_COUNT_MAX)
    return _changed(found, changes)


def admission(node: Node, path: str, found: Admission | None, report: Report) -> Admission | None:
    """`found` with what stands here. None with a problem where nothing says how many calls."""
    entries = fields.mapping(node, path, report, ADMISSION_KEYS)
    if entries is None:
        return found
    changes: dict[str, Any] = {}
    if (entry := entries.get("concurrent")) is not None:
        changes["concurrent_max"] = fields.integer(entry.value, f"{path}.concurrent", report, 1, CONCURRENT_MAX)
    elif found is None:
        report.error(node.line, f"{path}.concurrent", "is missing")
    if (entry := entries.get("queue")) is not None:
        changes["queue_max"] = fields.integer(entry.value, f"{path}.queue", report, 0, CONCURRENT_MAX)
    if (entry := entries.get("queue_time")) is not None:
        changes["queue_s"] = fields.duration(entry.value, f"{path}.queue_time", report)
    return _changed(found or Admission(1), changes)


def _changed(found: _Value, changes: dict[str, Any]) -> _Value:
    """Without what was wrong."""
    return replace(found, **{name: value for name, value in changes.items() if value is not None})


def _ca_file(node: Node, path: str, scope: Scope) -> str | None:
    """The path as a worker can open it. Whether it holds certificates is checked here, so that no call finds out."""
    written = fields.text(node, path, scope.report)
    if written is None:
        return None
    if scope.sources.read_secret is not None:
        scope.report.error(node.line, path, "is for the config file", "a route made by call names no files")
        return None
    try:
        content = scope.sources.file(written)
    except OSError as error:
        scope.report.error(node.line, path, f"cannot be read: {error.strerror or type(error).__name__}")
        return None
    if content is None:
        hint = "paths start at the config file's directory"
        scope.report.error(node.line, path, f'file "{written}" does not exist', hint)
    elif "-----BEGIN CERTIFICATE-----" not in content:
        scope.report.error(node.line, path, f'file "{written}" holds no PEM certificate')
    else:
        return os.path.join(scope.directory, written)
    return None
