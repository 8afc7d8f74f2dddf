"""Writes the alert rules as the Prometheus operator's PrometheusRule.

python deploy/prometheus_rule.py > deploy/kubernetes/components/monitoring/prometheus-rule.yml
"""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Final

RULES: Final = Path(__file__).parent / "prometheus" / "rules" / "hearth.yml"
_HEAD: Final = """\
# Made from deploy/prometheus/rules/hearth.yml by deploy/prometheus_rule.py.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: hearth
  labels:
    app.kubernetes.io/name: hearth
    app.kubernetes.io/component: service
spec:
"""


def prometheus_rule(rules: str) -> str:
    """A PrometheusRule with the groups of a rules file, word for word."""
    _, groups, body = rules.partition("groups:\n")
    return _HEAD + textwrap.indent(groups + body, "  ")


if __name__ == "__main__":
    print(prometheus_rule(RULES.read_text()), end="")
