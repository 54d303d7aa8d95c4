"""The generated part of the front's configuration."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.api import annotations_pb2, httpbody_pb2
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import ServiceDescriptor

from sidecar.front.bindings import PUBLIC, BindingError, generate, main
from sidecar.front.settings import templates
from sidecar.openapi.bindings import service


def test_the_committed_files_are_what_the_bindings_say() -> None:
    for name, text in generate(service()).items():
        assert (templates("nginx") / name).read_text() == text, f"stale: run python -m sidecar.front.bindings ({name})"


def test_the_command_writes_the_same_files(tmp_path: Path) -> None:
    main([str(tmp_path)])
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == generate(service())


def test_only_health_is_public() -> None:
    assert {"Health"} == PUBLIC
    locations = generate(service())["rest_locations.conf"]
    assert locations.count("auth_basic off") == 1
    assert "auth_basic off" in locations[locations.index("location = /health") :]


def _service(*bindings: tuple[str, str, str, str]) -> ServiceDescriptor:
    """A service like ours, with Health and the given (rpc, verb, path, body)."""
    file = descriptor_pb2.FileDescriptorProto(name="planted.proto", package="planted", syntax="proto3")
    file.dependency.extend(["google/api/annotations.proto", "google/api/httpbody.proto"])
    message = file.message_type.add(name="Named")
    field = descriptor_pb2.FieldDescriptorProto
    message.field.add(name="id", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    message.field.add(
        name="body", number=20, type=field.TYPE_MESSAGE, type_name=".google.api.HttpBody", label=field.LABEL_OPTIONAL
    )
    file.message_type.add(name="Nothing")
    paged = file.message_type.add(name="Paged")
    paged.field.add(name="page_token", number=3, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    paged.field.add(name="id", number=4, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    rest = file.service.add(name="RestService")
    numbers = file.message_type.add(name="Numbers")
    numbers.field.add(name="page", number=1, type=field.TYPE_INT32, label=field.LABEL_OPTIONAL)
    for rpc, verb, path, body in (("Health", "get", "/health", ""), *bindings):
        path, _, other = path.partition(" or ")
        kind = ".google.api.HttpBody" if body == "*" else ".planted.Named" if "{" in path else ".planted.Nothing"
        kind = {"List": ".planted.Paged", "Count": ".planted.Numbers", "Ask": ".planted.Named"}.get(rpc, kind)
        method = rest.method.add(name=rpc, input_type=kind, output_type=".google.api.HttpBody", server_streaming=True)
        rule = method.options.Extensions[annotations_pb2.http]
        setattr(rule, verb, path)
        rule.body = body
        if other:
            setattr(rule.additional_bindings.add(body=body), verb, other)
    pool = descriptor_pool.DescriptorPool()
    for known in (descriptor_pb2.DESCRIPTOR, annotations_pb2.DESCRIPTOR, httpbody_pb2.DESCRIPTOR):
        for each in (*known.dependencies, known):
            for inner in (*each.dependencies, each):
                pool.AddSerializedFile(inner.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindServiceByName("planted.RestService")


def test_two_methods_of_one_path_share_a_location() -> None:
    files = generate(_service(("List", "get", "/v1/things", ""), ("Make", "post", "/v1/things", "*")))
    locations = files["rest_locations.conf"]
    assert locations.count("location = /v1/things {") == 1
    assert 'set $allow "GET, HEAD, POST";' in locations
    assert "set $rpc_get List;" in locations
    assert "set $rpc_post Make;" in locations


def test_a_body_field_beside_a_path_variable_is_planned() -> None:
    files = generate(_service(("Invoke", "post", "/gateway/{id}/invocations", "body")))
    assert '"Invoke": {\n    "path": {\n      "id": 1\n    },\n    "body": 20\n  }' in files["rest_rpcs.json"]
    assert 'location ~ "^/gateway/(?<id>' in files["rest_locations.conf"]


def test_what_a_get_does_not_take_from_its_path_it_takes_from_the_query() -> None:
    files = generate(_service(("List", "get", "/things/{id}", "")))
    assert '"path": {\n      "id": 4\n    },\n    "query": {\n      "page_token": 3\n    }' in files["rest_rpcs.json"]


def test_what_a_post_takes_neither_from_its_path_nor_its_body_it_takes_from_the_query() -> None:
    files = generate(
        _service(
            ("Invoke", "post", "/gateway/{id}/invocations or /other/{id}", "body"), ("Ask", "post", "/ask", "body")
        )
    )
    assert (
        '"Ask": {\n    "path": {},\n    "body": 20,\n    "query": {\n      "id": 1\n    }\n  }'
        in files["rest_rpcs.json"]
    )


def test_each_further_path_of_an_rpc_is_a_location() -> None:
    locations = generate(_service(("Make", "post", "/v1/things or /gateway/things", "*")))["rest_locations.conf"]
    assert locations.count("set $rpc_post Make;") == 2
    assert "location = /gateway/things {" in locations


def test_a_path_below_api_may_end_in_a_slash_and_no_other() -> None:
    locations = generate(_service(("A", "post", "/api/things", "*"), ("B", "post", "/v1/things", "*")))
    assert "location = /api/things {" in locations["rest_locations.conf"]
    assert "location = /api/things/ {" in locations["rest_locations.conf"]
    assert "location = /v1/things/" not in locations["rest_locations.conf"]
    assert "location = /v1/things {" in locations["rest_locations.conf"]


@pytest.mark.parametrize(
    ("binding", "why"),
    [
        (("A", "post", "/a", ""), "POST with body ''"),
        (("A", "get", "/a", "*"), "GET with body"),
        (("A", "get", "/a/{id}", ""), "only strings come from the query: \\['body'\\]"),
        (("A", "post", "/a/{body}", "body"), "body is both in the path and the body"),
        (("Count", "get", "/a", ""), "only strings come from the query: \\['page'\\]"),
        (("List", "get", "/a or /a/{id}", ""), "do not fill the same fields"),
        (("A", "get", "/a/{id=b/*}", ""), "more than variables"),
        (("A", "post", "/a/{body}", "id"), "body field id"),
        (("A", "get", "/health", ""), "public"),
    ],
)
def test_what_the_generator_does_not_know_is_refused(binding: tuple[str, str, str, str], why: str) -> None:
    with pytest.raises(BindingError, match=why):
        generate(_service(binding))
