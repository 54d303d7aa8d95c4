"""LangChain's own standard tests for chat models and embeddings, run over ChatOpenAI and OpenAIEmbeddings."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import pytest
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from langchain_tests.integration_tests import ChatModelIntegrationTests, EmbeddingsIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

SETTINGS = {"base_url": os.environ["SIDECAR_URL"] + "/v1", "api_key": os.environ["SIDECAR_API_KEY"]}


class _Chat:
    """What both suites of a chat model want to know."""

    @property
    def chat_model_class(self) -> type[ChatOpenAI]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": self.route, "max_tokens": 2048, "stream_usage": True, **SETTINGS}

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_image_inputs(self) -> bool:
        return False  # the picture would be fetched from the network

    @property
    def supports_anthropic_inputs(self) -> bool:
        return False  # ChatOpenAI's own tests say so too

    @property
    def returns_usage_metadata(self) -> bool:
        return True


class TestChatGpt(_Chat, ChatModelIntegrationTests):
    """The route of provider openai."""

    route = "gpt"


class TestChatClaude(_Chat, ChatModelIntegrationTests):
    """The route of provider anthropic."""

    route = "claude"


class TestUnitGpt(_Chat, ChatModelUnitTests):
    """What needs no answer."""

    route = "gpt"

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": self.route, **SETTINGS}  # the test adds others


class TestEmbeddingsGpt(EmbeddingsIntegrationTests):
    """Embeddings of provider openai."""

    @property
    def embeddings_class(self) -> type[OpenAIEmbeddings]:
        return OpenAIEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"model": "embeddings", "check_embedding_ctx_length": False, **SETTINGS}


class _Collector:
    """Outcomes by route and test."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, Any]] = {"gpt": {}, "claude": {}}

    def pytest_runtest_logreport(self, report: Any) -> None:
        route = "claude" if "Claude" in report.nodeid else "gpt"
        name = report.nodeid.rpartition("::")[2]
        if report.failed:
            self.found[route][name] = {"error": str(report.longrepr)[-600:]}
        elif report.when == "call" or report.skipped:
            outcome = "passed" if report.passed or hasattr(report, "wasxfail") else "skipped"
            self.found[route].setdefault(name, outcome)


if __name__ == "__main__":
    collector = _Collector()
    # Settings and fixtures of the gateway's own tests are no affair of these.
    apart = ["-c", os.devnull, "--rootdir", os.getcwd(), "--confcutdir", os.path.dirname(__file__), "--noconftest"]
    options = ["-q", "-p", "no:cacheprovider", "-W", "ignore", *apart]
    # The clients keep connections, which belong to one loop.
    for setting in ("mode=auto", "default_test_loop_scope=session", "default_fixture_loop_scope=session"):
        options += ["-o", f"asyncio_{setting}"]
    pytest.main([__file__, *options], plugins=[collector])
    sys.stdout.flush()
    print("\n" + json.dumps(collector.found), flush=True)
    os._exit(0)
