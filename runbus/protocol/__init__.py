"""The wire, pure: how everything is called and written in Redis, and read back.

Keys, names of types, values as JSON, entries of streams, states and their moves, and the records of
runs, pauses and deployments. There is no server, no `await` and no clock, so that all of it is
tested by its values alone, and a program in another language can be written from it.
"""
