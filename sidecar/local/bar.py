"""A progress bar on stderr. Separate from fetch.py, so that only a download imports rich."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn


@contextmanager
def bar(text: str, total_bytes: int) -> Iterator[Callable[[int], None]]:
    """Draws a bar while the context is open; call the result with the bytes done so far. One plain line if it is
    not a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        console.print(f"fetching {text} ({total_bytes / 1e6:.0f} MB)", highlight=False)
        yield lambda done: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(text, total=total_bytes)
        yield lambda done: progress.update(task, completed=min(done, total_bytes))
        progress.update(task, completed=total_bytes)
