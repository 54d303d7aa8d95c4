"""Translates the amount of thinking: Anthropic has tokens or words, others have words or nothing."""

from __future__ import annotations

import msgspec

from adapters.contract import Target
from adapters.json_object import Obj, of_request
from sidecar.v1 import inference_pb2 as pb

# Limits of a budget in tokens. Anthropic's minimum is 1,024; half of the budgets in use are below 16,384.
_BUDGETS = ((4_096, "low"), (16_384, "medium"))
# Anthropic's two highest levels map to the highest level common to other providers.
_WORDS = {"max": "high", "xhigh": "high"}


def takes_effort(target: Target) -> bool:
    """Whether `reasoning_effort` may be sent: most models refuse it, so the provider's row lists the models that
    accept it."""
    models: tuple[str, ...] = target.provider.options.get("reasoning_effort_models", ())
    return target.model.lower().rpartition("/")[2].startswith(models) if models else False


def fit_effort(request: pb.ChatRequest, target: Target, thinking: msgspec.Raw | None) -> None:
    """Converts `thinking` and the effort to a reasoning_effort that the target accepts, or none."""
    effort = request.reasoning_effort
    request.ClearField("reasoning_effort")
    if not takes_effort(target):
        return
    if not effort and thinking is not None:
        effort = _of_budget(Obj(thinking, "thinking", of_request))
    if effort == "none":
        effort = _least(target.model.lower())
    if effort:
        request.reasoning_effort = _WORDS.get(effort, effort)


def _of_budget(thinking: Obj) -> str:
    """Returns "" if there is no budget: adaptive, or the -1 of some clients."""
    budget = thinking.integer("budget_tokens")
    if budget is None or budget <= 0:
        return ""
    return next((word for most, word in _BUDGETS if budget <= most), "high")


def _least(model: str) -> str:
    """The lowest level: gpt-5 and its small variants have minimal, later models none, older ones neither."""
    if not model.startswith("gpt-5"):
        return ""
    return "none" if model.startswith("gpt-5.") else "minimal"
