"""One run's execution in this process, from its first state to its last.

`run` is the execution, which records how it begins, waits and ends; `engine` and `sync_run` call an
async flow's code and a sync one's. `call` is what is called and what came of it. `run_context` is
the run as its own code sees it, `current_run` which run that is, and `verbs` how a verb waits in a
thread and on a loop. `subflows` finds the run of a flow that is called in another one again when
its parent runs again. What the code prints and logs becomes lines of the run (`print_capture`,
`run_logger`, `log_shipper`). Nothing here knows of workers: who has claimed a run hands it in.
"""
