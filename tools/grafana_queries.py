"""PromQL of the dashboards: rates, shares and quantiles over the metrics, and the labels that they select."""

from __future__ import annotations

ROUTES = 'route=~"$route"'
OURS = f'{ROUTES}, consumer=~"$consumer"'
FAILED = 'outcome=~"internal|overloaded|upstream_.*"'
NOT_CANCELLED = 'outcome!="cancelled"'


def quantile(share: str, metric: str, by: str = "", where: str = "") -> str:
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, {rate(f'{metric}_bucket', labels, where)})"


def rate(metric: str, by: str = "", where: str = "") -> str:
    inner = f"rate({metric}{{{where}}}[$__rate_interval])" if where else f"rate({metric}[$__rate_interval])"
    return f"sum by ({by}) ({inner})" if by else f"sum({inner})"


def share(metric: str, of: str, by: str = "", where: str = "") -> str:
    """As a share of the calls that were not cancelled."""
    both = f"{where}, " if where else ""
    return f"{rate(metric, by, both + of)} / {rate(metric, by, both + NOT_CANCELLED)}"
