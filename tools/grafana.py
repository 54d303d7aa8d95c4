"""Builds Grafana's dashboard model from a table of panels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_SOURCE = {"type": "prometheus", "uid": "${source}"}
_COLUMNS = 24
_PANEL_WIDTH = 12
_PANEL_HEIGHT = 8
_STAT_HEIGHT = 4
_STAT_WIDTH = 6


@dataclass(frozen=True, slots=True)
class Panel:
    """`queries`: legend -> PromQL. A stat shows one number, a graph lines over time."""

    title: str
    unit: str  # Grafana's name for it
    queries: dict[str, str]
    text: str = ""
    stat: bool = False


@dataclass(frozen=True, slots=True)
class Dashboard:
    uid: str
    title: str
    panels: tuple[Panel, ...]
    variables: tuple[str, ...] = ()  # label names to choose from


def as_json(dashboard: Dashboard) -> dict[str, Any]:
    """Grafana's own model."""
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["llm-gateway"],
        "timezone": "browser",
        "schemaVersion": 39,
        "version": 1,
        "refresh": "30s",
        "editable": True,
        "graphTooltip": 1,
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [_source_variable(), *map(_variable, dashboard.variables)]},
        "annotations": {"list": []},
        "links": [],
        "panels": _laid_out(dashboard.panels),
    }


def _source_variable() -> dict[str, Any]:
    return {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus", "hide": 0}


def _variable(label: str) -> dict[str, Any]:
    return {
        "name": label,
        "label": label.capitalize(),
        "type": "query",
        "datasource": _SOURCE,
        "query": f"label_values(sidecar_requests_total, {label})",
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
        "sort": 1,
    }


def _laid_out(panels: tuple[Panel, ...]) -> list[dict[str, Any]]:
    """Left to right, row by row; stats are small."""
    found = []
    x = y = row = 0
    for number, panel in enumerate(panels, 1):
        width, height = (_STAT_WIDTH, _STAT_HEIGHT) if panel.stat else (_PANEL_WIDTH, _PANEL_HEIGHT)
        if x + width > _COLUMNS or (row and height != row):
            x, y = 0, y + row
        row = height
        found.append(_panel(number, panel, {"x": x, "y": y, "w": width, "h": height}))
        x += width
    return found


def _panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "id": number,
        "type": "stat" if panel.stat else "timeseries",
        "title": panel.title,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + index), "datasource": _SOURCE, "expr": expr, "legendFormat": legend}
            for index, (legend, expr) in enumerate(panel.queries.items())
        ],
        "options": {},
    }
    if panel.text:
        made["description"] = panel.text
    return made
