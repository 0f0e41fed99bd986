"""What an operator's tools ask a process: metrics for Prometheus, and whether it is well.

`health_server` answers `/metrics`, `/livez` and `/readyz`, where duties and connections say how
they do; `metrics` names and collects the figures.
"""
