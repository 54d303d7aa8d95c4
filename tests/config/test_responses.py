"""`responses:` says how long answers are remembered, how many, and by which key; each mistake has its message."""

from __future__ import annotations

import pytest

from sidecar.domain.snapshot import Remembering
from tests.config.loading import loaded, problems, route

KEY = "0123456789abcdef" * 4


def test_without_the_section_nothing_is_remembered() -> None:
    assert loaded(route()).responses is None


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("{remember: 1h}", Remembering(3600.0)),
        ("{remember: 30d, bytes_max: 2GiB}", Remembering(30 * 86_400.0, 2 * 1024**3)),
        ("{remember: 90, bytes_max: 64KiB, consumer_bytes_max: 64KiB}", Remembering(90.0, 65_536, 65_536)),
    ],
)
def test_times_may_be_days_and_sizes_have_units(section: str, expected: Remembering) -> None:
    assert loaded(route() + f"responses: {section}\n").responses == expected


def test_the_key_is_a_secret_of_the_environment_or_of_a_file() -> None:
    section = "responses: {remember: 1h, encryption_key: $KEY_OF_RESPONSES}\n"
    found = loaded(route() + section, KEY_OF_RESPONSES=KEY).responses
    assert found is not None
    assert found.encryption_key is not None
    assert found.encryption_key.reveal() == KEY
    assert KEY not in repr(found)


def test_with_a_store_all_gateways_have_one_key() -> None:
    store = "store: {redis: {url: 'redis://h'}}\n"
    (found,) = problems(route() + "responses: {remember: 1h}\n" + store)
    assert found == (
        "config.yaml:5: responses.encryption_key: is missing, and there is a `store`; answers are kept in the store "
        "then: $NAME or file:PATH, the same for all gateways of the installation"
    )
    keyed = "responses: {remember: 1h, encryption_key: $KEY_OF_RESPONSES}\n"
    assert loaded(route() + keyed + store, KEY_OF_RESPONSES=KEY).store is not None


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("{bytes_max: 1GiB}", "responses.remember: is missing; such as 1h"),
        ("{remember: 31d}", 'responses.remember: expected a time from 1s to 30d, such as "30m", "1h" or "7d"'),
        ("{remember: off}", 'responses.remember: expected a time from 1s to 30d, such as "30m", "1h" or "7d"'),
        ("{remember: 1h, bytes: 5}", 'responses: unknown key "bytes"; did you mean "bytes_max"?'),
        (
            "{remember: 1h, bytes_max: 1MiB, consumer_bytes_max: 2MiB}",
            "responses: consumer_bytes_max is larger than bytes_max",
        ),
        (
            "{remember: 1h, encryption_key: short-but-secret-9}",
            "responses.encryption_key: has fewer than 32 characters; create one with `openssl rand -hex 32`",
        ),
        ("1h", "responses: expected a mapping, found text"),
    ],
)
def test_each_mistake_has_its_message(section: str, message: str) -> None:
    (found,) = problems(route() + f"responses: {section}\n")
    assert found == f"config.yaml:5: {message}"
    assert "short-but-secret" not in found


def test_the_default_of_a_consumer_gives_way_to_a_smaller_whole() -> None:
    assert loaded(route() + "responses: {remember: 1h, bytes_max: 1MiB}\n").responses == Remembering(3600.0, 1024**2)
