"""One connection to a server: commands and scripts out, replies and pushes in, in order.

`connection` writes what is asked in one turn of the loop in one go; `reconnecting_connection` makes
a new one when it is lost, by `backoff`; `pipeline` asks much with one future. `scripts` has the Lua
scripts and loads those that a server does not know, `script_calls` is what each takes, by name, as
its header says. `error_replies` tells errors that pass from those that stand. All of it is on plain
futures: it is what every send and every wake goes through.
"""
