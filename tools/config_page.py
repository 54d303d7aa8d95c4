"""Generates the key tables of docs/reference/config.md from the tables of the config reader. The prose is written
by hand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sidecar.config.archive import POSTGRES
from sidecar.config.consumers import CONSUMER
from sidecar.config.cors import CORS
from sidecar.config.limits import MLFLOW_LIMIT, OF_ROUTE
from sidecar.config.models import MODEL
from sidecar.config.prices import PRICE
from sidecar.config.responses import RESPONSES
from sidecar.config.route import ROUTE
from sidecar.config.section import Field, Section
from sidecar.config.settings import ADMISSION, BREAKER, RETRIES, TIMEOUTS
from sidecar.config.split import DESTINATION, SPLIT
from sidecar.config.store import REDIS, STORE
from sidecar.config.top_level import TOP

PAGE = Path(__file__).resolve().parent.parent / "docs/reference/config.md"
# Their own tables are in another section of the page.
_SHARED = frozenset(each.key for each in ROUTE.fields)
TABLES: dict[str, Section[Any]] = {
    "top": TOP,
    "route": ROUTE,
    "model": MODEL,
    "timeouts": TIMEOUTS,
    "retries": RETRIES,
    "breaker": BREAKER,
    "admission": ADMISSION,
    "split": SPLIT,
    "destination": DESTINATION,
    "limits": OF_ROUTE.limit,
    "mlflow limit": MLFLOW_LIMIT,
    "budgets": OF_ROUTE.budget,
    "price": PRICE,
    "consumer": CONSUMER,
    "cors": CORS,
    "store": STORE,
    "redis": REDIS,
    "archive": POSTGRES,
    "responses": RESPONSES,
}
# Sections that MLflow has too; in all others every key is ours, as the page says in prose.
_WITH_MLFLOW = frozenset({"top", "route", "model"})
_TABLE = re.compile(r"(<!-- keys: ([a-z ]+); [^>]* -->\n).*?(<!-- end -->\n)", re.DOTALL)


def config_page(page: str | None = None) -> str:
    """Returns docs/reference/config.md with up-to-date tables. Raises ValueError unless each section has one table."""
    text = PAGE.read_text() if page is None else page
    named = [match[2] for match in _TABLE.finditer(text)]
    if sorted(named) != sorted(TABLES):
        raise ValueError(
            f"docs/reference/config.md needs one table for each of {', '.join(TABLES)}; it has {', '.join(named)}."
        )
    return _TABLE.sub(lambda match: f"{match[1]}{_table(match[2])}{match[3]}", text)


def _table(name: str) -> str:
    section = TABLES[name]
    fields = [each for each in section.fields if name != "split" or each.key == "name" or each.key not in _SHARED]
    lines = ["| key | value | default | what it is |", "|---|---|---|---|"]
    lines += [_row(section, each, ours=name in _WITH_MLFLOW and not each.mlflow) for each in fields]
    return "\n".join(lines) + "\n"


def _row(section: Section[Any], field: Field, *, ours: bool) -> str:
    value = "section" if isinstance(field.kind, Section) else field.kind.words
    default = field.default or section.default_text(field)
    if default and (" " not in default or default.startswith("{")):  # in the file's notation, otherwise in words
        default = f"`{default}`"
    if field.required:
        default = "required"
    key = f"`{field.key}`" + (" *(ours)*" if ours else "")
    return f"| {key} | {value} | {default} | {' '.join(filter(None, [field.doc, field.page]))} |"
