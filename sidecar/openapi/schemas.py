"""The bodies of the REST paths as JSON Schemas, to the extent that helps people to try a call.

Not a validator: OpenAI's format grows every month, and what is not listed here is passed on or refused by name,
never dropped.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def _object(required: tuple[str, ...], /, **properties: Schema) -> Schema:
    found: Schema = {"type": "object", "properties": properties}
    if required:
        found["required"] = list(required)
    return found


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _text(description: str) -> Schema:
    return {"type": "string", "description": description}


def _number(description: str, least: float, most: float) -> Schema:
    return {"type": "number", "minimum": least, "maximum": most, "description": description}


def _whole(description: str, least: int = 1) -> Schema:
    return {"type": "integer", "minimum": least, "description": description}


_FLAG: Schema = {"type": "boolean", "default": False, "description": "Answer with server-sent events."}
_ANY: Schema = {"type": "object", "additionalProperties": True}
_STOP: Schema = {
    "description": "Where to stop: a string, or several.",
    "oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "maxItems": 16}],
}
_STOPS: Schema = {"type": "array", "items": {"type": "string"}, "minItems": 1, "description": "Where to stop."}
_TEXTS: Schema = {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_SAMPLING: dict[str, Schema] = {
    "temperature": _number("0: always the likeliest word. Left to the model if absent.", 0, 2),
    "top_p": _number("Only the likeliest words that make up this share.", 0, 1),
    "max_tokens": _whole("How long the answer may be."),
    "n": _whole("How many answers."),
    "stop": _STOP,
    "seed": {"type": "integer", "description": "The same seed, about the same answer, where the model knows it."},
    "stream": _FLAG,
}
_USAGE = _object(
    (),
    prompt_tokens=_whole("", 0),
    completion_tokens=_whole("", 0),
    total_tokens=_whole("", 0),
)
_MESSAGE = _object(
    ("role", "content"),
    role={"type": "string", "enum": ["system", "developer", "user", "assistant", "tool"]},
    content={
        "description": "Text, or parts: text, image_url, input_audio, file.",
        "oneOf": [{"type": "string"}, {"type": "array", "items": _ANY}, {"type": "null"}],
    },
    tool_calls={"type": "array", "items": _ANY},
    tool_call_id=_text("Which call a tool's message answers."),
    reasoning_content=_text("What the model thought, to show."),
    reasoning_details={
        "type": "array",
        "items": _ANY,
        "description": "The same as the provider signed or encrypted it. Send it back with the message, unchanged.",
    },
)
_MESSAGES: Schema = {"type": "array", "minItems": 1, "items": ref("Message")}
_CHAT: dict[str, Schema] = {
    "messages": _MESSAGES,
    **_SAMPLING,
    "max_completion_tokens": _whole("As max_tokens, by its newer name."),
    "tools": {"type": "array", "items": _ANY, "description": "Functions the model may call."},
    "tool_choice": {"description": "none, auto, required, or one function."},
    "response_format": {**_ANY, "description": "text, json_object, or json_schema with a schema."},
}
_MODEL = _text("The route's name.")
_ROUTE_MODEL = _object((), provider=_text("Who answers."), name=_text("The provider's name of the model."))
_LIMIT: Schema = {
    "oneOf": [
        _object((), calls=_whole("", 0), key={"type": ["string", "null"]}, renewal_period=_text("minute, hour ...")),
        {"type": "null"},
    ]
}
_PAGE_TOKEN = {"type": ["string", "null"], "description": "Where the next page starts; null on the last one."}

_TEXT_OR_BLOCKS: Schema = {
    "description": "Text, or blocks: text, image, document, tool_use, tool_result, thinking.",
    "oneOf": [{"type": "string"}, {"type": "array", "items": _ANY}],
}

SCHEMAS: dict[str, Schema] = {
    "Message": _MESSAGE,
    "ChatRequest": _object(("model", "messages"), model=_MODEL, **_CHAT),
    "CompletionRequest": _object(
        ("model", "prompt"), model=_MODEL, prompt=_TEXTS, **_SAMPLING, suffix=_text("What follows the completion.")
    ),
    "EmbeddingRequest": _object(
        ("model", "input"),
        model=_MODEL,
        input=_TEXTS,
        dimensions=_whole("How long the vectors are."),
        encoding_format={"type": "string", "enum": ["float", "base64"]},
    ),
    "ChatQuery": _object(("messages",), **_CHAT),
    "CompletionQuery": _object(("prompt",), prompt=_text("The text to go on from."), **_SAMPLING),
    "EmbeddingQuery": _object(("input",), input=_TEXTS),
    "Query": {
        "description": "By the route's type: messages, prompt, or input. MLflow's older names (candidate_count, text) get "
        "the older shape of answer.",
        "type": "object",
        "additionalProperties": True,
    },
    "ChatResponse": _object(
        ("choices",),
        id=_text(""),
        object=_text("chat.completion"),
        created={"type": "integer"},
        model=_text("The model that answered."),
        choices={
            "type": "array",
            "items": _object(
                (), index=_whole("", 0), message=ref("Message"), finish_reason={"type": ["string", "null"]}
            ),
        },
        usage=ref("Usage"),
    ),
    "CompletionResponse": _object(
        ("choices",),
        id=_text(""),
        object=_text("text_completion"),
        created={"type": "integer"},
        model=_text("The model that answered."),
        choices={
            "type": "array",
            "items": _object((), index=_whole("", 0), text=_text(""), finish_reason={"type": ["string", "null"]}),
        },
        usage=ref("Usage"),
    ),
    "EmbeddingResponse": _object(
        ("data",),
        object=_text("list"),
        model=_text(""),
        data={
            "type": "array",
            "items": _object(
                (),
                object=_text("embedding"),
                index=_whole("", 0),
                embedding={"oneOf": [{"type": "array", "items": {"type": "number"}}, {"type": "string"}]},
            ),
        },
        usage=ref("Usage"),
    ),
    "Usage": _USAGE,
    "Json": _ANY,
    "Model": _object(("id",), id=_text("The route's name."), object=_text("model"), owned_by=_text("The provider.")),
    "ModelList": _object(("data",), object=_text("list"), data={"type": "array", "items": ref("Model")}),
    "Health": _object(("status",), status=_text("OK")),
    "Route": _object(
        ("name", "route_type", "model", "route_url"),
        name=_text("What callers say."),
        route_type=_text("llm/v1/chat, llm/v1/completions or llm/v1/embeddings"),
        model=_ROUTE_MODEL,
        route_url=_text("Where to post queries."),
        limit=_LIMIT,
    ),
    "RouteList": _object(("routes",), routes={"type": "array", "items": ref("Route")}, next_page_token=_PAGE_TOKEN),
    "RouteSpec": _object(
        ("name", "route_type", "model"),
        name=_text("Letters, digits, _, -, ., : and /; 1 to 128. With * at the end: a wildcard."),
        route_type={"type": "string", "enum": ["llm/v1/chat", "llm/v1/completions", "llm/v1/embeddings"]},
        model={
            "type": "object",
            "description": "provider, name, and config with the provider's settings. A key is stored, never shown again.",
            "additionalProperties": True,
        },
    ),
    "Endpoint": _object(
        ("name", "endpoint_type", "model", "endpoint_url", "limit"),
        name=_text("What callers say."),
        endpoint_type=_text("llm/v1/chat, llm/v1/completions or llm/v1/embeddings"),
        model=_ROUTE_MODEL,
        endpoint_url=_text("Where to post queries."),
        limit=_LIMIT,
    ),
    "EndpointList": _object(
        ("endpoints",), endpoints={"type": "array", "items": ref("Endpoint")}, next_page_token=_PAGE_TOKEN
    ),
    "Limits": _object((), route=_text("The route's name."), limits={"type": "array", "items": _ANY}),
    "Error": _object(
        ("error",),
        error=_object(
            ("message", "type"),
            message=_text("What is wrong."),
            type=_text("What kind of error."),
            param={"type": ["string", "null"]},
            code={"type": ["string", "null"]},
        ),
    ),
    "MessagesRequest": _object(
        ("model", "max_tokens", "messages"),
        model=_MODEL,
        max_tokens=_whole("How long the answer may be."),
        messages={
            "type": "array",
            "minItems": 1,
            "items": _object(
                ("role", "content"),
                role={"type": "string", "enum": ["user", "assistant", "system"]},
                content=_TEXT_OR_BLOCKS,
            ),
        },
        system=_TEXT_OR_BLOCKS,
        tools={"type": "array", "items": _ANY, "description": "name, description, input_schema of each."},
        tool_choice={**_ANY, "description": "auto, any, tool with a name, or none."},
        stop_sequences={"type": "array", "items": {"type": "string"}, "description": "Where to stop."},
        temperature=_number("0: always the likeliest word.", 0, 1),
        top_p=_number("Only the likeliest words that make up this share.", 0, 1),
        thinking={**_ANY, "description": "enabled with budget_tokens, adaptive, or disabled."},
        stream=_FLAG,
    ),
    "MessagesResponse": _object(
        ("content",),
        id=_text(""),
        type=_text("message"),
        role=_text("assistant"),
        model=_text("The model that answered."),
        content={"type": "array", "items": _ANY},
        stop_reason={"type": ["string", "null"]},
        usage=_object((), input_tokens=_whole("", 0), output_tokens=_whole("", 0)),
    ),
    "ResponsesRequest": _object(
        ("model", "input"),
        model=_MODEL,
        input={
            "description": "Text, or items: message, reasoning, function_call, function_call_output and custom ones.",
            "oneOf": [{"type": "string"}, {"type": "array", "items": _ANY}],
        },
        instructions=_text("What the model is told before the input."),
        tools={"type": "array", "items": _ANY, "description": "function, custom and namespace; the provider's own."},
        tool_choice={**_ANY, "description": "none, auto, required, or an object that names a tool."},
        parallel_tool_calls=_FLAG,
        max_output_tokens=_whole("How long the answer may be, thinking included."),
        temperature=_number("0: always the likeliest word.", 0, 2),
        top_p=_number("Only the likeliest words that make up this share.", 0, 1),
        reasoning={**_ANY, "description": "effort: none, minimal, low, medium, high."},
        text={**_ANY, "description": "format: text, json_object or json_schema; verbosity."},
        store={"type": "boolean", "description": "false: this answer is not remembered."},
        previous_response_id=_text("The answer to go on from, where answers are remembered."),
        stream=_FLAG,
    ),
    "ResponsesResponse": _object(
        ("output",),
        id=_text(""),
        object=_text("response"),
        created_at=_whole("In seconds since 1970."),
        status=_text("completed, incomplete or failed."),
        model=_text("The model that answered."),
        output={"type": "array", "items": _ANY},
        usage=_object((), input_tokens=_whole("", 0), output_tokens=_whole("", 0), total_tokens=_whole("", 0)),
    ),
    "ResponseTokenCount": _object(
        ("object", "input_tokens"), object=_text("response.input_tokens"), input_tokens=_whole("", 0)
    ),
    "DeletedResponse": _object(("id", "deleted"), id=_text(""), object=_text("response"), deleted=_FLAG),
    "ResponseItemList": _object(
        ("data", "has_more"),
        object=_text("list"),
        data={"type": "array", "items": _ANY},
        first_id={"type": ["string", "null"]},
        last_id={"type": ["string", "null"]},
        has_more=_FLAG,
    ),
    "TokenCount": _object(("input_tokens",), input_tokens=_whole("", 0)),
    "AnthropicError": _object(
        ("type", "error"),
        type=_text("error"),
        error=_object(("type", "message"), type=_text("What kind of error."), message=_text("What is wrong.")),
        request_id=_text("As in the header x-request-id."),
    ),
    "Detail": _object(("detail",), detail={"description": "What is wrong: a text, or a list of problems."}),
}

# What a new page suggests to send, by a route's task.
EXAMPLES: dict[str, Schema] = {
    "chat": {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 64},
    "completions": {"prompt": "The capital of France is", "max_tokens": 16},
    "embeddings": {"input": "What is a gateway?"},
}
RESPONSES_EXAMPLE: Schema = {"input": "Say hello.", "max_output_tokens": 64}
