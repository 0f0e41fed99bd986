"""The commands: what each is for, and the module that has it.

Nothing is imported here, so that the help waits for nothing.
"""

from __future__ import annotations

ABOUT = "Interactive Python workflows on nothing but Redis."
DEBUG = "Show where in the code an error comes from."
COMPLETION = "Let your shell complete the commands."

GROUPS: dict[str, str] = {
    "run": "List runs, look at one, read its log, cancel it.",
    "deployment": "List what is served, and start runs of it.",
    "worker": "List the processes that execute runs.",
    "server": "Start, stop and show the embedded server, which is used without RUNBUS_URL.",
}
"""Groups of commands, each the module of its name: what it is for."""

COMMANDS: dict[str, tuple[str, str]] = {
    "resume": (
        "resume",
        "Answer a run that waits.\n\n"
        "On a terminal it asks for each field of the form: Enter takes what stands in brackets, or "
        "leaves an optional field out; Ctrl-C leaves without an answer. Elsewhere, and in scripts, "
        "--input has the answer.",
    ),
    "send": ("inputs", "Send an input to a run."),
    "inputs": ("inputs", "Print the inputs that a run was sent."),
    "events": ("events", "Print each change of a run's state as it happens."),
    "doctor": (
        "doctor",
        "Find out what is wrong with the server, and what to do.\n\n"
        "It looks at the server's version, memory, eviction, persistence and clock, at how fast it "
        "wakes who waits, at replicas, and at the leases, the queue and the indexes of runs. The "
        "exit code is 1 when something is wrong. --repair puts right what the indexes say (a user "
        "with all rights may).",
    ),
    "demo": ("demo", "Talk to a greeter in another process."),
    "web": ("web", "Serve the web page."),
    "acl": (
        "acl",
        "Print server users with the least rights, as a Redis ACL file.\n\n"
        "`sender` sends inputs and reads nothing. `worker` executes runs and can do whatever a "
        "flow can, but answer no pause. `reader` sees everything and changes nothing. `web` sees, "
        "answers, sends, starts and cancels. `admin` may do everything on the server, `default` "
        "nothing.\n\n"
        "They fit the scripts of this version of runbus: print them anew when you upgrade. Without "
        "--password-file the server does not load the file before each placeholder is replaced by "
        'the SHA-256 of a password (`printf %s "$password" | sha256sum`).',
    ),
}
"""Commands: the module and the help of each, which begins with what it is for."""
