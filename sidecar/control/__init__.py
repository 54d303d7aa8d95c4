"""The protocol between supervisor and worker, including changes of the configuration."""
