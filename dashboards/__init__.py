"""Grafana dashboards and Prometheus rules. Holds no Python that the product imports."""
