"""Inputs that grow: requests, answers, streams and errors whose one part is repeated until they have about so many bytes."""

from __future__ import annotations

import json
from collections.abc import Callable

Maker = Callable[[int], bytes]


def many(item: str, size: int) -> list[str]:
    """`item`, in which # is its number, until they have `size` characters."""
    return [item.replace("#", str(index)) for index in range(max(1, size // (len(item) + 1)))]


def _list(item: str) -> Callable[[int], str]:
    return lambda size: "[" + ",".join(many(item, size)) + "]"


def _text(unit: str) -> Callable[[int], str]:
    return lambda size: json.dumps(unit * (size // len(json.dumps(unit)) + 1))


def _object(item: str) -> Callable[[int], str]:
    return lambda size: "{" + ",".join(many(item, size)) + "}"


def body(template: str, part: Callable[[int], str]) -> Maker:
    return lambda size: template.replace("@", part(size)).encode()


_CALL = '{"id":"call_#","type":"function","function":{"name":"f","arguments":"{}"}}'
_TOOL = '{"type":"function","function":{"name":"f#","description":"d","parameters":{"type":"object"}}}'
_URL = '{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}'
_USER = '{"role":"user","content":"hi"}'
_ASKS = f'"model":"r","messages":[{_USER}]'
# What a caller can repeat in a chat, by the member it stands in.
CHATS: dict[str, Maker] = {
    "a long text": body('{"model":"r","messages":[{"role":"user","content":@}]}', _text("word ")),
    "a text of escapes": body('{"model":"r","messages":[{"role":"user","content":@}]}', _text('"\\\n\u0001')),
    "a picture": body(
        '{"model":"r","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":@}}]}]}',
        lambda size: f'"data:image/png;base64,{"A" * (size // 4 * 4)}"',
    ),
    "messages": body('{"model":"r","messages":@}', _list(_USER)),
    "messages of the system": body(
        f'{{"model":"r","messages":[{_USER},@]}}', lambda size: ",".join(many('{"role":"system","content":"s"}', size))
    ),
    "turns": body('{"model":"r","messages":@}', _list(f'{_USER},{{"role":"assistant","content":"ok"}}')),
    "parts": body('{"model":"r","messages":[{"role":"user","content":@}]}', _list('{"type":"text","text":"x"}')),
    "pictures": body('{"model":"r","messages":[{"role":"user","content":@}]}', _list(_URL)),
    "calls of tools": body(f'{{"model":"r","messages":[{_USER},{{"role":"assistant","tool_calls":@}}]}}', _list(_CALL)),
    "results of tools": body(
        f'{{"model":"r","messages":[{_USER},@]}}',
        lambda size: ",".join(
            [f'{{"role":"assistant","tool_calls":[{",".join(many(_CALL, size // 2))}]}}']
            + many('{"role":"tool","tool_call_id":"call_#","content":"ok"}', size // 2)
        ),
    ),
    "tools": body(f'{{{_ASKS},"tools":@}}', _list(_TOOL)),
    "stop words": body(f'{{{_ASKS},"stop":@}}', _list('"s#"')),
    "biases": body(f'{{{_ASKS},"logit_bias":@}}', _object('"#":1')),
    "metadata": body(f'{{{_ASKS},"metadata":@}}', _object('"k#":"v"')),
    "members": body(f"{{{_ASKS},@}}", lambda size: ",".join(many('"m#":1', min(size, 7000)))),
    "a key twice at the end": body(f'{{{_ASKS},"metadata":@,"model":"r"}}', _object('"k#":"v"')),
    "blanks": body(f"{{{_ASKS},@}}", lambda size: " " * size + '"x"' + "\n" * size + ":1"),
    "a schema": body(
        f'{{{_ASKS},"response_format":{{"type":"json_schema","json_schema":{{"name":"n","schema":@}}}}}}',
        _object('"p#":{"type":"string"}'),
    ),
    "a deep schema": body(f'{{{_ASKS},"metadata":@}}', lambda size: "[" * (size // 2) + "]" * (size // 2)),
    "a long number": body(f'{{{_ASKS},"seed":@}}', lambda size: "9" * size),
    "a long key": body(f"{{{_ASKS},@:1}}", _text("k")),
}
COMPLETIONS: dict[str, Maker] = {
    "a long prompt": body('{"model":"r","prompt":@}', _text("word ")),
    "prompts": body('{"model":"r","prompt":@}', _list('"p#"')),
    "token ids": body('{"model":"r","prompt":@}', _list("1")),
    "stop words": body('{"model":"r","prompt":"p","stop":@}', _list('"s#"')),
}
EMBEDDINGS: dict[str, Maker] = {
    "a long text": body('{"model":"r","input":@}', _text("word ")),
    "texts": body('{"model":"r","input":@}', _list('"t#"')),
    "token ids": body('{"model":"r","input":@}', _list("[1,2]")),
}

# ------------------------------------------------------------------------------------- answers of OpenAI's format

_HEAD = '"id":"x","object":"chat.completion","created":1,"model":"m"'
ANSWERS: dict[str, Maker] = {
    "openai a long text": body(
        f'{{{_HEAD},"choices":[{{"index":0,"message":{{"role":"assistant","content":@}},"finish_reason":"stop"}}]}}',
        _text("word "),
    ),
    "openai choices": body(
        f'{{{_HEAD},"choices":@}}',
        _list('{"index":#,"message":{"role":"assistant","content":"x"},"finish_reason":"stop"}'),
    ),
    "openai calls": body(
        f'{{{_HEAD},"choices":[{{"index":0,"message":{{"role":"assistant","tool_calls":@}},"finish_reason":"stop"}}]}}',
        _list(_CALL),
    ),
    "openai thoughts": body(
        f'{{{_HEAD},"choices":[{{"index":0,"message":{{"role":"assistant","content":[{{"type":"thinking","thinking":@}}]}},'
        '"finish_reason":"stop"}]}',
        _list('{"type":"text","text":"x"}'),
    ),
    "openai members": body(f'{{{_HEAD},"choices":[],@}}', lambda size: ",".join(many('"m#":1', size))),
    "openai vectors": body(
        '{"object":"list","model":"m","data":@}', _list('{"object":"embedding","index":#,"embedding":[0.5,1]}')
    ),
    "openai texts": body(f'{{{_HEAD},"choices":@}}', _list('{"index":#,"text":"x","finish_reason":"stop"}')),
    "anthropic blocks": body(
        '{"id":"m","type":"message","role":"assistant","model":"m","content":@,"stop_reason":"end_turn"}',
        _list('{"type":"text","text":"x"}'),
    ),
    "anthropic calls": body(
        '{"id":"m","type":"message","role":"assistant","model":"m","content":@,"stop_reason":"tool_use"}',
        _list('{"type":"tool_use","id":"t#","name":"f","input":{}}'),
    ),
    "cohere blocks": body(
        '{"id":"m","finish_reason":"COMPLETE","message":{"role":"assistant","content":@}}',
        _list('{"type":"text","text":"x"}'),
    ),
    "cohere calls": body(
        '{"id":"m","finish_reason":"COMPLETE","message":{"role":"assistant","tool_calls":@}}', _list(_CALL)
    ),
    "cohere citations": body(
        '{"generation_id":"m","finish_reason":"COMPLETE","text":"x","citations":@}', _list('{"start":#,"end":1}')
    ),
    "cohere vectors": body('{"id":"m","embeddings":{"float":@},"texts":["t"]}', _list("[0.5,1]")),
    "huggingface texts": body("@", _list('{"generated_text":"x"}')),
    "vectors": body("@", _list("[0.5,1]")),
    "predictions": body('{"predictions":@,"outputs":["x"]}', _list('"x"')),
}

# ------------------------------------------------------------------------------------------------- streams


def events(first: str, item: str, last: str = "", lines: bool = False) -> Maker:
    """One event an `item`. `lines`: each a line of JSON in place of an SSE event."""

    def make(size: int) -> bytes:
        items = [*([first] if first else []), *many(item, size), *([last] if last else [])]
        if lines:
            return "".join(f"{each}\n" for each in items).encode()
        return "".join(each if each.startswith(("event:", ":")) else f"data: {each}\n\n" for each in items).encode()

    return make


def _named(kind: str, rest: str) -> str:
    return f'event: {kind}\ndata: {{"type":"{kind}",{rest}}}\n\n'


def _delta(delta: str, more: str = "") -> str:
    return f'{{"id":"x","choices":[{{"index":0,"delta":{delta}{more}}}]}}'


_START = _named("message_start", '"message":{"id":"m","role":"assistant","model":"m","content":[]}')
_BEGUN = '{"type":"message-start","id":"x","delta":{"message":{"role":"assistant"}}}'
_OPEN = (
    '{"type":"tool-call-start","index":%s,"delta":{"message":{"tool_calls":{"id":"t#","type":"function",'
    '"function":{"name":"f","arguments":""}}}}}'
)
STREAMS: dict[str, Maker] = {
    "openai text": events("", _delta('{"content":"x"}'), "[DONE]"),
    "openai arguments": events(
        _delta('{"tool_calls":[{"index":0,"id":"a","function":{"name":"f"}}]}'),
        _delta('{"tool_calls":[{"index":0,"function":{"arguments":"x"}}]}'),
    ),
    "openai calls": events("", _delta('{"tool_calls":[{"index":#,"id":"a#","function":{"name":"f"}}]}')),
    "openai calls without numbers": events("", _delta('{"tool_calls":[{"id":"a#","function":{"name":"f"}}]}')),
    "openai calls, then ends": lambda size: (
        events("", _delta('{"tool_calls":[{"index":#,"id":"a#"}]}'))(size // 2)
        + events("", _delta("{}", ',"finish_reason":"stop"'))(size // 2)
    ),
    "openai calls in one event": lambda size: events(
        "", _delta('{"tool_calls":[' + ",".join(many('{"index":#,"id":"a#"}', size)) + "]}")
    )(1),
    "openai choices": events("", '{"id":"x","choices":[{"index":#,"delta":{"content":"x"}}]}'),
    "openai thoughts": events("", _delta('{"reasoning_content":"x"}')),
    "openai thoughts in one event": lambda size: events(
        "",
        _delta(
            '{"content":[' + ",".join(many('{"type":"thinking","thinking":[{"type":"text","text":"x"}]}', size)) + "]}"
        ),
    )(1),
    "openai strangers": events("", '{"id":"x","choices":[],"m#":1}'),
    "openai texts": events("", '{"id":"x","choices":[{"index":0,"text":"x"}]}'),
    "comments": events("", ": nothing\n\n"),
    "one long event": lambda size: b"data: " + b"x" * size,
    "line ends": lambda size: b"\r\n" * (size // 2),
    "carriage returns": lambda size: b"data: x\r\r" * (size // 9),
    "lines of one event": lambda size: b"data: x\n" * (size // 8) + b"\n",
    "anthropic text": events(
        _START + _named("content_block_start", '"index":0,"content_block":{"type":"text","text":""}'),
        _named("content_block_delta", '"index":0,"delta":{"type":"text_delta","text":"x"}'),
    ),
    "anthropic blocks": events(
        _START,
        _named("content_block_start", '"index":#,"content_block":{"type":"text","text":"x"}')
        + _named("content_block_stop", '"index":#'),
    ),
    "anthropic calls, none closed": events(
        _START,
        _named("content_block_start", '"index":#,"content_block":{"type":"tool_use","id":"t#","name":"f","input":{}}'),
    ),
    "anthropic arguments": events(
        _START
        + _named("content_block_start", '"index":0,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}'),
        _named("content_block_delta", '"index":0,"delta":{"type":"input_json_delta","partial_json":"x"}'),
    ),
    "cohere text": events(_BEGUN, '{"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"x"}}}}'),
    "cohere calls": events(_BEGUN, _OPEN % "#" + "\n\ndata: " + '{"type":"tool-call-end","index":#}'),
    "cohere calls, none closed": events(_BEGUN, _OPEN % "#"),
    "cohere blank arguments": events(
        _BEGUN + "\n\ndata: " + _OPEN.replace("#", "0") % "0",
        '{"type":"tool-call-delta","index":0,"delta":{"message":{"tool_calls":{"function":{"arguments":" "}}}}}',
    ),
    "cohere ends": lambda size: (
        events(_BEGUN, _OPEN % "#")(size // 2)
        + events("", '{"type":"message-end","delta":{"finish_reason":"COMPLETE"}}')(size // 2)
    ),
    "cohere lines": events(
        '{"event_type":"stream-start","generation_id":"x"}', '{"event_type":"text-generation","text":"x"}', lines=True
    ),
    "huggingface": events(
        "", '{"index":#,"token":{"id":1,"text":"x","logprob":0,"special":false},"generated_text":null}'
    ),
}
ERRORS: dict[str, Maker] = {
    "a long message": body('{"error":{"message":@,"type":"t","code":"c"}}', _text("word ")),
    "a message of keys": body('{"error":{"message":@}}', _text("sk-ant-api03-")),
    "a message of tokens": body('{"error":{"message":@}}', _text("eyJ-")),
    "a plain text": lambda size: b"word " * (size // 5),
    "details": body('{"detail":@,"message":"m"}', _list('{"loc":["body",#],"msg":"m","type":"t"}')),
    "errors": body('{"error":"e","errors":@}', _list('"e#"')),
    "deep": lambda size: b'{"error":' * (size // 10) + b"1" + b"}" * (size // 10),
}
