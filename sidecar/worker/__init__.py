"""The gRPC services: they decode a call, hand it to the gateway, and write what comes back. Nothing else."""
