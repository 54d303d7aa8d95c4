"""Callers who go on from an earlier answer by its id, on routes whose provider remembers nothing: behind both fronts, several
workers, over a restart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from sidecar.identity.users import add_user, api_key
from tests.processes import wait_until
from tests.provider import Provider, json_reply
from tests.provider.claude import thinks_first
from tests.provider.openai_responses import MESSAGE, answer
from tests.responses.conftest import config
from tests.responses.test_door import PATH, TOOL, sdk
from tests.stack.stack import Stack

CANARY = "what-nobody-may-read-4711"


@pytest.fixture(params=["nginx", "envoy"])
def keeper(request: pytest.FixtureRequest, remembering: dict[str, Stack]) -> Stack:
    return remembering[request.param]


def create(stack: Stack, **members: Any) -> httpx.Response:
    with stack.http() as http:
        return http.post(PATH, json={"model": "chat", **members})


def sent(simulator: Provider) -> list[Any]:
    """The texts that the provider was given last."""
    return [message["content"] for message in simulator.calls[-1].json["messages"]]


@pytest.mark.parametrize("streamed", [False, True])
def test_a_loop_of_tools_goes_on_by_the_id_of_the_answer(keeper: Stack, simulator: Provider, streamed: bool) -> None:
    """Each turn sends what is new alone; the provider sees all of it, thoughts with their signatures."""
    simulator.script = thinks_first
    request: dict[str, Any] = {"input": "What is it?"}
    ids = []
    with sdk(keeper) as client:
        while True:
            request |= {"model": "claude", "tools": [TOOL]}
            if streamed:
                with client.responses.stream(**request) as turns:
                    turn = turns.get_final_response()
            else:
                turn = client.responses.create(**request)
            ids.append(turn.id)
            assert (turn.model_dump()["store"], turn.previous_response_id) == (
                True,
                request.get("previous_response_id"),
            )
            outputs = [
                {"type": "function_call_output", "call_id": item.call_id, "output": "found"}
                for item in turn.output
                if item.type == "function_call"
            ]
            if not outputs:
                break
            request = {"input": outputs, "previous_response_id": turn.id}
        again = client.responses.create(model="claude", input="Thanks.", previous_response_id=turn.id)
        assert client.responses.retrieve(turn.id).output_text == turn.output_text == "42"
    assert len(set(ids)) == 2
    assert again.previous_response_id == turn.id
    messages = simulator.calls[-1].json["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "user", "assistant", "user"]
    assert messages[1]["content"][0] == {"type": "thinking", "thinking": "I should look.", "signature": "c2lnLTE="}
    assert [block["tool_use_id"] for block in messages[2]["content"]] == ["toolu_1", "toolu_2"]


def test_instructions_hold_for_one_answer_and_the_conversation_for_all(keeper: Stack, simulator: Provider) -> None:
    first = create(keeper, input="one", instructions="Be short.").json()
    second = create(keeper, input=[{"role": "user", "content": "two"}], previous_response_id=first["id"]).json()
    create(keeper, input="three", previous_response_id=second["id"])
    texts = [item["output"][0]["content"][0]["text"] for item in (first, second)]
    assert sent(simulator) == ["one", texts[0], "two", texts[1], "three"]
    branch = create(keeper, input="another", previous_response_id=first["id"])
    assert branch.json()["previous_response_id"] == first["id"]
    assert sent(simulator) == ["one", texts[0], "another"]


@pytest.mark.parametrize("shape", [{"type": "item_reference"}, {"type": None}, {}])
def test_a_reference_stands_for_the_item(keeper: Stack, simulator: Provider, shape: dict[str, Any]) -> None:
    first = create(keeper, input="one").json()
    (item,) = first["output"]
    found = create(
        keeper,
        input=[{"role": "user", "content": "one"}, {**shape, "id": item["id"]}, {"role": "user", "content": "2"}],
    )
    assert found.status_code == 200, found.text
    assert sent(simulator) == ["one", item["content"][0]["text"], "2"]
    create(keeper, input="three", previous_response_id=found.json()["id"])  # the reference is in what is remembered
    assert sent(simulator)[:3] == ["one", item["content"][0]["text"], "2"]


def test_an_answer_can_be_read_listed_and_deleted(keeper: Stack) -> None:
    first = create(keeper, input="one").json()
    second = create(keeper, input=[{"role": "user", "content": "two"}], previous_response_id=first["id"]).json()
    with keeper.http() as http:
        assert http.get(f"{PATH}/{second['id']}").json() == second
        items = http.get(f"{PATH}/{second['id']}/input_items", params={"order": "asc"}).json()
        texts = [item["content"][0]["text"] for item in items["data"]]
        assert texts == ["one", first["output"][0]["content"][0]["text"], "two"]
        assert [item["type"] for item in items["data"]] == ["message"] * 3
        assert (items["object"], items["has_more"]) == ("list", False)
        newest = http.get(f"{PATH}/{second['id']}/input_items", params={"limit": "2"}).json()
        assert [item["id"] for item in newest["data"]] == [item["id"] for item in items["data"]][:0:-1]
        assert newest["has_more"]
        rest = http.get(f"{PATH}/{second['id']}/input_items", params={"after": newest["last_id"]}).json()
        assert [item["id"] for item in rest["data"]] == [items["first_id"]]
        gone = http.delete(f"{PATH}/{first['id']}")
        assert gone.json() == {"id": first["id"], "object": "response", "deleted": True}
        for method in ("GET", "DELETE"):
            missing = http.request(method, f"{PATH}/{first['id']}")
            assert (missing.status_code, missing.json()["error"]["code"]) == (404, "response_not_found")
    error = create(keeper, input="three", previous_response_id=second["id"]).json()["error"]
    assert (error["param"], error["code"]) == ("previous_response_id", "previous_response_not_found")
    assert first["id"] in error["message"]


def test_an_answer_that_is_done_cannot_be_cancelled(keeper: Stack) -> None:
    with sdk(keeper) as client:
        made = client.responses.create(model="chat", input="one")
        with pytest.raises(openai.BadRequestError, match="Cannot cancel a synchronous response"):
            client.responses.cancel(made.id)
        assert client.responses.retrieve(made.id).status == "completed"
        with pytest.raises(openai.BadRequestError, match="Go on from an answer by previous_response_id"):
            client.conversations.create()


def test_the_sdk_reads_lists_and_deletes(keeper: Stack) -> None:
    with sdk(keeper) as client:
        made = client.responses.create(model="chat", input="one", metadata={"a": "b"})
        assert client.responses.retrieve(made.id).metadata == {"a": "b"}
        (item,) = list(client.responses.input_items.list(made.id))
        assert item.type == "message"
        client.responses.delete(made.id)
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(made.id)


@pytest.mark.parametrize(
    ("members", "param", "code"),
    [
        ({"previous_response_id": "resp_sc" + "0" * 32}, "previous_response_id", "previous_response_not_found"),
        ({"previous_response_id": "resp_of_another"}, "previous_response_id", "unsupported_parameter"),
        ({"input": [{"type": "item_reference", "id": f"msg_sc{'0' * 32}0001"}]}, "input[0]", "item_not_found"),
        ({"input": [{"type": "item_reference", "id": "msg_of_another"}]}, "input[0]", "unsupported_parameter"),
        ({"conversation": "conv_1"}, "conversation", "unsupported_parameter"),
    ],
)
def test_what_is_not_remembered_is_refused_by_name(
    keeper: Stack, members: dict[str, Any], param: str, code: str
) -> None:
    found = create(keeper, **{"input": "hi", **members})
    error = found.json()["error"]
    assert (found.status_code, error["param"], error["code"]) == (400, param, code)
    assert "Send the" in error["message"]


def test_a_consumer_never_reads_anothers(remembering: dict[str, Stack], simulator: Provider) -> None:
    stack = remembering["nginx"]
    made = create(stack, input=CANARY).json()
    other = api_key("bob", add_user(stack.state / "users", "bob", replace=True))
    with stack.http(key=other) as http:
        wait_until(lambda: http.get("/v1/models").status_code == 200)
        for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/input_items")):
            assert http.request(method, f"{PATH}/{made['id']}{path}").status_code == 404
        calls = len(simulator.calls)
        item = made["output"][0]["id"]
        for members in ({"previous_response_id": made["id"]}, {"input": [{"type": "item_reference", "id": item}]}):
            found = http.post(PATH, json={"model": "chat", "input": "hi", **members})
            assert found.status_code == 400
            assert CANARY not in found.text
    assert len(simulator.calls) == calls
    with stack.http() as http:
        assert http.get(f"{PATH}/{made['id']}").status_code == 200


def test_store_false_keeps_nothing_and_says_so(keeper: Stack) -> None:
    for stream in (False, True):
        found = create(keeper, input="one", store=False, stream=stream)
        last = json.loads(found.text.rstrip().rpartition("data: ")[2])["response"] if stream else found.json()
        assert last["store"] is False
        with keeper.http() as http:
            assert http.get(f"{PATH}/{last['id']}").status_code == 404


def test_nothing_of_it_is_in_logs_or_files(remembering: dict[str, Stack]) -> None:
    stack = remembering["nginx"]
    assert create(stack, input=f"{CANARY} {CANARY}").status_code == 200
    assert CANARY not in stack.log
    files = [path for path in stack.state.rglob("*") if path.is_file()]
    assert any(path.name == "responses.sqlite" for path in files)
    assert [path for path in files if CANARY.encode() in path.read_bytes()] == []


def test_on_a_route_of_openai_its_own_ids_pass_and_ours_are_written_out(keeper: Stack, simulator: Provider) -> None:
    made = create(keeper, input="one").json()
    simulator.script = lambda call: json_reply(answer(MESSAGE))
    for members in ({"previous_response_id": "resp_1", "input": "two"}, {"store": True, "input": "two"}):
        found = create(keeper, model="gpt", **members)
        assert found.json()["id"] == "resp_1"
        assert simulator.calls[-1].json == {**members, "model": "sim-chat"}
    create(keeper, model="gpt", input="two", previous_response_id=made["id"], store=True)
    body = simulator.calls[-1].json
    assert (body["store"], "previous_response_id" in body) == (True, False)
    assert [item["role"] for item in body["input"]] == ["user", "assistant", "user"]
    assert not any("id" in item for item in body["input"])


def test_what_was_remembered_outlives_the_gateway_but_not_its_key(simulator: Provider, tmp_path: Path) -> None:
    with Stack(tmp_path, config(simulator), workers=1) as stack:
        made = create(stack, input="one").json()
        assert stack.stop() == 0
    with Stack(tmp_path, config(simulator), workers=1) as stack:
        assert create(stack, input="two", previous_response_id=made["id"]).status_code == 200
        assert stack.stop() == 0
    keyed = config(simulator, "responses: {remember: 1h, encryption_key: $KEY_OF_TEST}\n")
    with Stack(tmp_path, keyed, workers=1, env={"KEY_OF_TEST": "0123456789abcdef" * 4}) as stack:
        found = create(stack, input="two", previous_response_id=made["id"])
        assert found.json()["error"]["code"] == "previous_response_not_found"
        wait_until(lambda: "responses.sqlite was written with another key" in stack.log)
        assert "0123456789abcdef" not in stack.log


def test_answers_go_when_their_time_is_over_and_all_of_them_with_the_section(
    simulator: Provider, tmp_path: Path
) -> None:
    with Stack(tmp_path, config(simulator, "responses: {remember: 1s}\n"), workers=1) as stack:
        made = create(stack, input="one").json()
        with stack.http() as http:
            wait_until(lambda: http.get(f"{PATH}/{made['id']}").status_code == 404)
        stack.config.write_text(config(simulator))
        wait_until(lambda: create(stack, input="one").json()["store"] and _remembers(stack))
        stack.config.write_text(config(simulator, ""))
        wait_until(lambda: not list(stack.state.glob("responses.sqlite*")))
        assert create(stack, input="one").json()["store"] is False


def _remembers(stack: Stack) -> bool:
    """For longer than a second."""
    made = create(stack, input="one").json()
    with stack.http() as http:
        message = http.get(f"{PATH}/resp_sc{'0' * 32}").json()["error"]["message"]
    return made["store"] and "3600" in message


def test_tokens_of_the_whole_conversation_are_counted(keeper: Stack, simulator: Provider) -> None:
    first = create(keeper, input="How many? " * 400).json()
    with keeper.http() as http:
        body = {"model": "chat", "input": "hi", "previous_response_id": first["id"]}
        found = http.post(f"{PATH}/input_tokens", json=body)
    assert found.json()["input_tokens"] >= 900
