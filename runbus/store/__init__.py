"""Redis: all that is asked of a server, and all that it tells. Nothing else imports `redis`.

A bus is what one event loop holds of the servers. Beneath it, from the wire upwards: `connection`
(one connection, its scripts and errors), `topology` (which server has a key), `sending` and
`receiving` (streams of inputs). Above it, `records` (what is stored, one kind a file),
`maintenance` (what keeps the records true) and `admin` (what an operator asks). `lua` has the
scripts, in which everything is done that must not be done by halves.
"""
