"""docs/metrics.md: every metric, how many series it can have, and what OpenTelemetry's GenAI conventions call the same thing."""

from __future__ import annotations

from dataclasses import dataclass

from adapters import Kind


@dataclass(frozen=True, slots=True)
class Row:
    """One metric. `series` is its worst case in the words of the page; `otel` "" where the conventions have nothing."""

    name: str
    labels: tuple[str, ...]
    series: str
    meaning: str
    otel: str = ""


_DURATION = "`gen_ai.server.request.duration`"
WORKERS = (
    Row(
        "sidecar_requests_total",
        ("route", "operation", "consumer", "outcome"),
        "R × 2 × C × K",
        "Calls ended. `outcome` is `ok` or a reason of [errors.md](errors.md) in small letters.",
        f"the count of {_DURATION}, with `error.type`",
    ),
    Row(
        "sidecar_request_duration_seconds",
        ("route", "operation"),
        "R × 2 × 20",
        "From the decoded request to the last byte.",
        _DURATION,
    ),
    Row(
        "sidecar_time_to_first_token_seconds",
        ("route", "operation"),
        "R × 20",
        "Streams: from the decoded request to the first output.",
        "`gen_ai.server.time_to_first_token`",
    ),
    Row(
        "sidecar_overhead_seconds",
        ("route", "operation"),
        "R × 2 × 15",
        "The gateway's own share of a call: the total less the waits for provider and client.",
    ),
    Row(
        "sidecar_tokens_total",
        ("route", "consumer", "kind"),
        "R × C × 5",
        "Tokens as the provider counted them. `kind`: input, output, cached_input, cache_write, reasoning.",
        "the sum of `gen_ai.client.token.usage`, with `gen_ai.token.type`",
    ),
    Row(
        "sidecar_left_out_total",
        ("route", "member"),
        "R × 24",
        "Calls whose messages had a member that the provider has no place for, by its name ([thinking.md](thinking.md)).",
    ),
    Row("sidecar_in_flight", ("route",), "R", "Calls under way."),
    Row(
        "sidecar_upstream_requests_total",
        ("provider", "outcome"),
        "P × K",
        "Attempts at providers ended.",
        "the count of `gen_ai.client.operation.duration`, with `error.type`",
    ),
    Row(
        "sidecar_retries_total",
        ("route", "reason"),
        "R × 4",
        "Further attempts at the same upstream, by what went before.",
    ),
    Row(
        "sidecar_fallbacks_total",
        ("route", "reason"),
        "R × 7",
        "Further attempts at another upstream, by what went before.",
    ),
    Row("sidecar_upstream_ejected", ("route", "upstream"), "U", "Workers whose breaker leaves an upstream alone."),
    Row("sidecar_upstream_ejections_total", ("route", "upstream", "reason"), "U × 6", "Times a breaker opened."),
    Row(
        "sidecar_upstream_credentials_rejected_total",
        ("route", "upstream"),
        "U",
        "Calls that a provider refused because of the gateway's key.",
    ),
    Row("sidecar_spend_micro_dollars_total", ("route", "consumer"), "R × C", "Money spent, in millionths of a dollar."),
    Row(
        "sidecar_provider_spend_micro_dollars_total",
        ("route", "consumer"),
        "R × C",
        "Money that providers say they bill, in millionths of a dollar, whatever was counted as spent.",
    ),
    Row(
        "sidecar_unreported_costs_total",
        ("route",),
        "R",
        "Calls of `cost: provider` whose provider reported no cost: their tokens times the price were counted.",
    ),
    Row(
        "sidecar_unpriced_tokens_total",
        ("route",),
        "R",
        "Tokens whose price is not known: no money was counted for them.",
    ),
    Row("sidecar_estimated_tokens_total", ("route",), "R", "Tokens that no provider counted: an estimate."),
    Row(
        "sidecar_limited_total",
        ("route", "unit"),
        "R × 4",
        "Calls refused by the gateway's own limits. `unit`: requests, tokens, concurrent, budget.",
    ),
)
SUPERVISOR = (
    Row("sidecar_workers_up", (), "1", "Workers that serve."),
    Row("sidecar_worker_restarts_total", (), "1", "Workers that died and were started again."),
    Row("sidecar_worker_hangs_total", (), "1", "Workers that hung and were replaced; the log says what they did."),
    Row(
        "sidecar_worker_loop_held_seconds_total",
        ("worker",),
        "workers",
        "Time in which a worker's event loop was held for more than a second, and all its calls with it.",
    ),
    Row(
        "sidecar_metrics_complete",
        (),
        "1",
        "0 while some of what workers count is not on the page because there is no memory for it; calls go on.",
    ),
    Row("sidecar_config_info", ("hash",), "1", "The configuration in use."),
    Row(
        "sidecar_config_reloads_total",
        ("result",),
        "3",
        "Configurations read after the start: success, failure, unconfirmed.",
    ),
    Row(
        "sidecar_config_last_reload_successful", (), "1", "0 while what is on disk cannot be used or is not confirmed."
    ),
    Row(
        "sidecar_config_unconfirmed",
        (),
        "1",
        "1 while what is on disk would open what is shut ([config.md](config.md#reload)) and waits for `sidecar reload`.",
    ),
    Row(
        "sidecar_budget_used_ratio",
        ("route", "consumer", "per"),
        "budgets, × R or × C with `each`",
        "Share of a budget that is spent; from 1 on calls are refused.",
    ),
)
FRONT = (
    Row(
        "sidecar_front_requests_total",
        ("group", "class"),
        "7 × 6",
        "Requests answered. `group`: openai, mlflow, grpc, docs, health, other (Envoy: all); `class`: 2xx to 5xx, and gone "
        "for a client that left. A gRPC call is classed by its gRPC status.",
        "`http.server.request.duration`'s count",
    ),
    Row(
        "sidecar_front_request_duration_seconds",
        ("group",),
        "7 × 17",
        "To the last byte, reading the request included.",
        "`http.server.request.duration`",
    ),
    Row("sidecar_front_auth_failures_total", (), "1", "Requests without the right credentials."),
    Row("sidecar_front_too_large_total", (), "1", "Bodies above the limit."),
    Row("sidecar_front_connect_errors_total", (), "1", "Times a worker could not be reached."),
    Row("sidecar_front_connections", (), "1", "Client connections that are open, as the kernel counts them.", ""),
    Row(
        "sidecar_certificate_expiry_timestamp_seconds", (), "1", "When the front's certificate file stops being valid."
    ),
)
GROUPS = (("Of the workers", WORKERS), ("Of the supervisor", SUPERVISOR), ("Of the front", FRONT))
_HEAD = """\
# Metrics

Generated from `tools/metrics_page.py` by `python -m tools.docs`; do not edit.

One page, `http://127.0.0.1:9464/metrics` (`--metrics`), shows them for all workers, the supervisor and the front together. Every
label comes from the config, the users file or a list in the code, never from what a caller writes: a route that does not exist
is `unknown`. *Series* is the worst case, with R routes, C consumers, K = {outcomes} outcomes, P providers in use and U upstreams
of all routes; a series appears with its first use. Where Envoy is the front, its own counters (`envoy_*`) are on the page too.

The last column is the name in OpenTelemetry's semantic conventions for generative AI. Its attributes are our labels: `route` is
`gen_ai.request.model`, `provider` is `gen_ai.provider.name`, `operation` is `gen_ai.operation.name` (`complete` is
`text_completion`, `embed` is `embeddings`), `outcome` is `error.type`, `kind` is `gen_ai.token.type`.
"""


def metrics_page() -> str:
    """docs/metrics.md."""
    parts = [_HEAD.replace("{outcomes}", str(len(Kind) + 1))]  # "ok" and the kinds
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
    return "\n".join(parts)
