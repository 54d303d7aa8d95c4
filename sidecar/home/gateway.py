"""What only admins see: usage of all consumers, upstreams, workers, configuration, certificates."""

from __future__ import annotations

from sidecar.domain.gateway_status import USAGE_DAYS, CertificateStatus, ConfigStatus, OperatorStatus
from sidecar.home.markup import Content, Html, element, joined, named
from sidecar.home.routes import last_failure, upstream_state
from sidecar.home.tables import section, state, table
from sidecar.home.usage import charts, details, spent_table
from sidecar.home.view import HomeView
from sidecar.home.words import duration, many, moment

# A certificate that expires within this many days needs attention.
_SOON_S = 14 * 86_400
_STATES = {"serving": "good", "hangs": "bad"}


def gateway_section(view: HomeView) -> Html | None:
    """None for everyone else."""
    operator = view.operator
    if operator is None:
        return None
    parts = [
        _config(operator.config),
        _upstreams(view),
        _workers(operator, view),
        _certificates(operator.certificates, view),
        _everybody(operator, view),
    ]
    return section("gateway", "The gateway", *parts, note="You see this because you are an admin.", wide=True)


def _config(config: ConfigStatus | None) -> Html | None:
    if config is None:
        return None
    used = joined(
        "Configuration ", element("code", config.hash), " is in use, with ", many(config.routes, "route"), "."
    )
    if config.unconfirmed:
        words = "The file on the disk would let callers do more. It waits for `sidecar reload`:"
        found = joined(state(words, "warn"), _problems(config.problems))
    elif config.problems:
        found = joined(state("The file on the disk is not in use:", "bad"), _problems(config.problems))
    else:
        found = state("The file on the disk is the one in use.", "good")
    warnings = details(many(len(config.warnings), "warning"), _problems(config.warnings)) if config.warnings else None
    return _part("Configuration", element("p", used), element("div", found), warnings)


def _problems(problems: tuple[str, ...]) -> Html:
    return element("ul", *(element("li", element("code", named(each))) for each in problems), class_="problems")


def _upstreams(view: HomeView) -> Html:
    rows: list[list[Content]] = [
        [
            joined(element("code", named(route)), element("small", named(each.name))),
            joined(named(each.model), element("small", named(each.provider))),
            upstream_state(each, view),
            last_failure(each, view),
        ]
        for route, each in view.all_upstreams
    ]
    titles = ("Route and upstream", "Model", "State", "Last failure")
    if not rows:
        return _part("Upstreams", element("p", "There are no routes."))
    return _part("Upstreams", table("Upstreams, those in trouble first", titles, rows))


def _workers(operator: OperatorStatus, view: HomeView) -> Html:
    rows: list[list[Content]] = [
        [
            f"{each.position}",
            f"{each.pid}",
            state(each.state, _STATES.get(each.state, "warn")),
            duration(view.now_s - each.started_s),
            "none yet" if each.silent_s is None else f"{duration(each.silent_s)} ago",
        ]
        for each in operator.workers
    ]
    restarts = (
        f"{many(operator.restarts, 'worker')} died or hung and {'was' if operator.restarts == 1 else 'were'} replaced."
    )
    body = table("Workers", ("Worker", "Process", "State", "Runs for", "Last sign of life"), rows)
    return _part("Workers", body, element("p", restarts, class_="quiet") if operator.restarts else None)


def _certificates(certificates: tuple[CertificateStatus, ...], view: HomeView) -> Html | None:
    if not certificates:
        return None
    rows: list[list[Content]] = [
        [
            joined(named(each.subject), element("small", named(", ".join(each.names)))),
            named(each.issuer),
            moment(each.ends_s),
            _certificate_state(each, view.now_s),
        ]
        for each in certificates
    ]
    return _part(
        "Certificates", table("Certificates of the front", ("Certificate", "Issued by", "Ends", "State"), rows)
    )


def _certificate_state(each: CertificateStatus, now_s: float) -> Html:
    left_s = each.ends_s - now_s
    if left_s <= 0:
        return state("has ended", "bad")
    if not each.usable:
        return state("the files on the disk do not fit together; the front keeps what it has", "bad")
    return state(f"ends in {duration(left_s)}", "warn" if left_s < _SOON_S else "good")


def _everybody(operator: OperatorStatus, view: HomeView) -> Html:
    figures = element("div", *charts(operator.days, view.today), class_="charts")
    body = spent_table("Usage by consumer", "Consumer", operator.consumers) if operator.consumers else None
    by_day = (
        details("By day", spent_table("Usage by day", "Day", tuple(reversed(operator.days)))) if operator.days else None
    )
    return _part(f"All consumers, last {USAGE_DAYS} days", figures, body, by_day)


def _part(title: str, *content: Content) -> Html:
    return element("div", element("h3", title), *content, class_="part")
