"""Writes deploy/grafana/dashboards/: `python -m tools.dashboards`. One table per dashboard; the layout follows from
it."""

from __future__ import annotations

import json
from pathlib import Path

from tools.grafana import Dashboard, Panel, as_json
from tools.grafana_queries import FAILED, OURS, ROUTES, quantile, rate, share

FOLDER = Path(__file__).parents[1] / "deploy" / "grafana" / "dashboards"

OVERVIEW = Dashboard(
    "sidecar-overview",
    "LLM gateway: overview",
    (
        Panel("Calls", "reqps", {"calls": rate("sidecar_requests_total")}, "All calls ended.", stat=True),
        Panel(
            "Failed",
            "percentunit",
            {"failed": share("sidecar_requests_total", FAILED)},
            "The gateway's or a provider's doing; what callers get wrong does not count.",
            stat=True,
        ),
        Panel("Under way", "short", {"calls": "sum(sidecar_in_flight)"}, "Calls at this moment.", stat=True),
        Panel("Workers", "short", {"workers": "sidecar_workers_up"}, "Worker processes that serve.", stat=True),
        Panel("Calls by outcome", "reqps", {"{{outcome}}": rate("sidecar_requests_total", "outcome")}),
        Panel(
            "Time to the last byte",
            "s",
            {
                "p50": quantile("0.5", "sidecar_request_duration_seconds"),
                "p95": quantile("0.95", "sidecar_request_duration_seconds"),
                "p99": quantile("0.99", "sidecar_request_duration_seconds"),
            },
        ),
        Panel(
            "Time to the first token",
            "s",
            {
                "p50": quantile("0.5", "sidecar_time_to_first_token_seconds"),
                "p95": quantile("0.95", "sidecar_time_to_first_token_seconds"),
            },
            "Streams only.",
        ),
        Panel(
            "What the gateway itself adds",
            "s",
            {
                "p50": quantile("0.5", "sidecar_overhead_seconds"),
                "p99": quantile("0.99", "sidecar_overhead_seconds"),
            },
            "The total less the waits for provider and client.",
        ),
        Panel("Tokens", "short", {"{{kind}}": rate("sidecar_tokens_total", "kind")}, "A second."),
    ),
)
ROUTES_AND_CONSUMERS = Dashboard(
    "sidecar-routes",
    "LLM gateway: routes and consumers",
    (
        Panel("Calls by route", "reqps", {"{{route}}": rate("sidecar_requests_total", "route", OURS)}),
        Panel("Calls by consumer", "reqps", {"{{consumer}}": rate("sidecar_requests_total", "consumer", OURS)}),
        Panel(
            "Failed by route",
            "percentunit",
            {"{{route}}": share("sidecar_requests_total", FAILED, "route", OURS)},
        ),
        Panel(
            "Turned away by a limit or a budget",
            "reqps",
            {
                "{{route}} {{consumer}}": rate(
                    "sidecar_requests_total", "route, consumer", f'{OURS}, outcome=~"rate_limited|budget_exceeded"'
                )
            },
        ),
        Panel(
            "Time to the last byte, p95",
            "s",
            {"{{route}}": quantile("0.95", "sidecar_request_duration_seconds", "route", ROUTES)},
        ),
        Panel(
            "Time to the first token, p95",
            "s",
            {"{{route}}": quantile("0.95", "sidecar_time_to_first_token_seconds", "route", ROUTES)},
        ),
        Panel("Under way", "short", {"{{route}}": f"sum by (route) (sidecar_in_flight{{{ROUTES}}})"}),
        Panel("Tokens by consumer", "short", {"{{consumer}}": rate("sidecar_tokens_total", "consumer", OURS)}),
        Panel("Tokens by route", "short", {"{{route}} {{kind}}": rate("sidecar_tokens_total", "route, kind", OURS)}),
        Panel(
            "Money by consumer, dollars an hour",
            "currencyUSD",
            {"{{consumer}}": f"{rate('sidecar_spend_micro_dollars_total', 'consumer', OURS)} * 3600 / 1e6"},
        ),
        Panel(
            "Money by route, dollars an hour",
            "currencyUSD",
            {"{{route}}": f"{rate('sidecar_spend_micro_dollars_total', 'route', OURS)} * 3600 / 1e6"},
        ),
        Panel(
            "Budgets",
            "percentunit",
            {"{{route}} {{consumer}} a {{per}}": "sidecar_budget_used_ratio"},
            "Share that is spent; at 100 % calls are refused.",
        ),
        Panel(
            "Tokens without a price",
            "short",
            {"{{route}}": rate("sidecar_unpriced_tokens_total", "route", ROUTES)},
            "No money was counted for them.",
        ),
        Panel(
            "Refused by our limits",
            "reqps",
            {"{{route}} {{unit}}": rate("sidecar_limited_total", "route, unit", ROUTES)},
        ),
    ),
    ("route", "consumer"),
)
PROVIDERS = Dashboard(
    "sidecar-providers",
    "LLM gateway: providers",
    (
        Panel("Attempts", "reqps", {"{{provider}}": rate("sidecar_upstream_requests_total", "provider")}),
        Panel(
            "Attempts by outcome",
            "reqps",
            {"{{provider}} {{outcome}}": rate("sidecar_upstream_requests_total", "provider, outcome")},
        ),
        Panel(
            "Failed attempts",
            "percentunit",
            {"{{provider}}": share("sidecar_upstream_requests_total", 'outcome=~"upstream_.*"', "provider")},
        ),
        Panel(
            "Keys that are rejected",
            "reqps",
            {
                "{{provider}}": rate(
                    "sidecar_upstream_requests_total", "provider", 'outcome="upstream_rejected_credentials"'
                )
            },
        ),
        Panel("Retries", "reqps", {"{{route}} {{reason}}": rate("sidecar_retries_total", "route, reason")}),
        Panel("Fallbacks", "reqps", {"{{route}} {{reason}}": rate("sidecar_fallbacks_total", "route, reason")}),
        Panel(
            "Ejected upstreams",
            "short",
            {"{{route}} {{upstream}}": "sum by (route, upstream) (sidecar_upstream_ejected)"},
            "Number of workers that have ejected the upstream.",
        ),
    ),
)
FRONTS = Dashboard(
    "sidecar-fronts",
    "LLM gateway: front and workers",
    (
        Panel("Connections", "short", {"open": "sidecar_front_connections"}, stat=True),
        Panel(
            "Certificate",
            "s",
            {"left": "sidecar_certificate_expiry_timestamp_seconds - time()"},
            "Until it expires.",
            True,
        ),
        Panel("Workers", "short", {"serving": "sidecar_workers_up"}, stat=True),
        Panel(
            "Configuration",
            "short",
            {"taken": "sidecar_config_last_reload_successful"},
            "0: what is on disk cannot be used, or waits for `sidecar reload`.",
            True,
        ),
        Panel("Requests by class", "reqps", {"{{class}}": rate("sidecar_front_requests_total", "class")}),
        Panel("Requests by path group", "reqps", {"{{group}}": rate("sidecar_front_requests_total", "group")}),
        Panel(
            "Refused at the front",
            "reqps",
            {
                "credentials": rate("sidecar_front_auth_failures_total"),
                "too large": rate("sidecar_front_too_large_total"),
                "no worker reached": rate("sidecar_front_connect_errors_total"),
            },
        ),
        Panel(
            "Time to the last byte at the front, p95",
            "s",
            {"{{group}}": quantile("0.95", "sidecar_front_request_duration_seconds", "group")},
        ),
        Panel(
            "Workers started again",
            "short",
            {"restarts": "sidecar_worker_restarts_total", "of those that hung": "sidecar_worker_hangs_total"},
        ),
        Panel("Reloads", "short", {"{{result}}": "sidecar_config_reloads_total"}),
    ),
)
STORE = Dashboard(
    "sidecar-store",
    "LLM gateway: store of several machines",
    (
        Panel(
            "Workers without the store",
            "short",
            {"workers": "sum(sidecar_store_unreachable)"},
            "They decide by `when_unavailable`.",
            True,
        ),
        Panel(
            "Calls not booked",
            "short",
            {"calls": "sum(sidecar_store_unsent_settles)"},
            "Ended calls that the store has not booked yet.",
            True,
        ),
        Panel(
            "Never booked",
            "short",
            {"calls": "sum(sidecar_store_lost_settles_total)"},
            "Ended calls that were lost.",
            True,
        ),
        Panel(
            "Archive",
            "short",
            {"unreachable": "max(sidecar_archive_unreachable)"},
            "1: the archive in Postgres cannot be filled.",
            True,
        ),
        Panel(
            "Time of a script",
            "s",
            {
                "p50": quantile("0.5", "sidecar_store_script_seconds"),
                "p99": quantile("0.99", "sidecar_store_script_seconds"),
            },
            "What a call waits for the store.",
        ),
        Panel("Scripts", "ops", {"scripts": rate("sidecar_store_script_seconds_count")}, "Each admits up to 32 calls."),
        Panel(
            "Decided without the store",
            "reqps",
            {"{{policy}}": rate("sidecar_store_decisions_total", "policy")},
            "deny: refused with 503.",
        ),
        Panel(
            "Reservations that expired",
            "short",
            {"calls": "max(sidecar_store_expired_reservations_total)"},
            "Of killed workers, perhaps.",
        ),
        Panel(
            "Rows that wait",
            "short",
            {
                "for this gateway": "max(sidecar_ledger_waiting_rows)",
                "for the archive": "max(sidecar_archive_waiting_rows)",
            },
            "Of the store's ledger.",
        ),
    ),
)
DASHBOARDS = (OVERVIEW, ROUTES_AND_CONSUMERS, PROVIDERS, FRONTS, STORE)


def files() -> dict[str, str]:
    """File name -> text."""
    return {
        f"{dashboard.uid.removeprefix('sidecar-')}.json": json.dumps(as_json(dashboard), indent=2) + "\n"
        for dashboard in DASHBOARDS
    }


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in files().items():
        (FOLDER / name).write_text(text)
    for stale in {path.name for path in FOLDER.glob("*.json")} - set(files()):
        (FOLDER / stale).unlink()


if __name__ == "__main__":
    main()
