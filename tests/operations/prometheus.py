"""A real Prometheus that scrapes one gateway with the rules of deploy/prometheus, all times sixty times shorter."""

from __future__ import annotations

import re
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import yaml

from tests.processes import RunningProcess, free_port, wait_until

DEPLOY = Path(__file__).parents[2] / "deploy" / "prometheus"
# Minutes become seconds: a rule that waits five minutes for an alert waits five seconds here.
FASTER = 60
SCRAPE_S = 15 / FASTER
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"(\[|offset |for: )(\d+)([smhd])\b")
_READY_S = 30.0


def faster(rules: str) -> str:
    """The rules with every window, offset and `for` a sixtieth as long."""
    return _DURATION.sub(lambda found: f"{found[1]}{int(found[2]) * _UNITS_S[found[3]] * 1000 // FASTER}ms", rules)


class Prometheus:
    """Scrapes `target` ("host:port") inside the `with` block."""

    def __init__(self, folder: Path, target: str) -> None:
        self._port = free_port()
        (folder / "rules.yml").write_text(faster((DEPLOY / "rules.yml").read_text()))
        (folder / "prometheus.yml").write_text(_config(target))
        self._process = RunningProcess(
            [
                "prometheus",
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{self._port}",
                "--log.level=warn",
            ]
        )
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{self._port}", timeout=10, trust_env=False)

    def __enter__(self) -> Self:
        try:
            wait_until(self._scraped, _READY_S, "the first scrape")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()
        self._process.kill()

    def _scraped(self) -> bool:
        try:
            return self.value("up") == 1
        except (httpx.TransportError, ValueError):  # it starts
            return False

    def query(self, expr: str, at_s: float | None = None) -> list[tuple[dict[str, str], float]]:
        """Labels and value of each sample, now or at a time. ValueError for what is no PromQL."""
        params = {"query": expr} if at_s is None else {"query": expr, "time": f"{at_s:.3f}"}
        answer: dict[str, Any] = self._http.get("/api/v1/query", params=params).json()
        if answer["status"] != "success":
            raise ValueError(f"{expr}: {answer.get('error')}")
        return [(sample["metric"], float(sample["value"][1])) for sample in answer["data"]["result"]]

    def value(self, expr: str) -> float:
        """The sum of the samples; 0 where there are none."""
        return sum(value for _, value in self.query(expr))

    def firing(self) -> set[str]:
        return {labels["alertname"] for labels, _ in self.query('ALERTS{alertstate="firing"}')}

    def until(self, alert: str, *, fires: bool, within_s: float) -> float:
        """Seconds until the alert fires, or does so no more. AssertionError at the deadline."""
        began_s = time.monotonic()
        what = f"{alert} {'fires' if fires else 'clears'}"
        wait_until(lambda: (alert in self.firing()) is fires, within_s, what)
        return time.monotonic() - began_s


def _config(target: str) -> str:
    config = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    config["global"] = {name: f"{int(SCRAPE_S * 1000)}ms" for name in ("scrape_interval", "evaluation_interval")}
    config["global"]["scrape_timeout"] = config["global"]["scrape_interval"]
    config["scrape_configs"][0]["static_configs"] = [{"targets": [target]}]
    return yaml.safe_dump(config)
