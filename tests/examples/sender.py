"""A flow that starts the greeter of `greeter.py` and talks to it.

Try: run it while `greeter.py` runs, and type names; `q` ends both runs. A greeter that has left its
process meanwhile is resumed. The greeter is written with `await`, the sender without: they are
equal partners.
"""

from contextlib import suppress
from uuid import UUID

from runbus import (
    flow,
    receive_input,
    resume_flow_run,
    run_deployment,
    send_input,
    wait_for_flow_run,
)
from runbus.errors import NotPaused

EXIT_SIGNAL = "__EXIT__"


@flow
def sender(idle_seconds: float = 5) -> None:
    parameters = {"idle_seconds": idle_seconds}
    greeter = run_deployment("greeter/hall", parameters, timeout=0, as_subflow=False)
    greetings = receive_input(str, timeout=30)
    while (name := input("What is your name? ")) != "q":
        say(name, greeter.id)
        print(greetings.next(), flush=True)

    say(EXIT_SIGNAL, greeter.id)
    ended = wait_for_flow_run(greeter.id, timeout=30)
    print(f"{ended.state.result()} greetings")


def say(text: str, greeter: UUID) -> None:
    send_input(text, greeter)
    with suppress(NotPaused):
        resume_flow_run(greeter)


if __name__ == "__main__":
    sender()
