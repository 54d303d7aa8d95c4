"""An item of a streamed response while it is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from adapters.json_object import MALFORMED, OBJECTS
from sidecar.v1 import inference_pb2 as pb

# Longer arguments are not looked at to see whether they are complete: their call is done when the answer is.
_LOOKED_AT_CHARS_MAX = 16_384


@dataclass(slots=True)
class OpenItem:
    """One that is not done."""

    number: int  # output_index
    id: str
    thought: pb.Thinking | None = None
    call: pb.ToolCall | None = None
    texts: list[str] = field(default_factory=list)  # of the part, the summary or the arguments that are being written
    size: int = 0  # characters of arguments
    part: str = ""  # "text" or "refusal", of a message
    parts: list[dict[str, Any]] = field(default_factory=list)  # of a message, those that are done
    logprobs: list[dict[str, Any]] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)  # of the part
    summary: bool = False  # whether there is one

    @property
    def has_whole_arguments(self) -> bool:
        """Of a call: whether nothing more can come to it, as far as can be seen."""
        assert self.call is not None
        if self.call.HasField("custom_input") or self.size > _LOOKED_AT_CHARS_MAX:
            return False
        if not (self.texts and self.texts[-1].rstrip().endswith("}")):
            return False
        try:
            OBJECTS.decode("".join(self.texts))
        except MALFORMED:
            return False
        return True
