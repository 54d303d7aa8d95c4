"""The pages keep their word: links lead somewhere, examples load, and commands, flags, targets and metrics exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from sidecar import cli
from sidecar.config import LOCAL_UNKNOWN, load, reader
from tests.processes import REPOSITORY
from tools.wrapping import long_lines, wrapped

PAGES = sorted(
    [
        *(
            REPOSITORY / name
            for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "bench/README.md", "examples/README.md")
        ),
        *(REPOSITORY / "docs").rglob("*.md"),
    ]
)
EXAMPLES = (
    "README.md",
    "docs/reference/config.md",
    "docs/concepts/limits.md",
    "docs/concepts/reliability.md",
    "docs/concepts/routes.md",
    "docs/concepts/security.md",
    "docs/reference/routes.md",
)
_FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
_INDENTED = re.compile(r"(?:^ {4}.*\n|^\n(?= {4}))+", re.MULTILINE)
# What MLflow's own page and a part of a page show is no whole file.
_WHOLE_FILE = re.compile(r"^(routes|endpoints):", re.MULTILINE)


def name_of(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


def links(text: str) -> Iterator[str]:
    """Targets inside the repository."""
    for target in re.findall(r"\]\(([^)\s]+)\)", _FENCE.sub("", text)):
        if "://" not in target:
            yield target


def anchors(text: str) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> list[str]:
    broken = []
    for target in links(page.read_text()):
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        if not file.exists() or (anchor and anchor not in anchors(file.read_text())):
            broken.append(target)
    return broken


def commands(text: str) -> Iterator[list[str]]:
    """The words of each `sidecar ...` and `make ...` of a page's shell blocks and code spans."""
    code = [block for language, block in _FENCE.findall(text) if language in ("sh", "")]
    rest = _FENCE.sub("", text)
    code += _INDENTED.findall(rest) + re.findall(r"`([^`\n]+)`", rest)
    for line in "\n".join(code).splitlines():
        command = re.sub(r"(^|\s)#.*| < .*| \| .*", "", line)
        found = re.match(r" *(?:\S*/)?(sidecar|make) (.+)", command)
        if found:
            yield [found[1], *found[2].split()]


def unknown_words(words: list[str]) -> str | None:
    """What of a command line does not exist. None: nothing."""
    program, *rest = words
    if program == "make":
        targets = re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
        return None if rest[0] in targets or not re.fullmatch("[a-z]+", rest[0]) else f"make {rest[0]}"
    if not re.fullmatch(r"[a-z\\|]+", rest[0]):  # a sentence, not a command line
        return None
    command = typer.main.get_command(cli.app)
    while rest and (entries := getattr(command, "commands", {})):
        names = [name for name in re.split(r"[\\|]+", rest[0]) if re.fullmatch("[a-z]+", name)]
        if not names:
            break
        for name in names:
            if name not in entries:
                return f"sidecar {name}"
        command = entries[names[-1]]
        rest = rest[1:]
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    return next((word for word in rest if word.startswith("--") and word.partition("=")[0] not in known), None)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_a_file_and_a_heading(page: Path) -> None:
    assert broken_links(page) == []


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=name_of)
def test_prose_is_wrapped(page: Path) -> None:
    assert long_lines(page.read_text()) == [], f"run: python -m tools.wrapping {name_of(page)}"


def test_a_line_of_prose_that_is_too_long_is_found_and_wrapped() -> None:
    words = "word " * 30
    text = f"{words}\n- {words}`a b`\n  more\n\n| {words} |\n\n```\n{words}\n```\n"
    assert len(long_lines(text)) == 2
    assert long_lines(wrapped(text)) == []
    assert wrapped(text).split() == text.split()
    assert f"| {words} |\n\n```\n{words}\n```\n" in wrapped(text)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_and_flag_of_a_page_exists(page: Path) -> None:
    assert [words for words in commands(page.read_text()) if unknown_words(words)] == []


def examples(text: str) -> list[str]:
    found = [block for language, block in _FENCE.findall(text) if language == "yaml"]
    found += [re.sub(r"^ {4}", "", block, flags=re.MULTILINE) for block in _INDENTED.findall(_FENCE.sub("", text))]
    return [block for block in found if _WHOLE_FILE.search(block) and "destinations:" not in block]


@pytest.mark.parametrize("name", EXAMPLES)
def test_config_files_on_a_page_load(name: str, tmp_path: Path) -> None:
    found = examples((REPOSITORY / name).read_text())
    assert found or name == "docs/reference/routes.md"
    for text in found:
        keys = dict.fromkeys(re.findall(r"\$([A-Z_]+)", text), "key-0123456789abcdef")
        assert load(text, keys, read_file=reader(str(tmp_path)), local_base_url=LOCAL_UNKNOWN).routes


def test_every_metric_that_a_page_names_is_on_the_page_of_metrics() -> None:
    listed = set(re.findall(r"sidecar_[a-z_]+", (REPOSITORY / "docs/reference/metrics.md").read_text()))
    for page in PAGES:
        named = set(re.findall(r"`(sidecar_[a-z_]+[a-z])[`{]", page.read_text()))
        assert named <= listed, name_of(page)


def test_contributing_names_folders_that_exist_and_all_of_tests() -> None:
    tree = (REPOSITORY / "CONTRIBUTING.md").read_text()
    named = [path for path in re.findall(r"`([a-z_/]+(?:/|\.py))`", tree) if "/" in path]
    assert named
    assert [path for path in named if not (REPOSITORY / path).exists()] == []
    folders = {
        path.name for path in (REPOSITORY / "tests").iterdir() if path.is_dir() and (path / "__init__.py").is_file()
    }
    assert sorted(folder for folder in folders if f"tests/{folder}/" not in named) == []


def test_these_checks_find_what_is_wrong(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    block = "```sh\nsidecar up --prot 1\nmake uq\n```\n"
    page.write_text(f"# A page\n\n[x](gone.md) [y](#a-page) [z](#no)\n\n    sidecar users ad x\n\n{block}")
    assert broken_links(page) == ["gone.md", "#no"]
    assert [unknown_words(words) for words in commands(page.read_text())] == ["--prot", "make uq", "sidecar ad"]
