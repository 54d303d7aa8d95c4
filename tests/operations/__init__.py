"""Prometheus, Grafana and the page of docs, each against the real program."""
