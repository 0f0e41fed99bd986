"""The rows of `python -m benchmarks.speed`: runbus beside what it is built on, in turns."""
