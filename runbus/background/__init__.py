"""Threads and loops that a process has for runbus alone. No flow's code runs in them.

`bridge` does a thread's verbs on the `background_loop` while it blocks, and gives code on a loop a
`pending` result; `caller` gives the user's own part of a verb back to who called it. The lease
holder knows what this process executes, and keeps it: `lease_renewal` renews leases on a thread of
its own, and `upkeep` reconciles with the server and records ends that could not be at once.
"""
