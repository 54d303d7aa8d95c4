"""A worker's metrics in memory that the supervisor reads: an anonymous file (memfd) that both have open.

It is not on a disk, so a full one cannot stop a call. It has no name, so nothing is left behind by a kill. It
belongs to the supervisor, so counters outlive the workers. Space is allocated before it is used; if there is none,
the worker keeps a series privately, tries again later, and the file counts such series.

The file consists of words of eight bytes: MAGIC, number of words in use, number of series without room; then for
each series the length of its key, the key (JSON, padded) and its value. One thread of one process writes. A series
is complete before the number of words covers it.
"""

from __future__ import annotations

import json
import logging
import mmap
import os
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from prometheus_client import Metric

_log = logging.getLogger(__name__)
_WORD = 8
_MAGIC = int.from_bytes(b"scmetric", "little")
_MAGIC_AT, _USED_AT, _LOST_AT, _FIRST_AT = range(4)
# Enough for ten routes and a few consumers; doubles when it is full.
_BYTES = 256 * 1024
# A million series, more than anyone scrapes.
_BYTES_MAX = 256 * 1024 * 1024
# How often a series without room tries again.
_AGAIN_S = 10.0


class Series(NamedTuple):
    """One number of one worker. `at` is the byte offset in the file."""

    kind: str  # counter, gauge, histogram
    metric: str
    name: str  # of the sample: the metric's name with _total, _bucket, _sum
    labels: tuple[tuple[str, str], ...]
    help: str
    value: float
    at: int


def make(slot: int) -> int:
    """Creates a file and returns its descriptor. Raises OSError if that fails."""
    fd = os.memfd_create(f"sidecar-metrics-{slot}", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.fchmod(fd, 0o600)
        os.posix_fallocate(fd, 0, _BYTES)
        os.pwrite(fd, b"".join(each.to_bytes(_WORD, "little") for each in (_MAGIC, _FIRST_AT, 0)), 0)
    except BaseException:
        os.close(fd)
        raise
    return fd


class MetricMemory:
    """The writing end. `numbers[place]` is a value. Raises OSError or ValueError if the file cannot be used."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._places: dict[bytes, int] = {}
        self._lost: set[bytes] = set()
        self._again_s = 0.0
        self._logged = False
        self._open(os.fstat(fd).st_size)
        if self._words[_MAGIC_AT] != _MAGIC:
            raise ValueError("not a file of metrics")
        self._words[_LOST_AT] = 0
        for key, at in _keys(bytes(self._map[: self._words[_USED_AT] * _WORD])):
            self._places[key] = at // _WORD

    def _open(self, size: int) -> None:
        self._map = mmap.mmap(self._fd, size)
        view = memoryview(self._map)
        self._words, self.numbers = view.cast("q"), view.cast("d")

    def place(self, key: bytes) -> int | None:
        """Returns where the series' value is, creating one of 0; None if there is no room."""
        found = self._places.get(key)
        if found is not None:
            return found
        start = self._words[_USED_AT]
        key_words = -(-len(key) // _WORD)
        end = start + 1 + key_words + 1
        if not self._has_room(end * _WORD):
            self._lose(key)
            return None
        self._words[start] = len(key)
        self._map[(start + 1) * _WORD : (start + 1) * _WORD + len(key)] = key
        self.numbers[end - 1] = 0.0
        self._words[_USED_AT] = end
        self._places[key] = end - 1
        self._lost.discard(key)
        self._words[_LOST_AT] = len(self._lost)
        return end - 1

    def place_again(self, key: bytes) -> int | None:
        """Like `place` for a series that found no room before; only tries now and then."""
        return self.place(key) if time.monotonic() >= self._again_s else None

    def _has_room(self, size: int) -> bool:
        have = len(self._map)
        if size <= have:
            return True
        if self._lost and time.monotonic() < self._again_s:
            return False
        grown = max(have * 2, size)
        try:
            if grown > _BYTES_MAX:
                raise MemoryError(f"{_BYTES_MAX // 1024 // 1024} MiB are full")
            os.posix_fallocate(self._fd, 0, grown)
            old = (self._words, self.numbers, self._map)
            self._open(grown)
        except (OSError, MemoryError) as error:
            self._again_s = time.monotonic() + _AGAIN_S
            if not self._logged:
                self._logged = True
                _log.error("Out of memory for metrics: %s. Calls are served, but new series are missing.", error)
            return False
        for each in old[:2]:
            each.release()
        return True

    def _lose(self, key: bytes) -> None:
        self._lost.add(key)
        self._words[_LOST_AT] = len(self._lost)


def read(fd: int) -> tuple[list[Series], int]:
    """Returns everything a worker counted, and how many of its series are missing. Raises OSError, ValueError or
    LookupError for what is partly written; the next reading is complete."""
    data = os.pread(fd, _FIRST_AT * _WORD, 0)
    used, lost = (int.from_bytes(data[at * _WORD : (at + 1) * _WORD], "little") for at in (_USED_AT, _LOST_AT))
    data = os.pread(fd, used * _WORD, 0)
    numbers = memoryview(data).cast("d")
    found = []
    for key, at in _keys(data):
        kind, metric, name, labels, text = json.loads(key)
        found.append(Series(kind, metric, name, tuple(labels.items()), text, numbers[at // _WORD], at))
    return found, lost


def sums(fds: Iterable[int], metric: str) -> dict[tuple[tuple[str, str], ...], float]:
    """Adds up one metric over workers, by labels. Raises what `read` raises. Skips other metrics, of which there
    may be many."""
    found: dict[tuple[tuple[str, str], ...], float] = defaultdict(float)
    wanted = json.dumps(metric).encode()
    for fd in fds:
        data = os.pread(fd, _FIRST_AT * _WORD, 0)
        used = int.from_bytes(data[_USED_AT * _WORD : (_USED_AT + 1) * _WORD], "little")
        data = os.pread(fd, used * _WORD, 0)
        numbers = memoryview(data).cast("d")
        for key, at in _keys(data):
            if wanted in key:
                _, name, _, labels, _ = json.loads(key)
                if name == metric:
                    found[tuple(labels.items())] += numbers[at // _WORD]
    return dict(found)


def clear_gauges(fd: int) -> None:
    """Call it after the worker has ended: its running calls are gone."""
    for series in read(fd)[0]:
        if series.kind == "gauge":
            os.pwrite(fd, bytes(_WORD), series.at)


def _keys(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Yields keys and the byte offsets of their values."""
    at = _FIRST_AT * _WORD
    while at < len(data):
        length = int.from_bytes(data[at : at + _WORD], "little")
        value_at = at + _WORD - (-length // _WORD) * _WORD
        yield data[at + _WORD : at + _WORD + length], value_at
        at = value_at + _WORD


def merged(workers: Iterable[Iterable[Series]]) -> list[Metric]:
    """The sums over all workers in Prometheus' form: buckets of a histogram are cumulative up to +Inf."""
    from prometheus_client import Metric

    metrics: dict[str, Metric] = {}
    sums: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = defaultdict(lambda: defaultdict(float))
    for series in (each for worker in workers for each in worker):
        if series.metric not in metrics:
            metrics[series.metric] = Metric(series.metric, series.help, series.kind)
        sums[series.metric][series.name, series.labels] += series.value
    for name, metric in metrics.items():
        if metric.type == "histogram":
            _add_histogram(metric, sums[name])
            continue
        for (sample, labels), value in sums[name].items():
            metric.add_sample(sample, dict(labels), value)
    return list(metrics.values())


def _add_histogram(metric: Metric, sums: Mapping[tuple[str, tuple[tuple[str, str], ...]], float]) -> None:
    buckets: dict[tuple[tuple[str, str], ...], list[tuple[float, str, float]]] = defaultdict(list)
    for (sample, labels), value in sums.items():
        bound = dict(labels).get("le")
        if bound is None:
            metric.add_sample(sample, dict(labels), value)
        else:
            rest = tuple(each for each in labels if each[0] != "le")
            buckets[rest].append((float(bound), bound, value))
    for rest, found in buckets.items():
        total = 0.0
        for _, bound, value in sorted(found):
            total += value
            metric.add_sample(f"{metric.name}_bucket", {**dict(rest), "le": bound}, total)
        metric.add_sample(f"{metric.name}_count", dict(rest), total)
