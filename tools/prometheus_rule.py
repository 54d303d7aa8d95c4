"""Writes deploy/kubernetes/base/prometheusrule.yaml: `python -m tools.prometheus_rule`. The rules of
deploy/prometheus/rules.yml in the format of the Prometheus operator."""

from __future__ import annotations

from pathlib import Path

DEPLOY = Path(__file__).resolve().parent.parent / "deploy"
RULES = DEPLOY / "prometheus" / "rules.yml"
TARGET = DEPLOY / "kubernetes" / "base" / "prometheusrule.yaml"
_HEAD = """\
# Written by `make proto` from deploy/prometheus/rules.yml.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: llm-gateway
spec:
"""


def prometheus_rule(rules: str) -> str:
    """The manifest; `rules` is the text of a Prometheus rules file, whose comments are kept."""
    return _HEAD + "".join(f"  {line}" if line.strip() else line for line in rules.splitlines(keepends=True))


def main() -> None:
    TARGET.write_text(prometheus_rule(RULES.read_text()))


if __name__ == "__main__":
    main()
