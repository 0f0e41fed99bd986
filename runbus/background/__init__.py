"""Threads and loops that a process has for runbus alone. No flow's code runs in them.

`bridge` has the background loop, on which a thread's verbs are done while it blocks; `caller` gives
the user's own part of a verb back to the thread or loop that called it. The lease holder knows what
this process executes, and keeps it: `renewal` renews leases on a thread of its own, and `upkeep`
reconciles with the server and records ends that could not be recorded at once.
"""
