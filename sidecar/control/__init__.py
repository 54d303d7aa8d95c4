"""The conversation between supervisor and worker, and what a change of configuration is on it."""
