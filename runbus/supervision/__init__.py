"""What runs for long, beneath everything that has something to do again and again.

`tasks` is where all tasks are made. A `supervisor` keeps duties going: one that fails is logged,
waits and begins again, and all end together. A `duty` knows its last good round, for who asks
whether the process is well, and `blocked_loop` tells which flow keeps an event loop from going on.
"""
