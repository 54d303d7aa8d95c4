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
        "Parameters the caller did not send are not sent to the provider; MLflow sends temperature 0.0 and one answer.",
        "A default of a gateway's own changes answers, and some models refuse a temperature at all.",
        _is_default,
    ),
    Rule(
        "provider failures",
        r"status|json(\.detail.*)?",
        "A provider's failure has a status that tells the caller what to do: 424 for a key or a model it refuses, for its own "
        "rate limit and for an answer that is none, 504 where it cannot be reached or fails. MLflow passes 401, 404, 429 and "
        "500 on, or says 500 or 502.",
        "A provider's 401 is not the caller's; and MLflow's clients repeat 429, 500, 502 and 503 for a minute, a call of the "
        "provider each time.",
        lambda difference, both: both.theirs["status"] != both.ours["status"] and both.ours["status"] in (424, 504),
    ),
    Rule(
        "attempts",
        r"upstream\.1\..*",
        "A call that failed for a moment is tried once more before the caller gets an error. MLflow never does.",
        "The gateway knows better than its callers which failures are worth it, and they then need not repeat it themselves.",
        lambda difference, both: both.theirs["upstream"][0]["target"] == both.ours["upstream"][1]["target"],
    ),
    Rule(
        "no 500",
        r"status|json.*",
        "What MLflow answers with a 500 without a body in JSON is answered: text that is null, other finish reasons, tool calls; "
        "or refused with 400 or 404: page tokens, `/v1` without a model or with one that is not there.",
        "They are errors in MLflow's own code.",
        lambda difference, both: both.theirs["status"] == 500 and both.ours["status"] in (200, 400, 404),
    ),
    Rule(
        "words",
        r"json\.(detail(\.reason|\.message)?|error\..*)",
        "Where the status is the same, the words may differ. Errors of `/v1` paths and of the front proxy itself (unknown paths, "
        'methods) are OpenAI\'s `{"error": ...}`.',
        "They name the route and the provider; and `/v1` is called by OpenAI's SDKs, which read nothing else.",
        lambda difference, both: both.statuses[0] == both.statuses[1] >= 400,
    ),
    Rule(
        "links",
        r"json\.detail\.\d+\.url",
        "Problems of a request come without the link to pydantic's pages.",
        "It depends on the versions MLflow happens to be installed with.",
    ),
    Rule(
        "limits",
        r"status|json\.(detail|limits.*)",
        "Limits can be read and, by admins, set: `/api/2.0/gateway/limits/`. MLflow's open source servers answer 501.",
        "Its clients have the calls, and the shapes are documented.",
        lambda difference, both: both.theirs["status"] == 501,
    ),
    Rule(
        "refused at once",
        r"status|json.*|upstream.*",
        "Refused with 422 before the provider is asked: a stream in dialect A (MLflow: 502 after the call), `n` for completions "
        "in it (400), numbers in strings and no texts at all (accepted), a key that stands twice (the last one wins).",
        "None of them can mean what the caller hoped for; a call that was paid for and thrown away is worse.",
        lambda difference, both: both.ours["status"] == 422 and difference.case in _REFUSED,
    ),
    Rule(
        "json only",
        r"status|json.*",
        "A body of another type than `application/json` is 415. MLflow: 422, with its text read as a string.",
        "The front proxy refuses it, before it reaches the gateway.",
        lambda difference, both: both.statuses == (422, 415),
    ),
    Rule(
        "whole format",
        r"status|json.*|upstream.*",
        "Dialect B takes what OpenAI takes: `stop` as one string, tools whose parameters have no properties. MLflow: 422.",
        "The provider understands them, and its SDKs send them.",
        lambda difference, both: both.statuses == (422, 200),
    ),
    Rule(
        "members",
        r"json\.(events\.\d+\.)?(provider|system_fingerprint|usage\..*|choices\.\d+\.(logprobs|(message|delta)(\.\w+)?))",
        "Answers hold every member the provider sent, and none it did not. MLflow drops what it does not know, adds `provider`, "
        "and writes null where there is nothing.",
        "An answer in the caller's own format is passed on as it is.",
        _is_left_out,
    ),
    Rule(
        "streams",
        r"json\.events\..*",
        "Streams end with `data: [DONE]`, and usage comes only to who asked for it. MLflow: no end marker, usage always.",
        "OpenAI's SDKs wait for it; a client that does not ask may not expect an event without choices.",
        lambda difference, both: difference.ours == "[DONE]" or difference.ours == ABSENT,
    ),
    Rule(
        "endpoint_url",
        r"json\.(endpoints\.\d+\.)?endpoint_url",
        "`endpoint_url` is `/endpoints/{name}/invocations`. MLflow says `/gateway/{name}/invocations`.",
        "There dialect B is certain; MLflow's own issue 11049 asks for it.",
        lambda difference, both: str(difference.ours).startswith("/endpoints/"),
    ),
    Rule(
        "lists",
        r"json\.(routes|endpoints)\.\d+\..*|json\.limit",
        "Routes of dialect A have the key `limit`, as in later versions; routes that split traffic are in the lists.",
        "Old clients ignore it; a route that can be called should be found.",
        lambda difference, both: difference.theirs == ABSENT,
    ),
    Rule(
        "provider details",
        r"json\.(metadata\.model|candidates\.\d+\.metadata\.seed)|upstream\.\d+\.body\.(model|parameters\.decoder_input_details)",
        "Azure gets the model in addition to the deployment. Text Generation Inference is not asked for the prompt's tokens one "
        "by one, and its seed is not given out in dialect A.",
        "Azure ignores it. The list is as long as the prompt, and only its length would be used.",
        lambda difference, both: difference.case.partition(":")[0] in ("azure", "azuread", "tgi"),
    ),
)


def table() -> str:
    """The page's table: a row a rule."""
    lines = ["| what differs | why |", "|---|---|"]
    lines += [f"| {rule.what} | {rule.why} |" for rule in RULES]
    return "\n".join(lines) + "\n"
