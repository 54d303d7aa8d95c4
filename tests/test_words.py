"""One word, one meaning: words that names and texts of this project do not use, each with what to write instead.

Names are those that the code gives (modules, classes, functions, arguments, variables). Texts are what a user sees without
context: help of the command line, messages of errors and logs, help of metrics, and the pages.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# In names, as whole words of them: `said_before` and `saidBefore` both have "said".
NAMES = {
    "way": "the thing itself: entrance, path, candidate, format",
    "ways": "the things themselves: entrances, paths, candidates",
    "tries": "attempts or retries",
    "trial": "attempt",
    "trials": "attempts",
    "books": "spend_keeper, accounts",
    "child": "process",
    "children": "processes, services, series",
    "said": "what it holds: message, text, request, settings",
    "asked": "what it holds: request, prompt, options",
    "beside": "base, next_to, also",
    "anew": "again",
    "told": "what it holds: message, event, reply",
    "hears": "receives",
    "heard": "received",
    "stands": "is",
}
# Names with such a word that mean something else.
NAMES_KEPT = frozenset({"under_way", "_under_way"})
# In texts, in any case.
TEXTS = {
    "anew": "again, or: resets",
    "begins anew": "resets",
    "beside": "in addition to, or: next to",
    "by call": "through the API",
    "a line a call": "one log line per call",
    "left alone": "ejected",
    "stands in": "is in",
    "stand in": "are in",
    "stub port": "local gRPC port",
    "stub socket": "local gRPC socket",
    "stub listeners": "the local gRPC port and socket",
    "stub.sock": "grpc.sock",
    "--stub": "--grpc",
    "is told": "gets",
    "hears": "receives",
    "somebody has to mend": "fix",
    "mend": "fix, or: repair",
    "under way": "in progress",
    "goes on": "continues",
    "go on from": "continue from",
    "for ever": "forever",
    "whoever": "anyone who",
    "knocks": "connects again",
    "ends TLS": "terminates TLS",
    "in silence": "silently",
    "unasked": "without being asked",
    "asks for nothing": "does not change the result",
    "is believed": "is trusted",
    "are told": "get",
    "was told": "got",
    "thoughts": "reasoning",
    "what comes of": "the result of",
    "what came of": "the result of",
    "nobody waits for": "does not block",
    "as it stands": "unchanged",
    "begun again": "recreated, or: restarted",
    "begins again": "restarts",
    "former life": "previous run",
    "is away": "is unreachable, or: is absent",
    "in the half": "incomplete, or: halfway",
    "comes to stand": "is placed",
}
# Decisions are of their time, and the changes name what was; STYLE.md has the list itself.
PAGES_APART = ("CHANGELOG.md", "docs/decisions", "docs/STYLE.md")
# Calls whose text arguments a user sees: errors, logs, help, metrics.
_ERRORS = re.compile(r"(Error|Failure|Failed|Refusal|Problem|Exit|BindingError)$|^error$")
_LOGS = frozenset({"debug", "info", "warning", "error", "exception", "critical"})
_HELP = frozenset({"Option", "Argument", "Typer", "command", "callback"})
_METRICS = re.compile(r"^_?(counter|gauge|seconds|histogram|info)$|^(Counter|Gauge|Histogram)(MetricFamily)?$", re.I)

CHECKED = ("sidecar", "adapters", "client", "tools", "bench", "tests")
GENERATED = ("sidecar/v1", "client/llm_gateway_client/v1")


def sources() -> list[Path]:
    found = [path for folder in CHECKED for path in sorted((ROOT / folder).rglob("*.py"))]
    return [path for path in found if not _below(path, GENERATED)]


def _below(path: Path, folders: tuple[str, ...]) -> bool:
    return path.relative_to(ROOT).as_posix().startswith(tuple(f"{folder}/" for folder in folders))


def words_of(name: str) -> list[str]:
    """`_saidBefore` -> said, before."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def given_names(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every name that the code gives, with its line. Names of tests are sentences, and not among them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if not node.name.startswith("test_"):
                yield node.name, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr, node.lineno
        elif isinstance(node, ast.alias) and node.asname is not None:
            yield node.asname, node.lineno


def shown_texts(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every text that a user sees: arguments of errors, logs, help and metrics, and the docstrings that are a command's help."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if _ERRORS.search(called) or called in _LOGS or called in _HELP or _METRICS.match(called):
                for value in (*node.args, *(keyword.value for keyword in node.keywords)):
                    yield from _texts(value)


def _texts(node: ast.AST) -> Iterator[tuple[str, int]]:
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value, part.lineno


def command_help(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Docstrings of functions of the command line."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield ast.get_docstring(node) or "", node.lineno


def bad_names(source: str) -> list[str]:
    return [
        f"{line}: {name}: instead of {word!r} write {NAMES[word]}"
        for name, line in given_names(ast.parse(source))
        for word in words_of(name)
        if word in NAMES and name not in NAMES_KEPT
    ]


def bad_texts(source: str, *, commands: bool = False) -> list[str]:
    tree = ast.parse(source)
    texts = [*shown_texts(tree), *(command_help(tree) if commands else ())]
    return [f"{line}: instead of {word!r} write {TEXTS[word]}" for text, line in texts for word in _found(text, TEXTS)]


def _found(text: str, words: dict[str, str]) -> list[str]:
    return [word for word in words if re.search(rf"(?<![\w.-]){re.escape(word)}(?!\w)", text, re.IGNORECASE)]


def notes_of(source: str) -> Iterator[tuple[str, int]]:
    """Every comment and docstring of a module, with its line. Comment lines that follow each other are one text."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value, node.lineno
    text, begin, end = "", 0, 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            line = token.start[0]
            if line != end + 1:
                yield text, begin
                text, begin = "", line
            text, end = f"{text} {token.string.lstrip('#').strip()}", line
    yield text, begin


def bad_notes(source: str) -> list[str]:
    return [
        f"{line}: instead of {word!r} write {TEXTS[word]}"
        for text, line in notes_of(source)
        for word in _found(" ".join(text.split()), TEXTS)
    ]


def bad_words_of_page(text: str) -> list[str]:
    plain = re.sub(r"\s+", " ", text)
    return [f"instead of {word!r} write {TEXTS[word]}" for word in _found(plain, TEXTS)]


def _id(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", sources(), ids=_id)
def test_names_say_what_they_hold(path: Path) -> None:
    assert not set(words_of(path.stem)) & NAMES.keys() or path.stem.startswith("test_")
    assert bad_names(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", [path for path in sources() if not _below(path, ("tests",))], ids=_id)
def test_texts_that_users_see_are_plain(path: Path) -> None:
    assert bad_texts(path.read_text(encoding="utf-8"), commands=_below(path, ("sidecar/cli",))) == []


@pytest.mark.parametrize("path", [path for path in sources() if not _below(path, ("tests",))], ids=_id)
def test_comments_and_docstrings_are_plain(path: Path) -> None:
    assert bad_notes(path.read_text(encoding="utf-8")) == []


# Lines of comments in other languages: "#" (nginx, YAML), "//" (njs, proto), "--" (Lua).
_COMMENT = re.compile(r"(?:^|\s)(?:#|//|--)\s(.*)")


def templates() -> list[Path]:
    found = [path for folder in ("proto", "deploy", "sidecar") for path in sorted((ROOT / folder).rglob("*"))]
    return [path for path in found if path.suffix in {".proto", ".in", ".conf", ".js", ".lua", ".yaml", ".yml"}]


@pytest.mark.parametrize("path", templates(), ids=_id)
def test_comments_of_other_languages_are_plain(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert bad_words_of_page(" ".join(found[1] for line in lines if (found := _COMMENT.search(line)))) == []


def pages() -> list[Path]:
    """The pages, and the alerts, whose summaries somebody reads at night."""
    alerts = ROOT / "deploy" / "prometheus" / "rules.yml"
    found = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")), alerts]
    return [page for page in found if not _id(page).startswith(PAGES_APART)]


@pytest.mark.parametrize("page", pages(), ids=_id)
def test_pages_are_plain(page: Path) -> None:
    assert bad_words_of_page(page.read_text(encoding="utf-8")) == []


def test_the_page_of_style_has_this_list() -> None:
    page = (ROOT / "docs" / "STYLE.md").read_text(encoding="utf-8")
    table = page.partition("<!-- tests/test_words.py -->")[2].partition("<!-- end -->")[0].replace("`", "")
    assert [row for word, instead in TEXTS.items() if (row := f"| {word} | {instead} |") not in table] == []


@pytest.mark.parametrize(
    "source",
    [
        "class WaysOut: ...",
        "def what_was_said(): ...",
        "async def isTold(): ...",
        "def f(beside): ...",
        "def f(*, asked=1): ...",
        "self.children = 1",
        "for way in x: ...",
        "with x as child: ...",
        "import x as books",
        "found = [tries for tries in x]",
    ],
)
def test_a_planted_name_is_found(source: str) -> None:
    assert len(bad_names(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        'raise GatewayError(Kind.X, "A key stands in the body.")',
        'raise StartError(f"{path}: mend it")',
        'report.error(1, "x", "is for routes made by call")',
        '_log.info("%s is told", name)',
        'x = typer.Option("--stub", help="The port.")',
        'x = typer.Typer(help="It works, beside the others.")',
        'self._counter("x", "Times an upstream was left alone.")',
        'Gauge("x", "A line a call.")',
        'CounterMetricFamily("x", "Who hears.")',
    ],
)
def test_a_planted_text_is_found(source: str) -> None:
    assert len(bad_texts(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "x = 1  # The worker is told.",
        "# The caller stands\n# in line.\n",
        'def f():\n    """It is\n    away."""\n',
    ],
)
def test_a_planted_note_is_found(source: str) -> None:
    assert len(bad_notes(source)) == 1


def test_a_planted_help_of_a_command_is_found() -> None:
    source = 'def up():\n    """Routes made by call."""\n'
    assert len(bad_texts(source, commands=True)) == 1
    assert bad_texts(source) == []


@pytest.mark.parametrize(
    "text", ["Call the stub port.", "It writes a line\na call.", "Use `--stub` for that.", "Calls under\nway finish."]
)
def test_a_planted_word_of_a_page_is_found(text: str) -> None:
    assert len(bad_words_of_page(text)) == 1


@pytest.mark.parametrize(
    "source",
    ["pathway = 1", "def test_it_is_said_once(): ...", "self._under_way = 1", "beside.x", 'x = "a way beside"'],
)
def test_other_names_are_left_as_they_are(source: str) -> None:
    assert bad_names(source) == []


def test_other_texts_are_left_as_they_are() -> None:
    assert bad_texts('raise StartError("Recommend a mendable thing.")') == []
    assert bad_texts('comment = "by call"') == []
