"""deploy/prometheus as promtool reads it, and Grafana's dashboards in Grafana's own schema."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.operations.prometheus import DEPLOY, faster
from tools import dashboards, grafana

RULES = DEPLOY / "rules.yml"


def _promtool(*arguments: str, folder: Path = DEPLOY) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.needs("promtool")
def test_promtool_accepts_the_configuration_and_the_rules() -> None:
    for arguments in (("check", "config", "prometheus.yml"), ("check", "rules", "--lint-fatal", "rules.yml")):
        done = _promtool(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.needs("promtool")
def test_every_alert_passes_its_unit_test() -> None:
    done = _promtool("test", "rules", "rules_test.yml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.needs("promtool")
def test_a_rule_that_is_wrong_fails_its_unit_test(tmp_path: Path) -> None:
    """The positive control: a threshold that was mistyped."""
    for name in ("rules.yml", "rules_test.yml"):
        text = (DEPLOY / name).read_text()
        (tmp_path / name).write_text(text.replace("ratio_rate5m > 0.5\n", "ratio_rate5m > 5\n"))
    done = _promtool("test", "rules", "rules_test.yml", folder=tmp_path)
    assert done.returncode != 0
    assert "SidecarProviderDown" in done.stdout + done.stderr


def test_every_alert_is_in_both_halves_of_the_unit_tests() -> None:
    tests = yaml.safe_load((DEPLOY / "rules_test.yml").read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    names = {name for _, name in _alerts()}
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == names, "each fires somewhere"
    assert {case["alertname"] for case in tests[0]["alert_rule_test"]} == names, "and is silent when all is well"


def test_every_alert_says_what_is_wrong_and_whom_to_wake() -> None:
    for rule, name in _alerts():
        assert rule["labels"]["severity"] in ("page", "ticket"), name
        assert rule["annotations"]["summary"], name


def test_no_rule_papers_over_a_missing_metric() -> None:
    texts = [RULES.read_text(), *dashboards.files().values()]
    assert not any(re.search(r"or\s+vector|absent_over_time|\bor on\(\) vector", text) for text in texts)


def test_the_shorter_rules_of_the_live_tests_differ_in_times_only() -> None:
    text = RULES.read_text()
    short = faster(text)
    assert "[5000ms]" in short
    assert "for: 5000ms" in short
    assert "offset 5000ms" in short
    assert "ratio_rate5m" in short, "names are left alone"
    assert not re.search(r"\[\d+[mhd]\]|for: \d+[mhd]\b|offset \d+[mhd]\b", short)


def _alerts() -> list[tuple[dict[str, dict[str, str]], str]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [(rule, rule["alert"]) for group in groups for rule in group["rules"] if "alert" in rule]


@pytest.mark.parametrize("name", dashboards.files())
def test_a_dashboard_is_the_generated_one_and_loads_in_grafanas_schema(name: str) -> None:
    text = (dashboards.FOLDER / name).read_text()
    assert text == dashboards.files()[name], "`make proto` writes it anew"
    register_default_plugins()
    given = json.loads(text)
    loaded = Dashboard.from_json(given)
    assert loaded.title == given["title"]
    panels = loaded.panels or []
    assert len(panels) == len(given["panels"]) > 0
    written = json.loads(JSONEncoder(sort_keys=True).encode(loaded))
    for panel, back in zip(given["panels"], written["panels"], strict=True):
        for member in ("type", "title", "gridPos"):
            assert back[member] == panel[member]
        for target, again in zip(panel["targets"], back["targets"], strict=True):
            assert again["expr"] == target["expr"]


def test_no_two_panels_of_a_dashboard_overlap() -> None:
    for dashboard in dashboards.DASHBOARDS:
        taken: set[tuple[int, int]] = set()
        for panel in grafana.as_json(dashboard)["panels"]:
            place = panel["gridPos"]
            cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
            assert not cells & taken, (dashboard.title, panel["title"])
            assert max(x for x, _ in cells) < 24
            taken |= cells


def test_only_generated_dashboards_lie_there() -> None:
    assert {path.name for path in dashboards.FOLDER.iterdir()} == set(dashboards.files())


def test_the_provisioning_files_are_what_grafana_reads() -> None:
    folder = dashboards.FOLDER.parent / "provisioning"
    providers = yaml.safe_load((folder / "dashboards" / "sidecar.yaml").read_text())
    assert providers["apiVersion"] == 1
    assert providers["providers"][0]["type"] == "file"
    sources = yaml.safe_load((folder / "datasources" / "sidecar.yaml").read_text())
    assert sources["datasources"][0]["type"] == "prometheus"
