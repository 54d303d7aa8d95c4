"""Pages that come from tables are as the tables say, and the tables are complete."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters import Kind
from sidecar.domain.status import STATUS_ROWS
from tools.config_page import config_page
from tools.docs import MEANINGS, PAGES, ROOT, stale


def test_every_kind_of_failure_has_an_answer_and_a_meaning() -> None:
    assert set(STATUS_ROWS) == set(MEANINGS) == set(Kind)


def test_the_generated_pages_are_fresh() -> None:
    assert stale(ROOT) == []


def test_a_page_that_was_edited_is_found(tmp_path: Path) -> None:
    for name, page in PAGES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(page())
    assert stale(tmp_path) == []
    (tmp_path / "docs/reference/errors.md").write_text("edited")
    assert stale(tmp_path) == ["docs/reference/errors.md"]


def test_a_default_that_was_edited_in_the_config_page_is_put_right() -> None:
    page = (ROOT / "docs/reference/config.md").read_text()
    assert "| `first_output` | time | `120s` |" in page
    edited = page.replace("| `first_output` | time | `120s` |", "| `first_output` | time | `60s` |")
    assert config_page(edited) == page


@pytest.mark.parametrize(("old", "new"), [("keys: breaker;", "keys: circuit;"), ("keys: breaker;", "keys: retries;")])
def test_the_config_page_has_the_table_of_each_section_once(old: str, new: str) -> None:
    page = (ROOT / "docs/reference/config.md").read_text()
    with pytest.raises(ValueError, match="one table for each of top, route, model"):
        config_page(page.replace(old, new))
