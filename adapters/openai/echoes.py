"""Which reasoning of a typed request is sent to a provider of this format, and which members of the history it
refuses, according to its row."""

from __future__ import annotations

from adapters.contract import Target
from adapters.echoes import Echoes
from adapters.openai.thinking_parts import THINKING_NAMES, is_part, part_kind
from sidecar.v1 import inference_pb2 as pb


def echoes_of(target: Target) -> Echoes:
    """Members in which clients keep reasoning are sent unchanged, unless the row leaves them out."""
    leaves = target.provider.leaves
    seals = bool(target.provider.options.get("reasoning_details"))

    def takes(thought: pb.Thinking) -> bool:
        if is_part(thought):
            return f"messages[].content[].{part_kind(thought)}" not in leaves
        if thought.signature or thought.redacted:
            return seals
        native = thought.native_name
        return native in THINKING_NAMES and f"messages[].{native}" not in leaves

    return Echoes(takes, leaves, knows=target.provider.options.get("turns_know"))
