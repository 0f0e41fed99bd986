"""Receiving: whoever waits for entries of streams is woken, and reads each once, in order.

`read_state` is the table of when a stream is read, `position` what is known of one receiver's place
in it; both are without I/O. A `stream_consumer` does what they say, a `consumer` joins the streams
of one run, a `follower` those of many. They are woken by `tracking` (the server pushes which keys
have changed) or by a `blocking_read`, and a `heartbeat` notices connections that died silently.
"""
