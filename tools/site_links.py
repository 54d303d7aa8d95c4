"""A hook of mkdocs (mkdocs.yml) that adapts the repository's pages to the site.

Links that lead out of docs/ (to deploy/, proto/, the README) become plain text and a path, because the site does not
have those files. Decisions are listed from their files, so that new ones appear automatically.
"""

from __future__ import annotations

import posixpath
import re
from typing import Any

_LINK = re.compile(r"\[(?P<words>[^\]]+)\]\((?P<target>(?!\w+:|#)[^)\s#]+)(?P<anchor>#[^)\s]*)?\)")


def inside(markdown: str, page: str) -> str:
    """The text of `page` (its path below docs/) without links out of docs/."""

    def replaced(found: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(page), found["target"]))
        if path.endswith("config.schema.json"):
            path = f"../docs/{path}"
        if not path.startswith("../"):
            return found[0]
        words, path = found["words"], path.removeprefix("../")
        return words if path in words else f"{words} (`{path}`)"

    return _LINK.sub(replaced, markdown)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    return inside(markdown, page.file.src_uri)


def on_files(files: Any, config: Any, **_: Any) -> Any:
    """Fills in the decisions of the navigation."""
    decisions = sorted(file.src_uri for file in files.documentation_pages() if file.src_uri.startswith("decisions/"))
    for entry in config.nav:
        if isinstance(entry, dict) and "Decisions" in entry:
            entry["Decisions"] = decisions
    return files
