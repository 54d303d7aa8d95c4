"""Generated stubs, next to the gateway: a stream with a deadline. `python grpc_call.py [ROUTE]`.

The stubs come from proto/sidecar/v1/inference.proto, which imports nothing:
    python -m grpc_tools.protoc --proto_path=proto --python_out=. --grpc_python_out=. proto/sidecar/v1/inference.proto
"""

import os
import sys

import grpc
from sidecar.v1 import inference_pb2 as pb
from sidecar.v1 import inference_pb2_grpc as rpc

route = sys.argv[1] if len(sys.argv) > 1 else "chat"
with grpc.insecure_channel(os.environ["SIDECAR_GRPC_LOCAL"]) as channel:
    service = rpc.InferenceServiceStub(channel)
    hello = pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="Say hello.")])
    try:
        for chunk in service.StreamChat(pb.ChatRequest(route=route, messages=[hello]), timeout=60):
            for choice in chunk.choices:
                print(choice.delta.content, end="", flush=True)
        print()
    except grpc.RpcError as error:
        sys.exit(f"{error.code().name}: {error.details()}")
