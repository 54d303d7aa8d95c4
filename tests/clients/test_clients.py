"""Other people's clients against the gateway, each with its own documented settings, and the page that tells what works."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.clients.environments import NEWEST
from tests.clients.judging import problem
from tests.clients.page import PAGE, page
from tests.clients.running import Results
from tests.clients.table import CLIENTS, Client

# The first run on a machine builds the environments and fetches the model.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

Ran = Callable[[Client], Results]


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.id)
def test_what_works_and_what_fails_is_what_the_table_says(client: Client, ran: Ran) -> None:
    found = {
        f"{route}/{check}": text
        for route, results in ran(client).items()
        for check, result in results.items()
        if (text := problem(route, check, result)) is not None
    }
    assert found.keys() == client.failures.keys(), found


def test_the_page_is_what_the_run_says(ran: Ran) -> None:
    written = page({client.id: ran(client) for client in CLIENTS})
    if not NEWEST:  # the newest clients may do better than the page says
        assert PAGE.read_text() == written, "run `python -m tests.clients`"
