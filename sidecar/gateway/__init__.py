"""The life of one call: consumer, admission, candidates, attempts, streaming, record. Knows neither gRPC nor REST."""
