"""A self-hosted LLM gateway that runs as a sidecar: gRPC core, REST through Nginx or Envoy."""
