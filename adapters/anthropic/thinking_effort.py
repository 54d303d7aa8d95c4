"""How long to think: Anthropic says it in tokens or words, others in words or not at all."""

from __future__ import annotations

import msgspec

from adapters.contract import Target
from adapters.json_object import Obj, of_request
from sidecar.v1 import inference_pb2 as pb

# Of a budget in tokens. Anthropic's least is 1,024; half of what is used is below 16,384.
_BUDGETS = ((4_096, "low"), (16_384, "medium"))
# Anthropic's two highest words, where the least common of the others' is the highest.
_WORDS = {"max": "high", "xhigh": "high"}


def takes_effort(target: Target) -> bool:
    """Whether `reasoning_effort` may be sent: most models refuse it, so the provider's row must say that it is taken, and by
    which models."""
    models: tuple[str, ...] = target.provider.options.get("reasoning_effort_models", ())
    return target.model.lower().rpartition("/")[2].startswith(models) if models else False


def fit_effort(request: pb.ChatRequest, target: Target, thinking: msgspec.Raw | None) -> None:
    """`thinking` and the effort as a reasoning_effort that the target takes, or none."""
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
    """ "" where there is none: adaptive, or the -1 of some clients."""
    budget = thinking.integer("budget_tokens")
    if budget is None or budget <= 0:
        return ""
    return next((word for most, word in _BUDGETS if budget <= most), "high")


def _least(model: str) -> str:
    """The word for as little as can be: gpt-5 and its small ones know minimal, those after them none, older ones neither."""
    if not model.startswith("gpt-5"):
        return ""
    return "none" if model.startswith("gpt-5.") else "minimal"
