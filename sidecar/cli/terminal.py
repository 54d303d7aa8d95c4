"""Output of the commands: coloured on a terminal, plain text elsewhere. Respects NO_COLOR (through rich)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

# Files and pipes have no width at which to wrap.
_WIDTH_MAX = 10_000
GOOD, WARN, BAD, QUIET = "green", "yellow", "bold red", "dim"


def console(*, stderr: bool = False) -> Console:
    """Prints text literally: brackets and colons are not markup."""
    from rich.console import Console

    made = Console(stderr=stderr, markup=False, highlight=False, emoji=False, soft_wrap=True)
    if not made.is_terminal:
        made.width = _WIDTH_MAX
    return made


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """Shows on a terminal that something is being waited for, with the elapsed time; disappears afterwards."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as progress:
        progress.add_task(text, total=None)
        yield


def unicode_on(stream: object) -> bool:
    """Whether block characters can be printed there."""
    return (getattr(stream, "encoding", None) or "").lower().replace("-", "") in ("utf8", "utf8sig")
