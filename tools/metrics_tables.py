"""Rows of docs/reference/metrics.md: every metric, with its meaning and its name in OpenTelemetry's GenAI conventions."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One metric. `series` describes its maximum number of series; `otel` is "" if the conventions have no
    equivalent."""

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
        "Calls that have ended. `outcome` is `ok` or a reason of [Errors](errors.md) in lower case.",
        f"the count of {_DURATION}, with `error.type`",
    ),
    Row(
        "sidecar_request_duration_seconds",
        ("route", "operation"),
        "R × 2 × 20",
        "Seconds from the decoded request to the last byte of the answer.",
        _DURATION,
    ),
    Row(
        "sidecar_time_to_first_token_seconds",
        ("route", "operation"),
        "R × 20",
        "Seconds from the decoded request to the first output of a stream.",
        "`gen_ai.server.time_to_first_token`",
    ),
    Row(
        "sidecar_overhead_seconds",
        ("route", "operation"),
        "R × 2 × 15",
        "Seconds that the gateway itself adds to a call: the total without waiting for the provider and the client.",
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
        "Calls whose messages had a member that was left out because the provider lacks it "
        "([Reasoning](../concepts/thinking.md#what-is-left-out)).",
    ),
    Row("sidecar_in_flight", ("route",), "R", "Calls in progress."),
    Row(
        "sidecar_upstream_requests_total",
        ("provider", "outcome"),
        "P × K",
        "Attempts at providers that have ended, by outcome.",
        "the count of `gen_ai.client.operation.duration`, with `error.type`",
    ),
    Row(
        "sidecar_retries_total",
        ("route", "reason"),
        "R × 4",
        "Retries on the same upstream, by the error that caused them.",
    ),
    Row(
        "sidecar_fallbacks_total",
        ("route", "reason"),
        "R × 7",
        "Fallbacks to another upstream, by the error that caused them.",
    ),
    Row("sidecar_upstream_ejected", ("route", "upstream"), "U", "Number of workers that have ejected an upstream."),
    Row(
        "sidecar_upstream_ejections_total",
        ("route", "upstream", "reason"),
        "U × 6",
        "Times an upstream was ejected, by reason.",
    ),
    Row(
        "sidecar_upstream_credentials_rejected_total",
        ("route", "upstream"),
        "U",
        "Calls that a provider refused because the gateway's key was rejected; fix the key.",
    ),
    Row("sidecar_spend_micro_dollars_total", ("route", "consumer"), "R × C", "Spend in millionths of a dollar."),
    Row(
        "sidecar_provider_spend_micro_dollars_total",
        ("route", "consumer"),
        "R × C",
        "Spend as reported by providers, in millionths of a dollar, whether or not it was charged.",
    ),
    Row(
        "sidecar_unreported_costs_total",
        ("route",),
        "R",
        "Calls with `cost: provider` whose provider reported no cost; they were charged by tokens and price.",
    ),
    Row(
        "sidecar_unpriced_tokens_total",
        ("route",),
        "R",
        "Tokens without a known price; they are not charged.",
    ),
    Row(
        "sidecar_estimated_tokens_total",
        ("route",),
        "R",
        "Tokens that no provider counted, as estimated by the gateway.",
    ),
    Row(
        "sidecar_limited_total",
        ("route", "unit"),
        "R × 4",
        "Calls refused by limits and budgets of the gateway. `unit`: requests, tokens, concurrent, budget.",
    ),
    Row("sidecar_store_unreachable", (), "1", "Workers that cannot reach the store of limits and budgets."),
    Row("sidecar_store_unsent_settles", (), "1", "Ended calls that the store has not booked yet."),
    Row(
        "sidecar_store_lost_settles_total",
        (),
        "1",
        "Ended calls that will never be booked, because too many waited for the store.",
    ),
    Row(
        "sidecar_store_script_seconds",
        (),
        "15",
        "Seconds from sending a script with admissions to the store until its answer.",
    ),
    Row(
        "sidecar_store_decisions_total",
        ("policy",),
        "7",
        "Calls that were decided without the store, by policy: deny, local_share, allow, or those of a call together.",
    ),
)
SUPERVISOR = (
    Row("sidecar_workers_up", (), "1", "Workers that are serving."),
    Row("sidecar_worker_restarts_total", (), "1", "Workers that died and were restarted."),
    Row("sidecar_worker_hangs_total", (), "1", "Workers that hung and were replaced; the log shows what they did."),
    Row(
        "sidecar_worker_loop_held_seconds_total",
        ("worker",),
        "workers",
        "Seconds in which a worker's event loop was blocked, counting only blocks of more than a second.",
    ),
    Row(
        "sidecar_metrics_complete",
        (),
        "1",
        "Whether the page has everything that the workers count: 0 while there is no memory for some of it. Calls are served.",
    ),
    Row("sidecar_config_info", ("hash",), "1", "Hash of the configuration in use; the value is always 1."),
    Row(
        "sidecar_config_reloads_total",
        ("result",),
        "3",
        "Configurations loaded after the start. `result`: success, failure, unconfirmed.",
    ),
    Row(
        "sidecar_config_last_reload_successful",
        (),
        "1",
        "Whether the configuration on disk is in use: 0 while it is invalid or not confirmed.",
    ),
    Row(
        "sidecar_config_unconfirmed",
        (),
        "1",
        "Whether the configuration on disk would let callers do more and waits for `sidecar reload` "
        "([config.md](config.md#reload)).",
    ),
    Row(
        "sidecar_budget_used_ratio",
        ("route", "consumer", "per"),
        "budgets, × R or × C with `each`",
        "Share of a budget that is spent; calls are refused from 1. Without a consumer it is the budget of the whole route.",
    ),
    Row(
        "sidecar_ledger_waiting_rows",
        (),
        "1",
        "Rows of the shared ledger that this gateway's archive does not have yet (0 before Redis 7).",
    ),
    Row("sidecar_archive_unreachable", (), "1", "Whether the archive in Postgres cannot be filled."),
    Row(
        "sidecar_archive_waiting_rows",
        (),
        "1",
        "Rows of the shared ledger that the archive in Postgres does not have yet (before Redis 7: those that were read).",
    ),
    Row(
        "sidecar_store_expired_reservations_total",
        (),
        "1",
        "Reservations of all gateways that expired because nobody settled them: calls of a killed worker.",
    ),
    Row(
        "sidecar_managed_copy_in_use",
        (),
        "1, with a store",
        "Whether the gateway serves its own copy of managed routes and limits because the store is down; they cannot be changed "
        "then ([More than one machine](../concepts/scale.md#routes-and-limits-on-all-gateways)).",
    ),
    Row(
        "sidecar_managed_refused",
        (),
        "1, with a store",
        "Managed routes and limits of other gateways that this one cannot use; it keeps its own versions, and logs the reason.",
    ),
    Row(
        "sidecar_managed_change",
        (),
        "1, with a store",
        "Number of the last change to managed routes and limits that this gateway has; the same on all gateways.",
    ),
    Row(
        "sidecar_users_waiting",
        (),
        "1, with a store",
        "Users that were added, changed or removed on this gateway, of which the other gateways do not know yet.",
    ),
)
FRONT = (
    Row(
        "sidecar_front_requests_total",
        ("group", "class"),
        "7 × 6",
        "Requests that the front has answered. `group`: openai, mlflow, grpc, docs, health, other; `class`: 2xx to "
        "5xx, and gone for a client that disconnected. A gRPC call is classed by its gRPC status.",
        "`http.server.request.duration`'s count",
    ),
    Row(
        "sidecar_front_request_duration_seconds",
        ("group",),
        "7 × 17",
        "Seconds from the first byte of a request to the last byte of the answer.",
        "`http.server.request.duration`",
    ),
    Row("sidecar_front_auth_failures_total", (), "1", "Requests that the front refused because of their credentials."),
    Row("sidecar_front_too_large_total", (), "1", "Requests that the front refused because their body is too large."),
    Row("sidecar_front_connect_errors_total", (), "1", "Times the front could not reach a worker."),
    Row("sidecar_front_connections", (), "1", "Open client connections of the front, as the kernel counts them.", ""),
    Row(
        "sidecar_certificate_expiry_timestamp_seconds",
        (),
        "1",
        "Unix time at which the certificate that the front serves expires, as a handshake shows it.",
    ),
    Row(
        "sidecar_client_certificate_expiry_timestamp_seconds",
        ("file",),
        "client certificates",
        "Unix time at which a client certificate that the gateway shows to providers expires.",
    ),
    Row(
        "sidecar_certificate_files_usable",
        (),
        "1",
        "Whether the certificate and key files of the front match; if not, the front keeps the old pair.",
    ),
    Row(
        "sidecar_front_reloads_total",
        ("result",),
        "2",
        "Files that the front was given. `result`: success (a renewed certificate that a handshake shows), failure (what the "
        "front refused, a configuration or origins of web pages too).",
    ),
)
