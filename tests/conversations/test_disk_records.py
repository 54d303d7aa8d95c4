"""Records on the disk: whose they are, how long they stay, and what somebody can make of the files."""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sidecar.conversations.bounds import Bounds, Reading, TooLargeError
from sidecar.conversations.disk_records import FILE_NAME, DiskRecords, forget
from sidecar.conversations.key_file import KEY_FILE
from sidecar.conversations.sealing import Address

HOUR_S = 3600.0
BOUNDS = Bounds(HOUR_S, owner_bytes=1_000_000, bytes=10_000_000)
ALL = 2**62
NOW_S = 1_790_000_000.0
ADA, BOB = "ada", "bob"


def put(store: DiskRecords, owner: str, id_: str, value: bytes, now_s: float = NOW_S, bounds: Bounds = BOUNDS) -> bool:
    address = Address(owner, id_)
    return store.put(address, store.sealing.seal(address, value), len(value), now_s, bounds)


def get(store: DiskRecords, owner: str, id_: str, now_s: float = NOW_S, *, used: bool = False) -> bytes | None:
    address = Address(owner, id_)
    sealed = store.get([address], now_s, BOUNDS, Reading(used, ALL)).get(id_)
    return None if sealed is None else store.sealing.unseal(address, sealed)


def kept(store: DiskRecords, owner: str, count: int, now_s: float = NOW_S) -> list[int]:
    return [number for number in range(count) if get(store, owner, str(number), now_s) is not None]


def noise(size: int) -> bytes:
    """Does not get smaller."""
    return os.urandom(size)


def test_what_was_kept_is_there_for_its_owner_alone_and_after_a_restart(tmp_path: Path) -> None:
    store = DiskRecords(tmp_path, None)
    assert put(store, ADA, "resp_1", b"secret")
    assert (get(store, ADA, "resp_1"), get(store, BOB, "resp_1"), get(store, ADA, "resp_2")) == (b"secret", None, None)
    assert not store.delete(Address(BOB, "resp_1"))
    store.close()
    again = DiskRecords(tmp_path, None)
    assert get(again, ADA, "resp_1") == b"secret"
    assert again.delete(Address(ADA, "resp_1"))
    assert get(again, ADA, "resp_1") is None
    assert not again.delete(Address(ADA, "resp_1"))


def test_nobody_can_tell_from_the_files_what_was_said_or_by_whom(tmp_path: Path) -> None:
    store = DiskRecords(tmp_path, None)
    assert put(store, "the-search-team", "resp_of_a_test", b"a word that nobody else says " * 200)
    store.close()
    for path in tmp_path.iterdir():
        content = path.read_bytes()
        assert not any(word in content for word in (b"search-team", b"resp_of_a", b"nobody else"))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name


def test_a_record_that_was_moved_to_another_owner_or_changed_does_not_open(tmp_path: Path) -> None:
    store = DiskRecords(tmp_path, None)
    sealed = store.sealing.seal(Address(ADA, "resp_1"), b"secret")
    assert store.sealing.unseal(Address(ADA, "resp_1"), sealed) == b"secret"
    for owner, id_, bytes_ in (
        (BOB, "resp_1", sealed),
        (ADA, "resp_2", sealed),
        ("adar", "esp_1", sealed),
        (ADA, "resp_1", sealed[:-1] + bytes([sealed[-1] ^ 1])),
        (ADA, "resp_1", b""),
    ):
        assert store.sealing.unseal(Address(owner, id_), bytes_) is None


def test_a_record_goes_when_its_time_is_over_and_use_begins_it_again(tmp_path: Path) -> None:
    store = DiskRecords(tmp_path, None)
    for id_ in ("looked-at", "used"):
        put(store, ADA, id_, b"x")
    later_s = NOW_S + HOUR_S - 1
    get(store, ADA, "looked-at", later_s)
    get(store, ADA, "used", later_s, used=True)
    end_s = NOW_S + HOUR_S
    assert (get(store, ADA, "looked-at", end_s), get(store, ADA, "used", end_s)) == (None, b"x")
    store.sweep(end_s, BOUNDS)
    assert _rows(tmp_path) == 1
    store.sweep(later_s + HOUR_S, BOUNDS)
    assert _rows(tmp_path) == 0


def test_the_oldest_of_an_owner_go_where_it_has_too_much_and_nobody_elses(tmp_path: Path) -> None:
    store = DiskRecords(tmp_path, None)
    put(store, BOB, "0", noise(50_000), NOW_S - 10)
    bounds = Bounds(HOUR_S, owner_bytes=300_000, bytes=10_000_000)
    for number in range(10):
        assert put(store, ADA, str(number), noise(50_000), NOW_S + number, bounds)
    assert kept(store, ADA, 10) == [5, 6, 7, 8, 9]
    assert kept(store, BOB, 1) == [0]
    assert not put(store, ADA, "large", noise(300_000), NOW_S, bounds)
    assert kept(store, ADA, 10) == [5, 6, 7, 8, 9]


def test_the_oldest_of_all_go_where_there_is_too_much_in_all(tmp_path: Path) -> None:
    store = DiskRecords(tmp_path, None)
    bounds = Bounds(HOUR_S, owner_bytes=200_000, bytes=300_000)
    for number in range(5):
        put(store, ADA if number % 2 else BOB, str(number), noise(90_000), NOW_S + number, bounds)
    assert (kept(store, BOB, 5), kept(store, ADA, 5)) == ([2, 4], [3])
    store.sweep(NOW_S, bounds)
    size = (tmp_path / FILE_NAME).stat().st_size
    for id_, owner in (("2", BOB), ("4", BOB), ("3", ADA)):
        store.delete(Address(owner, id_))
    store.sweep(NOW_S, bounds)
    assert (tmp_path / FILE_NAME).stat().st_size < size / 3  # room goes back to the disk


def test_what_was_deleted_is_overwritten(tmp_path: Path) -> None:
    store = DiskRecords(tmp_path, None)
    address = Address(ADA, "resp_1")
    sealed = store.sealing.seal(address, noise(20_000))
    store.put(address, sealed, 20_000, NOW_S, BOUNDS)
    store.sweep(NOW_S, BOUNDS)
    piece = sealed[-32:]
    assert any(piece in path.read_bytes() for path in tmp_path.iterdir())
    store.delete(address)
    store.sweep(NOW_S, BOUNDS)
    assert not any(piece in path.read_bytes() for path in tmp_path.iterdir())


@pytest.mark.parametrize("damage", ["garbage", "empty header", "middle"])
def test_a_file_that_cannot_be_read_is_told_by_name_and_begun_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    store = DiskRecords(tmp_path, None)
    for number in range(40):
        put(store, ADA, str(number), noise(5_000))
    store.close()
    path = tmp_path / FILE_NAME
    content = bytearray(path.read_bytes())
    if damage == "garbage":
        content[:] = noise(len(content))
    elif damage == "empty header":
        content[:100] = bytes(100)
    else:
        content[4096:] = noise(len(content) - 4096)
    path.write_bytes(content)
    with caplog.at_level(logging.ERROR):
        found: list[bool] = []
        for _ in range(3):  # where only a page is damaged the first calls find that
            try:
                again = DiskRecords(tmp_path, None)
                found.append(put(again, ADA, "resp_1", b"new") and get(again, ADA, "resp_1") == b"new")
                again.close()
            except sqlite3.DatabaseError:
                continue
    assert found[-1]
    assert FILE_NAME in caplog.text
    assert "answers are lost" in caplog.text


def test_another_key_is_told_by_name_and_forgets_what_was_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = DiskRecords(tmp_path, b"a key of the config, with 32 and more characters")
    put(first, ADA, "resp_1", b"x")
    first.close()
    assert not (tmp_path / KEY_FILE).exists()
    with caplog.at_level(logging.ERROR):
        second = DiskRecords(tmp_path, b"another key of the config, as long as the first")
    assert FILE_NAME in caplog.text
    assert "another key" in caplog.text
    assert _rows(tmp_path) == 0
    assert put(second, ADA, "resp_1", b"y")
    assert get(second, ADA, "resp_1") == b"y"


def test_a_key_file_that_holds_no_key_is_told_by_name_and_made_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = DiskRecords(tmp_path, None)
    put(first, ADA, "resp_1", b"x")
    first.close()
    (tmp_path / KEY_FILE).write_text("not a key")
    with caplog.at_level(logging.ERROR):
        again = DiskRecords(tmp_path, None)
    assert f"{KEY_FILE} holds no valid key" in caplog.text
    assert "not a key" not in caplog.text
    assert get(again, ADA, "resp_1") is None
    assert put(again, ADA, "resp_1", b"y")


def test_workers_share_the_file_also_where_it_is_taken_away_under_them(tmp_path: Path) -> None:
    one, two = DiskRecords(tmp_path, None), DiskRecords(tmp_path, None)
    put(one, ADA, "1", b"x")
    assert get(two, ADA, "1") == b"x"
    assert forget(tmp_path)
    assert list(tmp_path.glob("responses.sqlite*")) == []
    assert not forget(tmp_path)
    assert get(two, ADA, "1") is None
    put(two, ADA, "2", b"y")
    assert get(one, ADA, "2") == b"y"


def test_many_workers_may_begin_and_write_at_once(tmp_path: Path) -> None:
    def work(worker: int) -> int:
        store = DiskRecords(tmp_path, None)
        done = [put(store, ADA, f"{worker}-{number}", noise(2_000)) for number in range(30)]
        return sum(done) + sum(get(store, ADA, f"{worker}-{number}") is not None for number in range(30))

    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(work, range(6))) == [60] * 6
    assert _rows(tmp_path) == 180


def _rows(folder: Path) -> int:
    connection = sqlite3.connect(folder / FILE_NAME)
    try:
        return int(connection.execute("SELECT count(*) FROM records").fetchone()[0])
    finally:
        connection.close()


def test_what_gets_large_once_it_is_open_is_not_opened(tmp_path: Path) -> None:
    store = DiskRecords(tmp_path, None)
    addresses = [Address(ADA, str(number)) for number in range(10)]
    for address in addresses:
        assert put(store, ADA, address.id, bytes(500_000))
    assert len(store.get(addresses, NOW_S, BOUNDS, Reading(used=False, plain_bytes=5_000_000))) == 10
    with pytest.raises(TooLargeError):
        store.get(addresses, NOW_S, BOUNDS, Reading(used=False, plain_bytes=4_999_999))


def test_a_file_of_another_release_is_begun_again(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.execute("CREATE TABLE records (name TEXT, other TEXT)")
    connection.close()
    store = DiskRecords(tmp_path, None)
    assert put(store, ADA, "resp_1", b"x")
    assert get(store, ADA, "resp_1") == b"x"
