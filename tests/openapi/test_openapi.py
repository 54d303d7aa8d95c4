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
from sidecar.openapi.document import ROUTES_SHOWN_MAX
from sidecar.openapi.operations import OPERATIONS
from sidecar.openapi.schemas import SCHEMAS
from sidecar.v1 import rest_pb2

METHODS = {method.name for method in rest_pb2.DESCRIPTOR.services_by_name["RestService"].methods}


def _route(name: str, task: Task) -> Route:
    return Route(name, task, (Upstream("openai", "m", "https://example.test/v1", None),))


def _document(*routes: Route) -> dict[str, Any]:
    return json.loads(json.dumps(document({route.name: route for route in routes}, "1.2.3")))  # type: ignore[no-any-return]


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
            if body is None or "example" not in body:
                continue
            schema = {**body["schema"], "components": {"schemas": SCHEMAS}}
            Draft202012Validator(schema).validate(body["example"])
            assert body["example"].get("model") in (None, "talk", "go-on", "vectors"), path
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


def test_each_route_has_a_form_of_its_own_up_to_a_number_that_a_page_can_show() -> None:
    found = _document(*(_route(f"r{number}", Task.CHAT) for number in range(ROUTES_SHOWN_MAX + 50)))
    forms = [path for path in found["paths"] if path.startswith("/endpoints/r")]
    assert len(forms) == ROUTES_SHOWN_MAX


@pytest.mark.parametrize("name", ["", "start.js", "swagger-ui-bundle.js", "swagger-ui.css"])
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
