"""The front proxy, Nginx or Envoy: generated configuration, users, certificates, and how each program is run."""
