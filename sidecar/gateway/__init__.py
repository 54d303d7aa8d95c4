"""The life of one call: consumer, admission, candidates, attempts, streaming, record. Independent of gRPC and REST."""
