"""The metrics page as a test sees it: parsed strictly, compared from one reading to the next."""

from __future__ import annotations

import asyncio
import math
import time
import urllib.request
from collections.abc import Callable, Mapping

from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]
_POLL_S = 0.02
_READ_TIMEOUT_S = 5.0
# Sample names that may only rise, whatever happens to the workers.
_RISING = ("_total", "_count", "_sum", "_bucket")


class Page:
    """One reading of /metrics. ValueError when it is not valid, or says a thing twice."""

    def __init__(self, text: str) -> None:
        self.samples: dict[tuple[str, Labels], float] = {}
        self.rising: set[tuple[str, Labels]] = set()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                key = (sample.name, frozenset(sample.labels.items()))
                if key in self.samples:
                    raise ValueError(f"{sample} is there twice")
                if math.isnan(sample.value):
                    raise ValueError(f"{sample} is no number")
                self.samples[key] = sample.value
                if family.type in ("counter", "histogram") and sample.name.endswith(_RISING):
                    self.rising.add(key)
        if not self.samples:
            raise ValueError("an empty page")

    def total(self, name: str, **labels: str) -> float:
        """The sum over all series of a name that have these labels."""
        wanted = set(labels.items())
        return sum(value for (found, has), value in self.samples.items() if found == name and wanted <= has)

    def by(self, name: str, label: str) -> dict[str, float]:
        """Sums by the value of one label."""
        sums: dict[str, float] = {}
        for (found, has), value in self.samples.items():
            if found == name:
                word = dict(has).get(label, "")
                sums[word] = sums.get(word, 0.0) + value
        return sums


def read_page(url: str) -> Page:
    with urllib.request.urlopen(url, timeout=_READ_TIMEOUT_S) as answer:
        return Page(answer.read().decode())


async def page(env: Mapping[str, str]) -> Page:
    return await asyncio.to_thread(read_page, env["SIDECAR_METRICS"])


async def page_where(env: Mapping[str, str], condition: Callable[[Page], bool], deadline_s: float = 10.0) -> Page:
    """The first page that fulfils the condition; AssertionError with the last one at the deadline."""
    end_s = time.monotonic() + deadline_s
    while not condition(now := await page(env)):
        if time.monotonic() > end_s:
            raise AssertionError("\n".join(f"{name}{dict(has)} {value}" for (name, has), value in now.samples.items()))
        await asyncio.sleep(_POLL_S)
    return now


class Watch:
    """async with Watch(env) as watch: reads the page all the time. `faults`: what was wrong with it, in words."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self.pages = 0
        self.faults: list[str] = []
        self.last: Page | None = None

    async def __aenter__(self) -> Watch:
        self.look(await page(self._env))
        self._task = asyncio.create_task(self._go_on())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _go_on(self) -> None:
        while True:
            try:
                self.look(await page(self._env))
            except (OSError, ValueError) as error:
                self.faults.append(repr(error))
            await asyncio.sleep(_POLL_S)

    def look(self, now: Page) -> None:
        """Compares a reading with the one before."""
        before, self.last = self.last, now
        self.pages += 1
        if before is None:
            return
        for key in before.rising:
            if now.samples.get(key, -1.0) < before.samples[key]:
                self.faults.append(f"{key} went from {before.samples[key]} to {now.samples.get(key)}")
