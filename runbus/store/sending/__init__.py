"""Sending: an input is stored exactly once, in order, whatever happens to the connection.

The `outbox` of an event loop checks the bounds and has a `stream_producer` for each stream, which
sends what has gathered in one call and repeats it until it is answered. A `receipt` is what the
sender holds meanwhile, and `durability` waits until disks or replicas have it, where that is asked.
"""
