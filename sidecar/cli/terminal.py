"""What the commands print: in colours on a terminal, as plain text elsewhere. NO_COLOR is honoured (rich does that)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

# A file or a pipe has no edge to fold lines at.
_WIDTH_MAX = 10_000
GOOD, WARN, BAD, QUIET = "green", "yellow", "bold red", "dim"


def console(*, stderr: bool = False) -> Console:
    """Prints what it is given as it is: brackets and colons are no markup."""
    from rich.console import Console

    made = Console(stderr=stderr, markup=False, highlight=False, emoji=False, soft_wrap=True)
    if not made.is_terminal:
        made.width = _WIDTH_MAX
    return made


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """Shows on a terminal, with the time that has passed, that something is being waited for; it leaves no trace."""
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
