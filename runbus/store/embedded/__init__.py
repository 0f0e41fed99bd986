"""The server of this machine's own: without RUNBUS_URL, a Valkey that the first process starts.

`directory` says where it lives, `binary` which program it is, `server` starts, finds and ends it.
"""
