"""`--users-file`: users that others keep, as Kubernetes mounts them: a symlink into a folder that is replaced as a whole."""

from __future__ import annotations

import asyncio
import base64
import ssl
from pathlib import Path

import httpx
import pytest

from sidecar.identity.users import api_key
from tests.cli.running import Running, config_for, sidecar
from tests.provider import Provider

pytestmark = pytest.mark.slow
FOLLOWED_S = 10.0


def mount(folder: Path, life: int, text: str) -> None:
    """What kubelet does: a new folder of files, and `..data` moved to it in one step."""
    fresh = folder / f"..{life}"
    fresh.mkdir(parents=True)
    (fresh / "users").write_text(text)
    (folder / "..data_tmp").symlink_to(fresh.name)
    (folder / "..data_tmp").rename(folder / "..data")
    if life == 0:
        (folder / "users").symlink_to("..data/users")


def made_user(folder: Path, name: str) -> tuple[str, str]:
    """The password, and the line of the file."""
    file = folder / f"{name}.users"
    words = dict(
        line.rsplit(maxsplit=1) for line in sidecar("users", "add", name, "--file", str(file)).stdout.splitlines()
    )
    assert sidecar("users", "list", "--file", str(file)).stdout == f"{name}\n"
    return words["password"], file.read_text()


async def status(gateway: Running, user: str, password: str, scheme: str) -> int:
    basic = base64.b64encode(f"{user}:{password}".encode()).decode()
    credential = f"Basic {basic}" if scheme == "basic" else f"Bearer {api_key(user, password)}"
    context = ssl.create_default_context(cafile=gateway.env["SIDECAR_CA"])
    async with httpx.AsyncClient(verify=context, trust_env=False) as http:
        answer = await http.get(f"{gateway.env['SIDECAR_URL']}/v1/models", headers={"authorization": credential})
    return answer.status_code


async def answers(gateway: Running, alice: str, bob: str) -> list[int]:
    """To alice and to bob, by Basic and by Bearer."""
    users = {"alice": alice, "bob": bob}
    return [
        await status(gateway, user, password, scheme)
        for user, password in users.items()
        for scheme in ("basic", "bearer")
    ]


@pytest.mark.parametrize("front", ["nginx", "envoy"])
async def test_users_of_a_mounted_secret_come_and_go_without_a_restart(
    tmp_path: Path, provider: Provider, front: str
) -> None:
    alice, bob = made_user(tmp_path, "alice"), made_user(tmp_path, "bob")
    secret = tmp_path / "secret"
    mount(secret, 0, alice[1])
    users_file = ("--users-file", str(secret / "users"), "--front", front)
    with Running("up", tmp_path, config_for(provider.base_url), *users_file) as gateway:
        assert "SIDECAR_PASSWORD" not in gateway.env
        assert not (gateway.state / "users").exists()
        assert await answers(gateway, alice[0], bob[0]) == [200, 200, 401, 401]
        mount(secret, 1, bob[1])
        async with asyncio.timeout(FOLLOWED_S):
            while await answers(gateway, alice[0], bob[0]) != [401, 401, 200, 200]:
                pass  # each look is four calls
        assert sorted(path.name for path in secret.iterdir()) == ["..0", "..1", "..data", "users"]


@pytest.mark.parametrize(
    ("text", "why"), [(None, "cannot be read: No such file or directory"), ("# nobody\n", "has no users")]
)
def test_a_users_file_that_lets_nobody_in_is_refused_at_the_start(tmp_path: Path, text: str | None, why: str) -> None:
    file = tmp_path / "users"
    if text is not None:
        file.write_text(text)
    ended = sidecar("up", "--state-dir", str(tmp_path / "state"), "--users-file", str(file), "--port", "0")
    assert ended.returncode == 1
    assert why in ended.stderr
    assert str(file) in ended.stderr
