"""Environments with released packages: MLflow's gateways, the clients that come to ours, and what else lives beside our client.

    environment("gateway-2.8.1").bin / "mlflow"       built on first use, kept for the next run (tests/environments.py)

Each is installed from requirements/<name>.txt beside this file. `python -m tests.mlflow.environments` resolves those files
anew from ENVIRONMENTS.
"""

from __future__ import annotations

from pathlib import Path

from tests import environments
from tests.environments import Environment

_FOLDER = Path(__file__).parent / "requirements"

ENVIRONMENTS: dict[str, tuple[str, ...]] = {
    "gateway-2.8.1": (
        "mlflow-skinny==2.8.1", "pydantic<3", "setuptools<81", "fastapi<0.110", "uvicorn", "gunicorn", "watchfiles", "aiohttp",
        "boto3",
    ),
    "gateway-3.17.2": (
        "mlflow-skinny==3.17.2", "fastapi", "uvicorn", "gunicorn", "watchfiles", "aiohttp", "boto3", "slowapi", "tiktoken",
        "numpy", "psutil",
    ),
    "client-2.5.0": ("mlflow-skinny==2.5.0", "pydantic<2", "urllib3<2", "setuptools<81", "psutil"),
    "client-2.8.1": ("mlflow-skinny==2.8.1", "pydantic<3", "setuptools<81"),
    "client-2.22.0": ("mlflow-skinny==2.22.0", "setuptools<81"),
    "client-3.17.2": ("mlflow-skinny==3.17.2",),
    # LangChain of the time when it had classes for both, each with a client they were written for.
    "langchain-2.8.1": ("mlflow-skinny==2.8.1", "pydantic<3", "setuptools<81", "langchain-community==0.0.38"),
    "langchain-2.22.0": ("mlflow-skinny==2.22.0", "setuptools<81", "langchain-community==0.0.38"),
    # What the client's REST half needs, and PyPI's packages of the names that the gateway's wheel has at its top.
    "strangers": ("httpx==0.28.1",),
}  # fmt: skip
# Names of ENVIRONMENTS -> packages that are installed without what they need.
_WITHOUT_NEEDS: dict[str, tuple[str, ...]] = {"strangers": ("sidecar==0.8.1", "adapters==1.3.0")}


def environment(name: str) -> Environment:
    """The environment of that name, ready."""
    return environments.environment(name, _FOLDER / f"{name}.txt")


def with_wheel(name: str, wheel: Path, folder: Path) -> Environment:
    """A copy of that environment below `folder`, with a wheel of this checkout in it."""
    return environments.with_wheel(environment(name), wheel, folder)


if __name__ == "__main__":
    for each, packages in ENVIRONMENTS.items():
        environments.resolve(_FOLDER / f"{each}.txt", packages, _WITHOUT_NEEDS.get(each, ()))
