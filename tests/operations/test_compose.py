"""deploy/compose: what it mounts exists, its commands are the gateway's, and its files are valid. No container is started."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecar.config import load
from tests.processes import REPOSITORY
from tests.test_pages import unknown_words

FOLDER = REPOSITORY / "deploy" / "compose"


def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
    return found


def binds(service: dict[str, Any]) -> list[tuple[Path, str]]:
    """Files and folders of the repository, and where they are in the container."""
    pairs = [volume.split(":") for volume in service.get("volumes", ())]
    return [((FOLDER / source).resolve(), target) for source, target, *_ in pairs if source.startswith(".")]


def test_everything_that_is_mounted_exists_but_the_keys_that_its_first_lines_make() -> None:
    missing = [path.name for service in services().values() for path, _ in binds(service) if not path.exists()]
    assert missing == ["keys"]
    assert "mkdir -m 755 keys" in (FOLDER / "compose.yaml").read_text()


def test_the_gateways_command_has_no_option_that_does_not_exist() -> None:
    command = services()["gateway"]["command"]
    assert unknown_words(["sidecar", *command]) is None
    assert unknown_words(["sidecar", *command, "--planted=1"]) is not None


def test_the_configuration_loads_with_the_keys_as_files() -> None:
    text = (FOLDER / "config.yaml").read_text()
    snapshot = load(text, {}, file="config.yaml", read_file=lambda path: f"the text of {path}")
    assert snapshot.routes.keys() == {"chat"}
    assert snapshot.store is not None


@pytest.mark.needs("promtool")
def test_prometheus_accepts_what_it_is_given(tmp_path: Path) -> None:
    for path, target in binds(services()["prometheus"]):
        (tmp_path / Path(target).name).write_bytes(path.read_bytes())
    done = subprocess.run(
        ["promtool", "check", "config", str(tmp_path / "prometheus.yml")],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rules found" in done.stdout


def test_prometheus_scrapes_where_the_gateway_listens() -> None:
    scraped = yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"][0]["static_configs"][0][
        "targets"
    ]
    assert scraped == ["gateway:9464"]
    assert "--metrics=0.0.0.0:9464" in services()["gateway"]["command"]
