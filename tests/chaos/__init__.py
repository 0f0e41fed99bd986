"""Faults made for real, and a history of every operation that is checked afterwards.

`python -m tests.chaos --minutes 10 --seed 7` is the long form; `test_chaos.py` is the short one.

history   what was done, written down by every process
checker   what must never be seen in a history (pure)
faults    one small object for each thing that goes wrong: `begin`, `heal`
worlds    the servers that it goes wrong with
parties   the processes that send, receive and run flows
storm     all of it together

long_lived        a storm over workers that live through it, whose faults last
long_lived_flows  what they serve
run_checker       what must never be seen of their runs (pure)
remains           what is left on the servers
"""
