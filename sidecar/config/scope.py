"""Context shared by all readers of one load."""

from __future__ import annotations

from dataclasses import dataclass

from sidecar.config.problems import Report
from sidecar.config.secrets import Sources


@dataclass(frozen=True, slots=True)
class Scope:
    """One file of a load: where its problems are reported and where its keys come from."""

    report: Report
    sources: Sources
    directory: str  # of the config file
    local_base_url: str | None
    version: str = ""  # of a file of a route that is managed through the API
