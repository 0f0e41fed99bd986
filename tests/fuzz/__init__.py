"""Fuzzing: bytes that nobody of ours has written.

The tests run with Hypothesis. `python -m tests.fuzz <test>` runs one of them for as long as one
likes, guided by coverage, where `atheris` is installed.
"""
