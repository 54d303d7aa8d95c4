"""Where we differ from MLflow's own gateways on purpose.

docs/reference/mlflow.md shows these rows. test_differential.py applies them: a difference without a row fails, and so does a row
without a difference.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.mlflow.comparing import ABSENT, Difference

MAX = 15


@dataclass(frozen=True, slots=True)
class Both:
    """What both did with the request."""

    theirs: dict[str, Any]
    ours: dict[str, Any]

    @property
    def statuses(self) -> tuple[int, int]:
        return self.theirs["status"], self.ours["status"]


@dataclass(frozen=True, slots=True)
class Rule:
    """`field` matches a difference's path whole; `when` looks at its values and at both answers. The rest is for people."""

    name: str
    field: str
    what: str
    why: str
    when: Callable[[Difference, Both], bool] = lambda difference, both: True

    def allows(self, difference: Difference, both: Both) -> bool:
        return re.fullmatch(self.field, difference.field) is not None and self.when(difference, both)


# Defaults that MLflow sends upstream: 0.0 (Text Generation Inference refuses that: 0.001), and one answer.
_DEFAULTS = {"temperature": (0.0, 0.001), "n": (1,), "candidate_count": (1,)}


def _is_default(difference: Difference, both: Both) -> bool:
    return bool(difference.ours == ABSENT and difference.theirs in _DEFAULTS[difference.field.rpartition(".")[2]])


def _is_left_out(difference: Difference, both: Both) -> bool:
    """One of the two leaves out what the other says is nothing, or MLflow drops what the provider said."""
    if difference.field.endswith("provider"):
        return bool(difference.ours == ABSENT)
    return bool(difference.theirs == ABSENT or (difference.theirs is None and difference.ours == ABSENT))


_REFUSED: frozenset[str] = frozenset(
    {"chat: stream", "completions: n", "chat: temperature in a string", "embeddings: none", "chat: a key twice"}
)

RULES = (
    Rule(
        "defaults",
        r"upstream\.\d+\.body\.((params|parameters)\.)?(temperature|n|candidate_count)",
        "Parameters that the caller did not send are not sent to the provider. MLflow sends temperature 0.0 "
        "and one answer.",
        "A gateway's default would change answers, and some models refuse any temperature.",
        _is_default,
    ),
    Rule(
        "provider failures",
        r"status|json(\.detail.*)?",
        "A provider's failure has a status that shows the caller what to do: 424 if the provider refuses the "
        "key or the model, limits the rate or sends an invalid answer, 504 if it cannot be reached or fails. "
        "MLflow passes 401, 404, 429 and 500 on, or answers 500 or 502.",
        "A provider's 401 is not the caller's. MLflow's clients retry 429, 500, 502 and 503 for a minute, "
        "and each retry is a call to the provider.",
        lambda difference, both: both.theirs["status"] != both.ours["status"] and both.ours["status"] in (424, 504),
    ),
    Rule(
        "attempts",
        r"upstream\.1\..*",
        "The gateway retries a transient failure once before it returns an error. MLflow does not retry.",
        "The gateway knows which failures are worth a retry, and callers then do not have to retry themselves.",
        lambda difference, both: both.theirs["upstream"][0]["target"] == both.ours["upstream"][1]["target"],
    ),
    Rule(
        "no 500",
        r"status|json.*",
        "Some requests for which MLflow returns 500 without a JSON body are answered (text that is null, "
        "other finish reasons, tool calls), or refused with 400 or 404 (page tokens, `/v1` without a model "
        "or with an unknown one).",
        "MLflow fails on these requests with an unhandled error.",
        lambda difference, both: both.theirs["status"] == 500 and both.ours["status"] in (200, 400, 404),
    ),
    Rule(
        "words",
        r"json\.(detail(\.reason|\.message)?|error\..*)",
        "If the status is the same, the message may differ. Errors on `/v1` paths and those of the front "
        'proxy (unknown paths, methods) are OpenAI\'s `{"error": ...}`.',
        "The messages name the route and the provider. `/v1` is called by OpenAI's SDKs, which read nothing else.",
        lambda difference, both: both.statuses[0] == both.statuses[1] >= 400,
    ),
    Rule(
        "links",
        r"json\.detail\.\d+\.url",
        "Problems of a request have no link to pydantic's pages.",
        "The link depends on the installed version of pydantic.",
    ),
    Rule(
        "limits",
        r"status|json\.(detail|limits.*)",
        "Limits can be read and, by admins, set: `/api/2.0/gateway/limits/`. MLflow's open source servers return 501.",
        "MLflow's clients have these calls, and their format is documented.",
        lambda difference, both: both.theirs["status"] == 501,
    ),
    Rule(
        "refused at once",
        r"status|json.*|upstream.*",
        "These are refused with 422 before a provider is called: a stream in dialect A (MLflow: 502 after "
        "the call), `n` for completions in dialect A (400), numbers in strings and an empty list of texts "
        "(accepted), a duplicate key (the last one wins).",
        "None of them can give what the caller expects, and the call would be paid for.",
        lambda difference, both: both.ours["status"] == 422 and difference.case in _REFUSED,
    ),
    Rule(
        "json only",
        r"status|json.*",
        "A body that is not `application/json` is 415. MLflow: 422, with its text read as a string.",
        "The front proxy refuses it before it reaches the gateway.",
        lambda difference, both: both.statuses == (422, 415),
    ),
    Rule(
        "whole format",
        r"status|json.*|upstream.*",
        "Dialect B accepts what OpenAI accepts: `stop` as one string, tools whose parameters have no "
        "properties. MLflow: 422.",
        "The provider understands them, and its SDKs send them.",
        lambda difference, both: both.statuses == (422, 200),
    ),
    Rule(
        "members",
        r"json\.(events\.\d+\.)?(provider|system_fingerprint|usage\..*|choices\.\d+\.(logprobs|(message|delta)(\.\w+)?))",
        "Answers contain every member that the provider sent, and no others. MLflow drops unknown members, "
        "adds `provider`, and writes null for missing ones.",
        "An answer in the caller's own format is passed on unchanged.",
        _is_left_out,
    ),
    Rule(
        "streams",
        r"json\.events\..*",
        "Streams end with `data: [DONE]`, and contain usage only if the caller asked for it. MLflow: no end "
        "marker, always usage.",
        "OpenAI's SDKs wait for the marker; a client that did not ask for usage may not expect an event "
        "without choices.",
        lambda difference, both: difference.ours == "[DONE]" or difference.ours == ABSENT,
    ),
    Rule(
        "endpoint_url",
        r"json\.(endpoints\.\d+\.)?endpoint_url",
        "`endpoint_url` is `/endpoints/{name}/invocations`. MLflow returns `/gateway/{name}/invocations`.",
        "On that path dialect B is certain; MLflow's own issue 11049 asks for it.",
        lambda difference, both: str(difference.ours).startswith("/endpoints/"),
    ),
    Rule(
        "lists",
        r"json\.(routes|endpoints)\.\d+\..*|json\.limit",
        "Routes in dialect A have the key `limit`, as in later versions; traffic splits are in the lists.",
        "Old clients ignore the key; a route that can be called should be listed.",
        lambda difference, both: difference.theirs == ABSENT,
    ),
    Rule(
        "provider details",
        r"json\.(metadata\.model|candidates\.\d+\.metadata\.seed)|upstream\.\d+\.body\.(model|parameters\.decoder_input_details)",
        "Azure gets the model in addition to the deployment. The gateway does not ask Text Generation "
        "Inference for each token of the prompt, and does not return its seed in dialect A.",
        "Azure ignores the model. The list of tokens is as long as the prompt, and only its length would be used.",
        lambda difference, both: difference.case.partition(":")[0] in ("azure", "azuread", "tgi"),
    ),
)


def table() -> str:
    """The page's table: a row a rule."""
    lines = ["| what differs | why |", "|---|---|"]
    lines += [f"| {rule.what} | {rule.why} |" for rule in RULES]
    return "\n".join(lines) + "\n"
