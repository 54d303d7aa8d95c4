"""A gRPC server of our own over HTTP/2: docs/decisions/0016.

    methods = Methods()
    add_InferenceServiceServicer_to_server(servicer, methods)
    server = Server(methods)
    server.bind_tcp("127.0.0.1:50051", Listener.LOCAL)
    await server.start()

Servicers are grpcio-tools' own classes with coroutines for methods; what they get of a call is a `Context`. Who calls, how to
fail and how to write within a limit: `caller`, `abort`, `write`, `unknown_fields`.
"""

from sidecar.transport.context import Context, Listener
from sidecar.transport.limits import Limits
from sidecar.transport.methods import Methods
from sidecar.transport.server import Server
from sidecar.transport.status import Aborted

__all__ = ["Aborted", "Context", "Limits", "Listener", "Methods", "Server"]
