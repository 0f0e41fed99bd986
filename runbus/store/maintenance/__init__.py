"""What keeps the records true while processes come and go: one duty a file.

A process holds a lease in each tag where it has runs. Workers look for owners whose lease is
missing and take their runs; each process compares what the server says that it executes with what
it does execute. So whatever goes wrong once heals within about a lease.
"""
