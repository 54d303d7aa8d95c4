"""The metrics page as Prometheus' own linter reads it, behind either front; on another address where that is said twice."""

from __future__ import annotations

import subprocess
import urllib.request
from pathlib import Path

import pytest

from tests.cli.running import sidecar
from tests.provider import Provider
from tests.stack.load import chat_body
from tests.stack.seen import Page
from tests.stack.stack import Stack, config_for

pytestmark = [pytest.mark.slow, pytest.mark.needs("promtool")]


@pytest.mark.parametrize("front", ["nginx", "envoy"])
def test_promtool_has_nothing_to_say_of_the_page(front: str, tmp_path: Path, provider: Provider) -> None:
    options = ("--metrics", "0.0.0.0:0", "--metrics", "0.0.0.0:0")
    with Stack(tmp_path, config_for(provider), front=front, options=options) as stack:
        with stack.http() as http, stack.http(key=None) as stranger:
            for body in (chat_body(), chat_body(stream=True), chat_body(model="nothing"), {}):
                http.post("/v1/chat/completions", json=body)
            assert stranger.get("/v1/models").status_code == 401
        text = stack.metrics_text()
        Page(text)  # no series stands there twice
        assert 'outcome="ok"' in text
        done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout + done.stderr) == (0, "")
        elsewhere = stack.env["SIDECAR_METRICS"].replace("127.0.0.1", "127.0.0.2")
        with urllib.request.urlopen(elsewhere, timeout=5) as answer:
            assert answer.status == 200


def test_the_linter_would_see_a_name_that_stands_twice() -> None:
    text = "# HELP a_total A.\n# TYPE a_total counter\na_total 1\n" * 2
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 1


def test_another_address_has_to_be_said_twice(tmp_path: Path) -> None:
    done = sidecar("serve", "--state-dir", str(tmp_path / "state"), "--metrics", "0.0.0.0:0")
    assert done.returncode == 1
    assert "say it twice: --metrics 0.0.0.0:0 --metrics 0.0.0.0:0" in done.stderr
