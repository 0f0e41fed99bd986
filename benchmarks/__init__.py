"""Benchmarks: how fast runbus is beside what it is built on, on one machine and one server."""
