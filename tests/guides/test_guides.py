"""Every guide of docs/guides works from top to bottom."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from tests.guides.reader import blocks, missing, read, with_simulator
from tests.processes import REPOSITORY, command_line, wait_until

FOLDER = REPOSITORY / "docs" / "guides"
GUIDES = sorted(path for path in FOLDER.glob("*.md") if path.name != "README.md")


def needed_by(guide: Path) -> list[pytest.MarkDecorator]:
    return [pytest.mark.needs(program) for program in ("kubectl", "openssl") if f"\n{program} " in guide.read_text()]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.needs("bash")
@pytest.mark.needs("unshare")
@pytest.mark.needs("ip")
@pytest.mark.parametrize("guide", [pytest.param(guide, id=guide.stem, marks=needed_by(guide)) for guide in GUIDES])
def test_a_guide_works_from_top_to_bottom(guide: Path, tmp_path: Path) -> None:
    read(guide, tmp_path)


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_a_guide_has_something_to_type_and_says_what_comes_of_it(guide: Path) -> None:
    found = blocks(guide.read_text())
    assert any(block.language == "sh" and block.is_typed for block in found)
    assert any(block.language == "text" for block in found)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("```sh\nfalse\n```\n", ":1: exit code 1"),
        ("```sh\necho one\n```\n\n```text\ntwo\n```\n", ":5: not printed: two"),
    ],
)
def test_a_guide_that_does_not_work_would_be_seen(text: str, why: str, tmp_path: Path) -> None:
    page = tmp_path / "guide.md"
    page.write_text(text)
    with pytest.raises(AssertionError, match=why):
        read(page, tmp_path)


@pytest.mark.slow
def test_a_guide_that_breaks_off_leaves_nothing_behind(tmp_path: Path) -> None:
    page = tmp_path / "guide.md"
    page.write_text("```sh\nsetsid sleep 86399 &\nfalse\n```\n")
    with pytest.raises(AssertionError, match=":1: exit code 1"):
        read(page, tmp_path)
    wait_until(lambda: not [each for each in psutil.process_iter() if "86399" in command_line(each.pid)])


def test_the_list_of_guides_has_all_of_them() -> None:
    listed = (FOLDER / "README.md").read_text()
    assert [guide.name for guide in GUIDES if f"({guide.name})" not in listed] == []


def test_lines_are_compared_in_order_with_dots_for_anything() -> None:
    assert missing("a\nb…d\n", "x a\nb c d\n") is None
    assert missing("b\na\n", "a\nb\n") == "a"
    assert "openai_api_base: http://127.0.0.1:9000/v1}" in with_simulator("config: {openai_api_key: $OPENAI_API_KEY}")
