"""A worker: executes many runs of deployments in one process.

`serving` runs it from its start to its end, with the signals that end it; `registration` says what
it serves. `claims` takes runs that were hinted at or found, as far as there are slots in the
`limit`; runs that killed processes go through `quarantine`, alone. `grace` is how a worker ends,
and `blocked_end` how it ends when a flow does not let it.
"""
