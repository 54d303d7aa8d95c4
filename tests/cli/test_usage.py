"""`sidecar usage` over a file that a gateway left behind: nothing runs."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from sidecar.spend.archive import FILE_NAME, Archive
from sidecar.spend.calendar import date_of, today_at
from sidecar.spend.ledger import Charge, Line
from tests.cli.running import sidecar

# Of a year ago, so that no day's end falls into the test.
LONG_AGO = today_at(datetime.now(UTC).timestamp()).day - 365
LINES = [
    Line(LONG_AGO, "a consumer with a long name", "chat", Charge(2, 1_200_000, 50_000, micro_dollars=3_512_345)),
    Line(LONG_AGO + 1, "local", "embeddings", Charge(1, 1_200, unpriced_tokens=1_200)),
]


def state(folder: Path) -> tuple[str, str]:
    archive = Archive(folder / FILE_NAME)
    archive.write(LINES)
    archive.close()
    return "--state-dir", str(folder)


def test_the_table_has_a_row_for_each_day_and_their_sum(tmp_path: Path) -> None:
    day, consumer, *_, sums = _rows(sidecar("usage", *state(tmp_path), "--since", date_of(LONG_AGO)).stdout)
    assert day.split() == ["day", "consumer", "route", "calls", "input", "output", "dollars", "unpriced", "estimated"]
    assert "a consumer with a long name" in consumer
    assert sums.split() == ["all", "3", "1,201,200", "50,000", "3.512345", "1,200", "0"]


def test_json_is_an_object_a_line_and_since_leaves_out_what_was_before(tmp_path: Path) -> None:
    done = sidecar("usage", *state(tmp_path), "--json", "--since", date_of(LONG_AGO + 1))
    (line,) = [json.loads(each) for each in _rows(done.stdout)]
    assert (line["day"], line["consumer"], line["route"]) == (date_of(LONG_AGO + 1), "local", "embeddings")
    assert (line["calls"], line["input_tokens"], line["unpriced_tokens"], line["micro_dollars"]) == (1, 1_200, 1_200, 0)


def test_a_chart_has_a_bar_for_each_day_and_each_consumer(tmp_path: Path) -> None:
    lines = sidecar("usage", *state(tmp_path), "--chart", "--since", date_of(LONG_AGO)).stdout.splitlines()
    assert lines[0] == "Dollars per day (UTC)"
    assert date_of(LONG_AGO) in lines[1]
    assert "█" * 40 in lines[1]
    assert lines[1].endswith("$3.51, 1.2M tokens, 2 calls")
    assert "█" not in lines[2], "it cost nothing"
    assert lines[3].strip() == date_of(LONG_AGO + 2), "a day without calls is a gap"
    at = lines.index("Dollars per consumer")
    assert lines[at + 1].startswith("  a consumer with a long name  ███")
    assert lines[at + 2].startswith("  local ")


def test_a_chart_without_money_is_of_tokens(tmp_path: Path) -> None:
    lines = sidecar("usage", *state(tmp_path), "--chart", "--since", date_of(LONG_AGO + 1)).stdout.splitlines()
    assert lines[0] == "Tokens per day (UTC)"
    assert "█" in lines[1]


def test_without_since_it_is_this_month(tmp_path: Path) -> None:
    assert _rows(sidecar("usage", *state(tmp_path)).stdout) == ["No calls."]


def test_what_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    for arguments, words in ((("--since", "yesterday"), "is not valid"), ((), "does not exist")):
        done = sidecar("usage", "--state-dir", str(tmp_path), *arguments)
        assert done.returncode == 1
        assert words in done.stderr
        assert len(done.stderr.splitlines()) == 1


def _rows(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]
