"""`/docs` behind the same credentials as everything else: Swagger UI's files, and a document of what the caller may call."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from adapters import Task
from sidecar.domain.snapshot import Route, Upstream
from sidecar.openapi import asset, document
from sidecar.openapi.bindings import bindings_of, service
from sidecar.openapi.document import EXAMPLES_MAX
from sidecar.openapi.operations import OPERATIONS
from sidecar.openapi.schemas import SCHEMAS
from sidecar.v1 import rest_pb2

METHODS = {method.name for method in rest_pb2.DESCRIPTOR.services_by_name["RestService"].methods}


def _route(name: str, task: Task) -> Route:
    return Route(name, task, (Upstream("openai", "m", "https://example.test/v1", None),))


def _document(*routes: Route, admin: bool = True, manages: bool = True) -> dict[str, Any]:
    made = document({route.name: route for route in routes}, "1.2.3", admin=admin, manages=manages)
    return json.loads(json.dumps(made))  # type: ignore[no-any-return]


ROUTES = (_route("talk", Task.CHAT), _route("go-on", Task.COMPLETIONS), _route("vectors", Task.EMBEDDINGS))


def test_every_rpc_is_described_and_nothing_else() -> None:
    assert set(OPERATIONS) == METHODS


def test_every_binding_that_is_shown_is_in_the_document_with_its_method() -> None:
    paths = _document(*ROUTES)["paths"]
    for binding in bindings_of(service()):
        if OPERATIONS[binding.rpc].tag is not None:
            assert binding.verb in paths[binding.path], binding
    assert "/docs" not in paths


def test_every_reference_leads_somewhere_and_every_example_fits_its_schema() -> None:
    found = _document(*ROUTES)
    for path, operations in found["paths"].items():
        for operation in operations.values():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json")
            for name, example in (body or {}).get("examples", {}).items():
                schema = {**body["schema"], "components": {"schemas": SCHEMAS}}
                Draft202012Validator(schema).validate(example["value"])
                assert example["value"]["model"] == name, path
                assert name in ("talk", "go-on", "vectors"), path
    for name in _references(found):
        assert name in SCHEMAS, name


def test_an_example_that_does_not_fit_would_be_found() -> None:
    schema = {"$ref": "#/components/schemas/ChatRequest", "components": {"schemas": SCHEMAS}}
    assert not Draft202012Validator(schema).is_valid({"model": "talk"})


def _references(value: Any) -> set[str]:
    if isinstance(value, Mapping):
        own = {str(value["$ref"]).rpartition("/")[2]} if "$ref" in value else set()
        return own.union(*map(_references, value.values()))
    return set().union(*map(_references, value)) if isinstance(value, list) else set()


def test_operation_ids_are_unique_whatever_routes_are_called() -> None:
    found = _document(*ROUTES, _route("a.b", Task.CHAT), _route("a-b", Task.CHAT), _route("a_b", Task.CHAT))
    ids = [operation["operationId"] for path in found["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids))


def test_the_document_is_openapi_3_1() -> None:
    OpenAPIV31SpecValidator(_document(*ROUTES)).validate()


def test_each_route_is_an_example_up_to_a_number_that_a_page_can_show() -> None:
    found = _document(*(_route(f"r{number}", Task.CHAT) for number in range(EXAMPLES_MAX + 50)))
    body = found["paths"]["/v1/chat/completions"]["post"]["requestBody"]["content"]["application/json"]
    assert list(body["examples"]) == [f"r{number}" for number in range(EXAMPLES_MAX)]


def test_openais_paths_come_first_and_each_path_is_there_once() -> None:
    found = _document(*ROUTES)
    assert next(iter(found["paths"])) == "/v1/chat/completions"
    assert found["tags"][0]["name"] == "OpenAI's API"
    assert not [path for path in found["paths"] if path.startswith("/endpoints/talk")]
    shown = [binding for binding in bindings_of(service()) if OPERATIONS[binding.rpc].tag is not None]
    assert sum(len(operations) for operations in found["paths"].values()) == len(shown)


def test_a_caller_sees_what_it_may_do_alone() -> None:
    chat_only = _document(ROUTES[0], admin=False)
    assert "/v1/chat/completions" in chat_only["paths"]
    assert "/v1/embeddings" not in chat_only["paths"]
    assert "/v1/completions" not in chat_only["paths"]
    assert "patch" not in {verb for operations in chat_only["paths"].values() for verb in operations}
    assert "(admins)" not in json.dumps(chat_only)
    unmanaged = json.dumps(_document(ROUTES[0], manages=False))
    assert "Create a route" not in unmanaged
    assert "Replace the rate limits" in unmanaged


@pytest.mark.parametrize("name", ["", "start.js", "page.css", "swagger-ui-bundle.js", "swagger-ui.css"])
def test_every_file_of_the_page_is_there(name: str) -> None:
    found = asset(name)
    assert found is not None
    assert len(found.body) > 100


def test_the_page_asks_for_nothing_but_its_own_files() -> None:
    page = asset("")
    assert page is not None
    text = page.body.decode()
    assert "http:" not in text
    assert "https:" not in text
    assert "<script>" not in text, "the policy forbids inline scripts"
    wanted = {part.split('"')[0].removeprefix("/docs/") for part in text.split('="/')[1:]}
    assert all(asset(name.removeprefix("docs/")) is not None for name in wanted), wanted


@pytest.mark.parametrize("name", ["../secret", "index.html", "swagger-ui.css.map", "x"])
def test_no_other_file_is(name: str) -> None:
    assert asset(name) is None
