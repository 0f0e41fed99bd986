"""Threads and loops that a process has for runbus alone. No flow's code runs in them."""
