"""Help that helps, and failures that say what failed."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.running import CORE_PORTS, config_for, sidecar
from tests.processes import REPOSITORY

COMMANDS = (
    (),
    ("up",),
    ("start",),
    ("serve",),
    ("reload",),
    ("restart",),
    ("down",),
    ("check",),
    ("routes",),
    ("routes", "create"),
    ("routes", "show"),
    ("routes", "update"),
    ("routes", "delete"),
    ("chat",),
    ("complete",),
    ("embed",),
    ("explain",),
    ("users",),
    ("users", "add"),
    ("users", "list"),
    ("users", "remove"),
    ("render",),
    ("render", "nginx"),
    ("render", "envoy"),
    ("usage",),
    ("version",),
)


def _names(*group: str) -> set[str]:
    listed = sidecar(*group, "--help").stdout.partition("Commands:\n")[2].partition("\n\n")[0]
    return {line.split()[0] for line in listed.splitlines() if not line.startswith("   ")}


def test_this_list_of_commands_is_complete() -> None:
    assert _names() == {command[0] for command in COMMANDS if command}
    assert _names("routes") == {"create", "delete", "show", "update"}
    assert _names("users") == {"add", "list", "remove"}
    assert _names("render") == {"nginx", "envoy"}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(("sidecar", *command)))
def test_help_of_every_command_ends_in_an_example_of_that_command(command: tuple[str, ...]) -> None:
    done = sidecar(*command, "--help")
    assert done.returncode == 0
    example = done.stdout.strip().splitlines()[-1].strip()
    assert f"{example} ".startswith(" ".join(("Example: sidecar", *command, "")))


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("up", "--nonsense"),
        ("up", "--port", "70000"),
        ("chat",),
        ("up", "--workers", "0"),
        ("up", "--stub", "127.0.0.1:0"),
    ],
)
def test_wrong_usage_is_exit_code_two(arguments: tuple[str, ...]) -> None:
    done = sidecar(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(("sidecar", *command)))
def test_no_line_of_help_is_cut(command: tuple[str, ...]) -> None:
    usage, *lines = sidecar(*command, "--help").stdout.splitlines()
    assert usage.startswith("Usage: ")
    assert lines
    assert [line for line in lines if line.rstrip().endswith("...")] == []


def test_each_command_is_explained_by_one_short_sentence() -> None:
    for group in ((), ("routes",), ("users",), ("render",)):
        listed = sidecar(*group, "--help").stdout.partition("Commands:\n")[2].partition("\n\n")[0]
        for line in listed.splitlines():
            assert line.endswith("."), line
            assert line.split()[1][0].isupper(), line


@pytest.mark.parametrize(
    ("command", "option", "choices"),
    [
        ("up", "--front", ("nginx", "envoy")),
        ("serve", "--access-log", ("auto", "json", "human", "off")),
        ("serve", "--grpc-server", ("native", "grpcio")),
        ("routes create", "--task", ("chat", "completions", "embeddings")),
    ],
)
def test_choices_are_in_the_help_and_in_the_message_about_another_one(
    command: str, option: str, choices: tuple[str, ...]
) -> None:
    assert "|".join(choices) in sidecar(*command.split(), "--help").stdout
    refused = sidecar(*command.split(), option, "apache")
    assert refused.returncode == 2
    assert all(choice in refused.stderr for choice in choices)


def test_the_shell_completes_the_choices() -> None:
    environment = {
        **os.environ,
        "_SIDECAR_COMPLETE": "complete_bash",
        "COMP_WORDS": "sidecar up --front ",
        "COMP_CWORD": "3",
    }
    program = "import sys; sys.argv[0] = 'sidecar'; from sidecar.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=REPOSITORY, env=environment, check=False
    )
    assert done.stdout.split() == ["nginx", "envoy"], done.stderr


def test_the_version_is_an_option_and_a_command() -> None:
    shown = sidecar("--version")
    assert shown.returncode == 0
    assert re.fullmatch(r"sidecar \S+, Python \S+, grpcio \S+\n", shown.stdout)
    assert sidecar("version").stdout == shown.stdout


def _fails(*arguments: str, stdin: str = "") -> str:
    """The one line that a failing command prints."""
    done = sidecar(*arguments, stdin=stdin)
    assert done.returncode == 1, done.stdout + done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_a_missing_config_file_is_named(tmp_path: Path) -> None:
    line = _fails(
        "serve", "--state-dir", str(tmp_path / "s"), "--config-path", str(tmp_path / "none.yaml"), *CORE_PORTS
    )
    assert "none.yaml does not exist." in line


def test_a_folder_is_no_config_file(tmp_path: Path) -> None:
    line = _fails("serve", "--state-dir", str(tmp_path / "s"), "--config-path", str(tmp_path), *CORE_PORTS)
    assert f"{tmp_path} is not a file." in line


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--host", "no such host"), "Choose another with --host."),
        (
            ("--tls-certificate", "config.yaml", "--tls-key", "config.yaml"),
            "are not a PEM chain and its unencrypted key",
        ),
    ],
    ids=["host", "certificate"],
)
def test_a_front_that_cannot_start_is_said_in_one_line_before_anything_runs(
    tmp_path: Path, given: tuple[str, ...], words: str
) -> None:
    (tmp_path / "config.yaml").write_text(config_for("http://127.0.0.1:9/v1"))
    given = tuple(str(tmp_path / word) if word == "config.yaml" else word for word in given)
    config, state = str(tmp_path / "config.yaml"), str(tmp_path / "state")
    assert words in _fails("up", "--config-path", config, "--state-dir", state, "--port", "0", *CORE_PORTS, *given)


def test_an_unwritable_state_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()  # root may write anywhere, but not below a file
    assert "file/state cannot be used: Not a directory." in _fails(
        "up", "--state-dir", str(tmp_path / "file" / "state")
    )
    assert "file/state cannot be used: Not a directory." in _fails(
        "up", "--detach", "--state-dir", str(tmp_path / "file" / "state")
    )


def test_a_broken_config_says_everything_that_is_wrong(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("routes:\n  - name: a\n    route_type: llm/v1/chta\n    model: {provider: opnai, name: x}\n")
    done = sidecar("serve", "--state-dir", str(tmp_path / "state"), "--config-path", str(config), *CORE_PORTS)
    assert done.returncode == 1
    assert "config.yaml:3: routes[0].route_type" in done.stderr
    assert "config.yaml:4: routes[0].model.provider" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("command", "option"),
    [("serve", "--grpc"), ("serve", "--metrics"), ("up", "--port")],
    ids=["local", "metrics", "front"],
)
def test_a_port_in_use_is_named_with_the_option_to_change(tmp_path: Path, command: str, option: str) -> None:
    (tmp_path / "config.yaml").write_text(config_for("http://127.0.0.1:9/v1"))
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        given = {"--grpc": "127.0.0.1:0", "--metrics": "127.0.0.1:0"} | (
            {option: str(port)} if option == "--port" else {option: f"127.0.0.1:{port}"}
        )
        line = _fails(
            command,
            *("--state-dir", str(tmp_path / "state"), "--config-path", str(tmp_path / "config.yaml")),
            *(word for pair in given.items() for word in pair),
        )
    assert f"127.0.0.1:{port} is in use by another program. Choose another with {option}." in line


def test_a_local_grpc_port_that_others_could_reach_is_refused(tmp_path: Path) -> None:
    assert "not a loopback address" in _fails("serve", "--state-dir", str(tmp_path), "--grpc", "0.0.0.0:50051")


def test_calls_without_a_gateway_say_that_none_is_there(tmp_path: Path) -> None:
    target = ("--target", "127.0.0.1:9", "--state-dir", str(tmp_path))
    assert "Cannot reach 127.0.0.1:9" in _fails("routes", *target)
    assert "Cannot reach 127.0.0.1:9" in _fails("chat", "chat", "hello", *target)
    assert "No prompt was given." in _fails("chat", "chat", *target, stdin="")


def test_down_and_restart_without_a_gateway_say_that_none_runs(tmp_path: Path) -> None:
    for command in ("down", "restart"):
        assert "No gateway is running on the state directory" in _fails(command, "--state-dir", str(tmp_path))


def test_importing_the_command_line_leaves_grpc_aiohttp_and_the_model_alone() -> None:
    heavy = ("grpc", "aiohttp", "pydantic", "rich", "xllamacpp")
    program = f"import sys, sidecar.cli; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=REPOSITORY, check=True)
    assert done.stdout.strip() == "[]"
