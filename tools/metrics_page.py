"""Generates docs/reference/metrics.md: every metric, its maximum number of series, and its name in OpenTelemetry's
GenAI conventions."""

from __future__ import annotations

from adapters import Kind
from tools.metrics_tables import FRONT, SUPERVISOR, WORKERS
from tools.wrapping import wrapped

GROUPS = (("Workers", WORKERS), ("Supervisor", SUPERVISOR), ("Front proxy", FRONT))
_HEAD = """\
# Metrics

<!-- Generated from `tools/metrics_tables.py` by `python -m tools.docs`; do not edit. -->

Scrape one page for all workers, the supervisor and the front proxy:

```sh
curl --silent http://127.0.0.1:9464/metrics      # the address is --metrics
```

The [guide](../guides/prometheus.md) sets up Prometheus and Grafana. Labels come from the config, the
users file or a list in the code, never from a caller: a route that does not exist is `unknown`.
*Series* is the worst case for R routes, C consumers, K = KINDS outcomes, P providers in use and U
upstreams of all routes; a series appears with its first use. With Envoy as the front, the page also
has Envoy's own counters (`envoy_*`).

The last column is the name in OpenTelemetry's semantic conventions for generative AI. The labels
correspond to its attributes: `route` is `gen_ai.request.model`, `provider` is `gen_ai.provider.name`,
`operation` is `gen_ai.operation.name` (`complete` is `text_completion`, `embed` is `embeddings`),
`outcome` is `error.type`, and `kind` is `gen_ai.token.type`.
"""


def metrics_page() -> str:
    """docs/reference/metrics.md."""
    parts = [_HEAD.replace("KINDS", str(len(Kind) + 1))]
    for title, rows in GROUPS:
        lines = [
            f"## {title}",
            "",
            "| metric | labels | series | what it is | OpenTelemetry |",
            "|---|---|---|---|---|",
        ]
        for row in rows:
            labels = ", ".join(f"`{label}`" for label in row.labels) or "–"
            lines.append(f"| `{row.name}` | {labels} | {row.series} | {row.meaning} | {row.otel or '–'} |")
        parts.append("\n".join(lines) + "\n")
    return wrapped("\n".join(parts))
