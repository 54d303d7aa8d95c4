"""The clients: what each is, where it lives, how it is told of the gateway, and what of it fails and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# Columns of the page. `embeddings` only where the route's provider has them.
CHECKS = ("answer", "stream", "tools", "thinking", "structured", "embeddings")
ROUTES = {"gpt": "openai", "claude": "anthropic", "local": "local"}
# Python clients on httpx, on requests, and Node take the CA from these.
HTTPX = {"SSL_CERT_FILE": "$SIDECAR_CA"}
NODE = {"NODE_EXTRA_CA_CERTS": "$SIDECAR_CA"}


@dataclass(frozen=True, slots=True)
class Client:
    """One row.

    `title` is over its lines to paste; clients of one program share them. `environment` is one of ENVIRONMENTS or NODE_FOLDERS;
    `env` are the variables that its user sets. `local`: the embedded model is tried too. `failures` has the reason of each
    check that fails, by "route/check".
    """

    name: str
    title: str
    package: str
    environment: str
    program: str
    env: Mapping[str, str] = field(default_factory=lambda: HTTPX)
    local: bool = False
    failures: Mapping[str, str] = field(default_factory=dict)

    @property
    def routes(self) -> list[str]:
        """As programs/checks.py takes them: each with the route of embeddings."""
        return ["gpt=embeddings", "claude=", *(["local=local-embeddings"] if self.local else [])]

    @property
    def id(self) -> str:
        return f"{self.package.lstrip('@').replace('/', '-')}-{self.environment}"


# Reasons of failures.
_NO_TOOLS = "The embedded model does not call tools: the call is refused, and the message says so."
_SNAPSHOT = "It compares with a file that only LangChain's own repository has."


def _python(name: str, package: str, environment: str, program: str, **more: Any) -> Client:
    return Client(name, name, package, environment, program, **more)


def _node(name: str, package: str, program: str, **more: Any) -> Client:
    return Client(name, name, package, "node", program, env=NODE, **more)


_AIDER = {"OPENAI_API_BASE": "$SIDECAR_URL/v1", "OPENAI_API_KEY": "$SIDECAR_API_KEY", **HTTPX}
_QWEN = {"OPENAI_BASE_URL": "$SIDECAR_URL/v1", "OPENAI_API_KEY": "$SIDECAR_API_KEY", **NODE}

CLIENTS = (
    _python("OpenAI Python", "openai", "openai-3", "openai_python.py", local=True, failures={"local/tools": _NO_TOOLS}),
    Client("OpenAI Python 1.x", "OpenAI Python", "openai", "openai-1", "openai_python.py"),
    _node("OpenAI Node", "openai", "openai_node.mjs"),
    _python("LangChain", "langchain-openai", "openai-3", "langchain_python.py"),
    Client(
        "LangChain's standard tests",
        "",
        "langchain-tests",
        "openai-3",
        "langchain_standard.py",
        failures={"gpt/test_serdes": _SNAPSHOT},
    ),
    _node("LangChain.js", "@langchain/openai", "langchain.mjs"),
    _node("Vercel AI SDK", "@ai-sdk/openai-compatible", "ai_sdk.mjs"),
    _python("Pydantic AI", "pydantic-ai-slim", "openai-3", "pydantic_ai_python.py"),
    Client("Pydantic AI 1.x", "Pydantic AI", "pydantic-ai-slim", "openai-2", "pydantic_ai_python.py"),
    _python("OpenAI Agents SDK", "openai-agents", "openai-3", "openai_agents.py"),
    _python("LiteLLM (SDK)", "litellm", "openai-3", "litellm_python.py"),
    _python("Instructor", "instructor", "openai-2", "instructor_python.py"),
    _python("LlamaIndex", "llama-index-llms-openai-like", "openai-2", "llama_index_python.py"),
    _python("AutoGen", "autogen-ext", "openai-3", "autogen_python.py"),
    _python("Semantic Kernel", "semantic-kernel", "openai-2", "semantic_kernel_python.py"),
    _python("Haystack", "haystack-ai", "openai-3", "haystack_python.py"),
    _python("DSPy", "dspy", "openai-3", "dspy_python.py"),
    _python("smolagents", "smolagents", "openai-3", "smolagents_python.py"),
    _python("MLflow autologging", "mlflow-skinny", "openai-3", "mlflow_autolog.py"),
    _python("llm", "llm", "openai-3", "llm_cli.py"),
    _python("aider", "aider-chat", "aider", "aider_cli.py", env=_AIDER, local=True),
    # The package of the machine's kind has the program.
    Client("opencode", "opencode", "opencode-linux-x64", "agents", "opencode_cli.py", env=NODE),
    Client("Qwen Code", "Qwen Code", "@qwen-code/qwen-code", "agents", "qwen_code.py", env=_QWEN),
)
