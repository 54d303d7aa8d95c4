"""All in which an answer of Envoy may differ from Nginx's to the same request, and why. docs/concepts/fronts.md shows this table.

`python -m tests.conformance.differences` writes it there. A difference that is not here fails, and so does a row that
nothing needs.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "concepts" / "fronts.md"
BEGIN, END = "<!-- tests/conformance/differences.py -->\n", "<!-- end -->\n"


@dataclass(frozen=True, slots=True)
class Difference:
    """`cases` and `fields` are patterns of what may differ; each pattern must be met."""

    what: str
    nginx: str
    envoy: str
    why: str
    cases: tuple[str, ...]
    fields: tuple[str, ...]

    def covers(self, case: str, field: str) -> tuple[str, str] | None:
        """The two patterns that do, or None."""
        for named in self.cases:
            for one in self.fields:
                if fnmatchcase(case, named) and fnmatchcase(field, one):
                    return named, one
        return None


DIFFERENCES = (
    Difference(
        "`Server`",
        "`nginx`",
        "`envoy`",
        "each names itself, without a version",
        cases=("*",),
        fields=("header server",),
    ),
    Difference(
        "the core itself fails in the middle of an answer (never a provider's failure)",
        "the answer is cut off",
        "the body ends early: no `[DONE]`, incomplete JSON",
        "Envoy sends headers with the first message, and its configuration cannot abort an answer; both cut off the answer of a "
        "worker that dies",
        cases=("the core breaks off *",),
        fields=("end", "status", "body", "header *"),
    ),
    Difference(
        "`Content-Type: application/grpc` on a REST path",
        "415",
        "gRPC status 12 (UNIMPLEMENTED)",
        "Envoy takes the caller for a gRPC client",
        cases=("gRPC's type on a REST path",),
        fields=("status", "body", "header *"),
    ),
    Difference(
        "a 204 of the core",
        "no `Content-Type`",
        "the core's `Content-Type`",
        "Nginx drops it",
        cases=("the core says 204",),
        fields=("header content-type",),
    ),
    Difference(
        "a route name of more than 256 characters",
        "404 `unknown_url`",
        "404 `model_not_found`, from the core",
        "the limit would make Envoy's pattern too long",
        cases=("path: a variable that is too long",),
        fields=("status", "body", "rpc", "request", "metadata *"),
    ),
    Difference(
        "`+` in a query",
        "a space",
        "a plus sign",
        "write `%2B`, as HTTP libraries do",
        cases=("path: a plus in the query",),
        fields=("request",),
    ),
    Difference(
        "names of query parameters",
        "may be written as `%70`",
        "must be written as they are: 400",
        "the route is matched before it is decoded",
        cases=("path: a parameter's name written out",),
        fields=("status", "body", "rpc", "request", "metadata *"),
    ),
    Difference(
        "a query parameter of more than 1,024 characters",
        "400",
        "accepted, if it fits into the headers",
        "the limit would make Envoy's pattern too long",
        cases=("path: a long value in the query",),
        fields=("status", "body", "rpc", "request", "metadata *"),
    ),
    Difference(
        "`%2F` in a route name, where another path has that slash (`/api/2.0/endpoints/limits%2Fx`)",
        "the other path",
        "404, from the core: no route has such a name",
        "Nginx decodes a path before it matches",
        cases=("path: a slash in a variable that makes another path",),
        fields=("rpc", "request"),
    ),
    Difference(
        "`X-Request-Id` on an invalid request (no host, NUL, headers too large ...)",
        "always",
        "none",
        "Envoy refuses it before it generates an id",
        cases=("raw: *", "path: NUL*", "a header of 17 KiB"),
        fields=("header x-request-id",),
    ),
    Difference(
        "a URL above 16 KiB",
        "414",
        "431",
        "Envoy counts it among the headers",
        cases=("raw: a long URL",),
        fields=("status", "body"),
    ),
    Difference(
        "two `Host` or `Authorization` headers; `TRACE`, `CONNECT`, without credentials",
        "400; 405",
        "401",
        "Envoy checks credentials first",
        cases=("raw: two hosts", "raw: two credentials", "raw: TRACE", "raw: CONNECT"),
        fields=("status", "body", "header www-authenticate"),
    ),
    Difference(
        "an unknown method; `#` in a request line; without credentials",
        "401",
        "400",
        "Envoy rejects both as invalid HTTP",
        cases=("raw: a method nobody knows", "raw: a fragment"),
        fields=("status", "body", "header www-authenticate"),
    ),
    Difference(
        "HTTP/1.0; HTTP/3.0 on a TCP connection",
        "like HTTP/1.1; 505",
        "426",
        "Envoy accepts 1.0 only if configured to",
        cases=("raw: HTTP/1.0", "raw: HTTP/3.0"),
        fields=("status", "body", "header www-authenticate"),
    ),
)


def table() -> str:
    """For docs/concepts/fronts.md."""
    rows = [f"| {each.what} | {each.nginx} | {each.envoy} | {each.why} |\n" for each in DIFFERENCES]
    return "".join(["| | Nginx | Envoy | why |\n", "|---|---|---|---|\n", *rows])


def page() -> str:
    """docs/concepts/fronts.md with the table of now. ValueError without the two marks."""
    before, begin, rest = PAGE.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{PAGE} has no place for the table")
    return f"{before}{begin}{table()}{end}{after}"


if __name__ == "__main__":
    sys.exit(PAGE.write_text(page()) < 0)
