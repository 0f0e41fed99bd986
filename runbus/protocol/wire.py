"""The number of the wire: of the grammar of keys, fields and streams that this version speaks.

It stands on the server beside what it describes. Versions of runbus work on one server together
only if they speak the same one.
"""

WIRE = 2
"""Raised with each change of keys or fields that another version would not understand.

2: leases lie in the tags of runs, epochs are opaque texts, `scheduled` has an index for each
deployment.
"""
