"""Decodes a Responses body, for upstreams of another format."""

from __future__ import annotations

import msgspec

from adapters.contract import Envelope
from adapters.copies import extend
from adapters.errors import GatewayError, Kind
from adapters.json_object import Obj, decoded_string, of_request
from adapters.responses.items import Conversation, type_name
from adapters.responses.tool_names import flat_name
from adapters.tool_results import behind_their_calls
from sidecar.v1 import inference_pb2 as pb

_MODES = {
    "none": pb.ToolChoice.MODE_NONE,
    "auto": pb.ToolChoice.MODE_AUTO,
    "required": pb.ToolChoice.MODE_REQUIRED,
}
# Members that change the answer or need stored answers: refused by name, unless they have no effect.
_REFUSED = (
    "previous_response_id",
    "conversation",
    "prompt",
    "background",
    "context_management",
    "max_tool_calls",
    "moderation",
)
_NOTHING = (b"null", b"false", b"[]", b"{}")
_MEMORY = {
    "previous_response_id": (
        "'previous_response_id' refers to an answer that is not stored here. Send the whole conversation as "
        "input (store: false "
        "in the client), or have the operator set `responses: {remember: 1h}` in the config."
    ),
    "conversation": (
        "'conversation' names an object of OpenAI's Conversations API, which this route's provider does not "
        "have. Send the whole "
        "conversation as input, or use previous_response_id if answers are stored."
    ),
}
_LOGPROBS = "message.output_text.logprobs"
# Requested by everyone, and always part of the answer.
_THOUGHTS = "reasoning.encrypted_content"
# Hints with a field of the same name.
_WORDS = ("user", "safety_identifier", "prompt_cache_key", "service_tier")
# Names of left-out members that are metric labels; all others count as "other".
LEFT_OUT = frozenset(
    {
        "client_metadata",
        "include",
        "input[].item_reference",
        "input[].reasoning",
        "prompt_cache_retention",
        "reasoning.summary",
    }
    | {"store"}
    | {
        f"tools[].{name}"
        for name in ("apply_patch", "code_interpreter", "computer_use_preview", "defer_loading", "file_search")
    }
    | {f"tools[].{name}" for name in ("image_generation", "local_shell", "mcp", "shell", "tool_search", "web_search")}
    | {
        f"input[].{name}_call"
        for name in ("code_interpreter", "file_search", "image_generation", "mcp", "tool_search", "web_search")
    }
)
# Members about sending rather than answering.
_SETTLED = frozenset({"model", "stream", "store", "truncation", "input", "include", "stream_options"})


def decode_request(envelope: Envelope) -> pb.ChatRequest:
    """Raises invalid_request for what is malformed, unsupported_parameter for what needs stored answers or a tool
    of OpenAI's."""
    return _Reader(envelope).request


def read(envelope: Envelope) -> tuple[pb.ChatRequest, tuple[str, ...]]:
    """Returns the request, and the names of members without effect that no other format supports. Raises what
    `decode_request` raises."""
    reader = _Reader(envelope)
    return reader.request, tuple(reader.left_out)


class _Reader:
    def __init__(self, envelope: Envelope) -> None:
        self.request = pb.ChatRequest(route=envelope.model)
        self.left_out: dict[str, None] = {}
        self._remembers = bool(envelope.answers)
        self._obj = Obj(b"{}", "", of_request)
        self._obj.members = {name: msgspec.Raw(raw) for name, raw in envelope.members.items()}
        self._refuse()
        self._read_messages()
        self._read_tools()
        self._read_choice()
        self._read_text()
        self._read_sampling()
        self._read_hints()

    def _refuse(self) -> None:
        for name in _REFUSED:
            raw = self._obj.members.pop(name, None)
            if raw is None or bytes(raw) in _NOTHING:
                continue
            text = _MEMORY.get(name)
            if text is None:
                text = f"'{name}' works only on routes whose provider has OpenAI's Responses API."
            raise GatewayError(Kind.UNSUPPORTED_PARAMETER, text, param=name)
        if (truncation := self._obj.string("truncation")) not in (None, "disabled"):
            text = f"'truncation' {truncation!r} works only on routes whose provider has OpenAI's Responses API."
            raise GatewayError(Kind.UNSUPPORTED_PARAMETER, text, param="truncation")

    def _read_messages(self) -> None:
        conversation = Conversation()
        if instructions := self._obj.string("instructions"):
            conversation.messages.append(pb.Message(role=pb.ROLE_SYSTEM, content=[pb.ContentPart(text=instructions)]))
        if (raw := self._obj.take("input")) is None:
            raise of_request("input", "a string or an array")
        conversation.read(raw, "input")
        if not any(message.role != pb.ROLE_SYSTEM for message in conversation.messages):
            raise of_request("input", "a text or items, at least one")
        extend(self.request.messages, behind_their_calls(conversation.messages))
        self.left_out |= conversation.left_out

    def _read_tools(self) -> None:
        for tool in self._obj.objects("tools"):
            self._read_tool(tool, "")

    def _read_tool(self, tool: Obj, namespace: str) -> None:
        kind = tool.string("type") or ""
        if kind == "function":
            self._read_function(tool, namespace)
        elif kind == "custom":
            custom = self.request.tools.add().custom
            custom.name = flat_name("", _name(tool))
            if (description := tool.string("description")) is not None:
                custom.description = description
            if (form := tool.object("format")) is not None and (written := _format(form)) is not None:
                custom.format_json = written
        elif kind == "namespace" and not namespace:
            name = _name(tool)
            for inner in tool.objects("tools"):
                self._read_tool(inner, name)
        elif not kind:
            raise of_request(tool.at("type"), "a string")
        else:  # a tool of the provider's own
            self.left_out[f"tools[].{type_name(tool, kind)}"] = None

    def _read_function(self, tool: Obj, namespace: str) -> None:
        function = self.request.tools.add().function
        function.name = flat_name(namespace, _name(tool))
        if (description := tool.string("description")) is not None:
            function.description = description
        if (parameters := tool.json("parameters")) is not None:
            function.parameters_json = parameters
        if (strict := tool.boolean("strict")) is not None:
            function.strict = strict
        for name in ("defer_loading", "allowed_callers", "output_schema"):
            if tool.take(name) is not None:
                self.left_out[f"tools[].{name}"] = None

    def _read_choice(self) -> None:
        request = self.request
        parallel = self._obj.boolean("parallel_tool_calls")
        if parallel is not None and request.tools:
            request.parallel_tool_calls = parallel
        raw = self._obj.take("tool_choice")
        if raw is None:
            return
        if raw.startswith(b'"'):
            self._set_mode(decoded_string(raw, "tool_choice", of_request))
            return
        choice = Obj(raw, "tool_choice", of_request)
        kind = choice.string("type") or ""
        if kind == "function":
            request.tool_choice.function_name = flat_name(choice.string("namespace") or "", _name(choice))
        elif kind == "custom":
            request.tool_choice.custom_name = flat_name("", _name(choice))
        elif kind == "allowed_tools":
            self._allow(choice)
        else:
            text = f"'tool_choice' asks for {kind or 'a tool'}, which this route's provider does not have."
            raise GatewayError(Kind.UNSUPPORTED_PARAMETER, text, param="tool_choice")

    def _set_mode(self, word: str) -> None:
        if word not in _MODES:
            raise of_request("tool_choice", f"one of {', '.join(_MODES)}, or an object")
        if self.request.tools:
            self.request.tool_choice.mode = _MODES[word]
        elif word == "required":
            text = "'tool_choice' is 'required', and the route's provider has none of the tools."
            raise GatewayError(Kind.UNSUPPORTED_PARAMETER, text, param="tool_choice")

    def _allow(self, choice: Obj) -> None:
        """Only these tools are sent."""
        allowed = {
            flat_name(tool.string("namespace") or "", tool.string("name") or "") for tool in choice.objects("tools")
        }
        kept = [
            tool
            for tool in self.request.tools
            if (tool.function.name if tool.WhichOneof("kind") == "function" else tool.custom.name) in allowed
        ]
        copies = pb.ChatRequest(tools=kept)
        del self.request.tools[:]
        self.request.tools.extend(copies.tools)
        if not kept:
            self.request.ClearField("parallel_tool_calls")
        self._set_mode(choice.string("mode") or "auto")

    def _read_text(self) -> None:
        text = self._obj.object("text")
        if text is None:
            return
        if (verbosity := text.string("verbosity")) is not None:
            self.request.verbosity = verbosity
        if (form := text.object("format")) is None:
            return
        into = self.request.response_format
        match form.string("type"):
            case "text":
                self.request.ClearField("response_format")
            case "json_object":
                into.json_object.SetInParent()
            case "json_schema":
                schema = into.json_schema
                schema.name = _name(form)
                if (description := form.string("description")) is not None:
                    schema.description = description
                if (strict := form.boolean("strict")) is not None:
                    schema.strict = strict
                schema.schema_json = form.json("schema") or "{}"
            case _:
                raise of_request("text.format.type", "one of text, json_object, json_schema")

    def _read_sampling(self) -> None:
        obj, request = self._obj, self.request
        for name in ("temperature", "top_p", "presence_penalty", "frequency_penalty"):
            if (value := obj.number(name)) is not None:
                setattr(request, name, value)
        if (limit := obj.integer("max_output_tokens")) is not None:
            request.max_completion_tokens = limit
        if top := obj.integer("top_logprobs"):
            request.top_logprobs, request.logprobs = top, True
        reasoning = obj.object("reasoning")
        if reasoning is not None:
            if (effort := reasoning.string("effort")) is not None:
                request.reasoning_effort = effort
            for name in ("summary", "generate_summary"):
                if reasoning.string(name) not in (None, "auto"):
                    self.left_out[f"reasoning.{name}"] = None
            for name in ("mode", "context"):
                if reasoning.take(name) is not None:
                    text = f"'reasoning.{name}' works only on routes whose provider has OpenAI's Responses API."
                    raise GatewayError(Kind.UNSUPPORTED_PARAMETER, text, param=f"reasoning.{name}")

    def _read_hints(self) -> None:
        obj, request = self._obj, self.request
        for name in _WORDS:
            if (value := obj.string(name)) is not None:
                setattr(request, name, value)
        if (metadata := obj.object("metadata")) is not None:
            for name in list(metadata.members):
                if (value := metadata.string(name)) is not None:
                    request.metadata[name] = value
        for raw, path in obj.array("include") or ():
            wanted = decoded_string(raw, path, of_request)
            if wanted == _LOGPROBS:
                request.logprobs = True
            elif wanted != _THOUGHTS:
                self.left_out["include"] = None
        if obj.boolean("store") and not self._remembers:
            self.left_out["store"] = None
        for name, raw in obj.members.items():
            if name not in _SETTLED and bytes(raw) not in _NOTHING:
                self.left_out[name] = None


def _format(form: Obj) -> str | None:
    """As in chat completions: with the grammar in a separate object."""
    kind = form.string("type")
    rest = form.extra()
    if kind != "grammar" or rest is None:
        return None  # any text
    return '{"type":"grammar","grammar":' + rest + "}"


def _name(obj: Obj) -> str:
    name = obj.string("name")
    if not name:
        raise of_request(obj.at("name"), "a string")
    return name
