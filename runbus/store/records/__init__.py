"""What runbus stores, one kind of record a file: how it is made, changed, read and listed.

Each change is one script or one command, which knows its own repeat, so that a lost reply is asked
for again without harm. What is read becomes a record of `protocol`.
"""
