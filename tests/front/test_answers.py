"""What the core answers is what the client gets."""

from __future__ import annotations

import pytest

from .conftest import Front
from .double import Core, Script

CHAT = "/v1/chat/completions"


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("status", [200, 201, 400, 401, 404, 424, 429, 500, 502, 503, 599])
async def test_any_status_of_the_core_is_copied_with_its_body(
    front: Front, core: Core, status: int, version: int
) -> None:
    core.script = Script(status=status, pieces=[b'{"a":', b"1}"])
    async with front.http(version) as http:
        answer = await http.post(CHAT, json={"model": "chat"}, headers=front.basic)
    assert (answer.status_code, answer.content) == (status, b'{"a":1}')
    assert answer.headers["content-type"] == "application/json"
    assert answer.http_version == ("HTTP/1.1" if version == 1 else "HTTP/2")
