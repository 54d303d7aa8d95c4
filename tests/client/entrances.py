"""The entrances to a stack: {sync, async} x {local gRPC port, unix socket, gRPC by the front, REST by the front}."""

from __future__ import annotations

from typing import Any

from llm_gateway_client import AsyncClient, AsyncStream, Client, Stream

from tests.stack.stack import Stack

TARGETS = ("stub", "unix", "grpcs", "rest")
ENTRANCES = [f"{kind}-{target}" for target in TARGETS for kind in ("sync", "async")]


class Entrance:
    """Calls a method of the client of this entrance, the same for both kinds; a stream comes as a list."""

    def __init__(self, name: str, stack: Stack) -> None:
        self.name = name
        kind, _, self.target = name.partition("-")
        self.is_async = kind == "async"
        self._stack = stack

    def arguments(self) -> tuple[str, dict[str, Any]]:
        """Target and keywords for Client or AsyncClient."""
        stack = self._stack
        credential = f"{stack.user}:{stack.password}@"
        found: dict[str, tuple[str, dict[str, Any]]] = {
            "stub": (stack.grpc_local, {}),
            "unix": (stack.grpc_socket, {}),
            "grpcs": (f"grpcs://{stack.grpc_front}", {"api_key": stack.api_key, "ca": stack.ca}),
            "rest": (stack.url.replace("https://", f"https://{credential}"), {"ca": stack.ca}),
        }
        return found[self.target]

    def sync(self, **keywords: Any) -> Client:
        target, more = self.arguments()
        return Client(target, **more, **keywords)

    def asynchronous(self, **keywords: Any) -> AsyncClient:
        target, more = self.arguments()
        return AsyncClient(target, **more, **keywords)

    async def call(self, method: str, *arguments: Any, client: dict[str, Any] | None = None, **keywords: Any) -> Any:
        """`client`: keywords of the client. The sync one blocks the test's loop, as it would block a script."""
        if not self.is_async:
            with self.sync(**(client or {})) as one:
                result = getattr(one, method)(*arguments, **keywords)
                return list(result) if isinstance(result, Stream) else result
        async with self.asynchronous(**(client or {})) as other:
            result = getattr(other, method)(*arguments, **keywords)
            return [chunk async for chunk in result] if isinstance(result, AsyncStream) else await result
