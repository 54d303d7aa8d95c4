"""Images and documents as OpenAI's clients send them, in the form that Anthropic takes: types by bytes, clean base64, text."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from adapters import FORMATS, Context, GatewayError, Kind, Target, Task
from adapters.providers import PROVIDERS

CONTEXT = Context(0, lambda prefix: prefix + "1")
HEADS = {
    "image/png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "image/jpeg": b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1",
    "image/gif": b"GIF89a\1\0\1\0\0\0\0",
    "image/webp": b"RIFF\x24\0\0\0WEBPVP8 ",
    "application/pdf": b"%PDF-1.7\n1 0 obj",
}


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def sent(*messages: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The body that Anthropic gets for a call in OpenAI's JSON, and the names of what was left out."""
    row = PROVIDERS["anthropic"]
    openai = FORMATS["openai"].client[Task.CHAT]
    request = openai.decode_request(openai.open(json.dumps({"model": "r", "messages": messages}).encode()))
    call = FORMATS[row.format].provider[Task.CHAT].encode(request, Target(row, "m", "http://h"), False, CONTEXT)
    return json.loads(call.body), call.left_out


def block(part: dict[str, Any]) -> Any:
    body, _ = sent({"role": "user", "content": [part]})
    (only,) = body["messages"][0]["content"]
    return only


def image(url: str) -> Any:
    return block({"type": "image_url", "image_url": {"url": url}})


def file(**members: str) -> Any:
    return block({"type": "file", "file": members})


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("declared", ["image/jpg;", "image/png;", "image/x-png;", "IMAGE/GIF;charset=utf-8;", ";", ""])
def test_the_bytes_tell_an_images_type_whatever_was_declared(kind: str, declared: str) -> None:
    data = base64_of(HEADS[kind])
    assert image(f"data:{declared}base64,{data}") == {
        "type": "document" if kind == "application/pdf" else "image",
        "source": {"type": "base64", "media_type": kind, "data": data},
    }


def test_a_type_that_the_bytes_do_not_tell_is_the_declared_one_in_its_usual_spelling() -> None:
    assert image("data:image/jpg;base64,AAAA")["source"]["media_type"] == "image/jpeg"
    assert image("data:image/heic;base64,AAAA")["source"]["media_type"] == "image/heic"


@pytest.mark.parametrize(
    "url", ["data:;base64,AAAA", "data:application/octet-stream;base64,AAAA", "data:image/png,AAAA"]
)
def test_a_data_url_without_a_type_or_without_base64_is_refused_with_its_place(url: str) -> None:
    with pytest.raises(GatewayError) as refused:
        image(url)
    assert (refused.value.kind, refused.value.param) == (Kind.INVALID_REQUEST, "messages[0].content[0].image_url")


def test_base64_in_lines_goes_without_them() -> None:
    data = base64.encodebytes(HEADS["image/png"] * 20).decode()
    assert "\n" in data.strip()
    assert image(f"data:image/png;base64,{data}")["source"]["data"] == base64_of(HEADS["image/png"] * 20)
    pdf = base64.encodebytes(HEADS["application/pdf"] * 20).decode()
    assert file(file_data=f"data:application/pdf;base64,{pdf}")["source"]["data"] == base64_of(
        HEADS["application/pdf"] * 20
    )


@pytest.mark.parametrize(
    ("filename", "declared"),
    [
        ("a.csv", "text/csv"),
        ("a.md", "text/markdown"),
        ("a.json", "application/json"),
        ("a.yaml", "application/yaml"),
        ("a.txt", "text/plain;charset=utf-8"),
        ("a.txt", "application/octet-stream"),
    ],
)
def test_documents_that_are_text_go_as_text(filename: str, declared: str) -> None:
    assert file(filename=filename, file_data=f"data:{declared};base64,{base64_of('größe'.encode())}") == {
        "type": "document",
        "source": {"type": "text", "media_type": "text/plain", "data": "größe"},
        "title": filename,
    }


def test_a_document_of_another_kind_is_refused_by_name() -> None:
    with pytest.raises(GatewayError) as refused:
        file(filename="a.docx", file_data="data:application/msword;base64,0M8R4A==")
    assert refused.value.kind is Kind.UNSUPPORTED_PARAMETER
    assert "application/msword" in refused.value.message


@pytest.mark.parametrize("written", ["data:application/pdf;base64,{}", "{}", "data:;base64,{}"])
def test_a_pdf_is_found_in_a_data_url_and_in_bare_base64(written: str) -> None:
    data = base64_of(HEADS["application/pdf"])
    assert file(filename="a.pdf", file_data=written.format(data)) == {
        "type": "document",
        "source": {"type": "base64", "media_type": "application/pdf", "data": data},
        "title": "a.pdf",
    }


def test_a_documents_address_goes_as_an_address() -> None:
    assert file(file_data="https://example.com/a.pdf") == {
        "type": "document",
        "source": {"type": "url", "url": "https://example.com/a.pdf"},
    }


def test_an_image_that_came_as_a_file_is_an_image_and_its_name_is_said_to_be_left_out() -> None:
    data = base64_of(HEADS["image/png"])
    part = {"type": "file", "file": {"filename": "a.png", "file_data": f"data:image/png;base64,{data}"}}
    body, left_out = sent({"role": "user", "content": [part]})
    assert body["messages"][0]["content"] == [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}
    ]
    assert left_out == ("messages[].content[].file.filename",)


@pytest.mark.parametrize("end", [" ", "\n", " \t\r\n", "\u00a0"])
def test_an_answer_that_the_model_is_to_go_on_with_has_no_white_space_at_its_end(end: str) -> None:
    question = {"role": "user", "content": "2+2?"}
    begun = {"role": "assistant", "content": "The sum is:" + end}
    assert sent(question, begun)[0]["messages"][-1] == {"role": "assistant", "content": "The sum is:"}
    earlier = sent(question, begun, question)[0]["messages"][1]
    assert earlier == begun, "one that stands before another turn keeps its own"
