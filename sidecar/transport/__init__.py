"""A gRPC server over HTTP/2 (docs/decisions/0016).

    methods = Methods()
    add_InferenceServiceServicer_to_server(servicer, methods)
    server = Server(methods)
    server.bind_tcp("127.0.0.1:50051", Listener.LOCAL)
    await server.start()

Servicers are the classes that grpcio-tools generates, with coroutines as methods; each call is passed to them as a
`Context`. What servicers share is in `caller` (who calls), `abort` (failing), `write` (writing within a limit) and
`unknown_fields`.
"""

from sidecar.transport.context import Context, Listener
from sidecar.transport.limits import Limits
from sidecar.transport.methods import Methods
from sidecar.transport.server import Server
from sidecar.transport.status import Aborted

__all__ = ["Aborted", "Context", "Limits", "Listener", "Methods", "Server"]
