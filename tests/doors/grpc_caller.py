"""The typed service as its callers use it."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

import grpc

from adapters.chunks import accumulate_chat
from sidecar.v1 import inference_pb2 as pb
from tests.doors.neutral import PNG, SCHEMA, SYSTEM, TOOL, Answer, Ask, Call

_FINISHES = {pb.FINISH_REASON_STOP: "stop", pb.FINISH_REASON_TOOL_CALLS: "tool_calls"}


@dataclass(frozen=True, slots=True)
class GrpcCaller:
    path: str = ""
    too_many: object = grpc.StatusCode.RESOURCE_EXHAUSTED

    def request(self, ask: Ask) -> pb.ChatRequest:
        user = pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text=ask.text)])
        if ask.image:
            user.content.add().image.CopyFrom(pb.Image(data=base64.b64decode(PNG), mime_type="image/png"))
        request = pb.ChatRequest(
            route=ask.route,
            messages=[pb.Message(role=pb.ROLE_SYSTEM, content=[pb.ContentPart(text=SYSTEM)]), user],
            max_completion_tokens=4096,
        )
        if ask.after is not None:
            request.messages.append(ask.after.native)
            for number, call in enumerate(ask.after.calls):
                result = [pb.ContentPart(text=f"found {number}")]
                request.messages.add(role=pb.ROLE_TOOL, tool_call_id=call.id, content=result)
        if ask.tools:
            request.tools.add().function.CopyFrom(pb.FunctionTool(name=TOOL, parameters_json='{"type":"object"}'))
        if ask.thinks:
            request.reasoning_effort = "high"
        if ask.schema:
            request.response_format.json_schema.name = "city"
            request.response_format.json_schema.schema_json = json.dumps(SCHEMA)
        return request

    def read(self, body: pb.ChatResponse) -> Answer:
        (choice,) = body.choices
        parts = choice.message.content
        text = "".join(part.text for part in parts if part.WhichOneof("part") == "text")
        thought = "".join(part.thinking.text for part in parts if part.WhichOneof("part") == "thinking")
        calls = [Call(each.id, each.name, json.loads(each.arguments_json)) for each in choice.message.tool_calls]
        counts = (body.usage.input_tokens, body.usage.output_tokens)
        return Answer(text, thought, calls, _FINISHES[choice.finish_reason], counts, choice.message)

    def read_stream(self, text: Any) -> Answer:
        return self.read(accumulate_chat(text))
