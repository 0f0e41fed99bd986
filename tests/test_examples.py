"""The programs in `examples`, run as a user runs them and answered as a person would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runbus import (
    cancel_flow_run,
    get_client,
    resume_flow_run,
    run_deployment,
    send_input,
    wait_for_flow_run,
)
from runbus.background.bridge import run as block
from runbus.errors import AnswerRefused, DeploymentMissing
from runbus.input import RunInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

    from servers import Server

    from runbus.protocol.records import FlowRun, Pause

EXAMPLES = Path(__file__).parent / "examples"
PATIENCE = 30.0
Program = subprocess.Popen[str]


@contextmanager
def running(server: Server, *command: str) -> Iterator[Program]:
    """A program of `examples` in a process of its own, with pipes to it."""
    environment = {
        **os.environ,
        "RUNBUS_URL": server.url,
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": str(EXAMPLES),
    }
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, *command],
        env=environment,
        text=True,
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
    ) as program:
        try:
            yield program
        finally:
            program.kill()


def example(server: Server, name: str) -> Any:
    """The program of this name, run as `python name.py`."""
    return running(server, str(EXAMPLES / f"{name}.py"))


def printed(program: Program) -> str:
    """What a program prints until it ends well."""
    out, err = program.communicate(timeout=PATIENCE)
    assert program.returncode == 0, err
    return out


def until(condition: Callable[[], Any], *passing: type[Exception]) -> Any:
    """Wait for what another process does; errors of the `passing` kinds mean: not yet."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            if found := condition():
                return found
        except passing:
            pass
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def run_in(state: str) -> FlowRun:
    """The one run that there is, as soon as it is in a state."""
    return until(lambda: next((run for run in runs() if run.state.name == state), None))


def runs() -> list[FlowRun]:
    return block(lambda: get_client().read_flow_runs())


def pause_of(run_id: UUID) -> Pause:
    pause = block(lambda: get_client().read_pause(run_id))
    assert pause is not None
    return pause


def started(name: str, parameters: dict[str, Any] | None = None) -> FlowRun:
    """A run of a deployment, as soon as that is served."""
    return until(lambda: run_deployment(name, parameters, timeout=0), DeploymentMissing)


def result_of(run: FlowRun) -> Any:
    return wait_for_flow_run(run.id, timeout=PATIENCE).state.result()


def test_a_pause_for_a_name(server: Server) -> None:
    """A built-in type is answered by `value`."""
    with example(server, "pause_for_a_name") as program:
        resume_flow_run(run_in("Paused").id, {"value": "Ada"})
        assert printed(program) == "Welcome, Ada!\n"


def test_a_pause_for_a_model(server: Server) -> None:
    """What does not fit is refused, and the first answer that does is the flow's."""
    with example(server, "pause_for_a_model") as program:
        run_id = run_in("Paused").id
        for wrong, field in (({"name": "Ada", "age": -1}, "age"), ({"age": 36}, "name")):
            with pytest.raises(AnswerRefused) as refused:
                resume_flow_run(run_id, wrong)
            assert refused.value.problems.keys() == {field}
        resume_flow_run(run_id, {"name": "Ada", "age": 36})
        assert printed(program) == "Ada (36) comes to dinner.\n"


@pytest.mark.parametrize(
    ("answer", "outcome"), [({}, "2 days in Ghent\n"), ({"days": 3}, "3 days in Ghent\n")]
)
def test_initial_data(valkey: Server, answer: dict[str, Any], outcome: str) -> None:
    """The form's values are taken where the answer has none."""
    with example(valkey, "initial_data") as program:
        run_id = run_in("Paused").id
        schema = pause_of(run_id).schema
        assert schema is not None
        assert schema["properties"]["city"]["default"] == "Ghent"
        resume_flow_run(run_id, answer)
        assert printed(program) == outcome


def test_a_description_that_the_flow_made(valkey: Server) -> None:
    """Who answers reads the Markdown with the run's own figures."""
    with example(valkey, "description") as program:
        run_id = run_in("Paused").id
        description = pause_of(run_id).description or ""
        assert "## Grace has 2 open bills\n- 20.00\n- 130.50\n" in description
        assert "**150.50**" in description
        resume_flow_run(run_id, {"amount": 42.5})
        assert printed(program) == "Grace still owes 108.00\n"


def test_a_validator_in_a_loop(server: Server) -> None:
    """The flow's own validator refuses; the form comes again and says why."""
    with example(server, "validator") as program:
        run_id = run_in("Paused").id
        assert pause_of(run_id).description == "Which one?"
        resume_flow_run(run_id, {"size": "s", "colour": "green"})
        until(lambda: pause_of(run_in("Paused").id).generation == 2, AssertionError)
        assert "green is sold out in small" in (pause_of(run_id).description or "")
        resume_flow_run(run_id, {"size": "s", "colour": "red"})
        assert printed(program) == "One red shirt in s\n"


def test_an_approval_without_input(server: Server) -> None:
    """To resume is to approve."""
    with example(server, "approval") as program:
        pause = pause_of(run_in("Paused").id)
        assert (pause.schema, pause.description) == (None, None)
        resume_flow_run(run_in("Paused").id)
        assert printed(program) == "1.4.2 goes out.\n"


def test_an_approval_that_is_withdrawn(valkey: Server) -> None:
    """A run that is cancelled while it waits prints nothing and does not end well."""
    with example(valkey, "approval") as program:
        cancel_flow_run(run_in("Paused").id)
        out, _ = program.communicate(timeout=PATIENCE)
        assert (program.returncode, out) == (1, "")
    assert [run.state.name for run in runs()] == ["Cancelled"]


def test_a_suspended_run_waits_for_its_approval(server: Server) -> None:
    """The worker that suspended the run is gone; the next one goes on with it."""
    with example(server, "suspend") as program:
        run = started("refund/desk", {"amount": 70})
        run_in("Suspended")
        program.terminate()
        assert printed(program) == ""
    resume_flow_run(run.id, {"approved": True, "note": "as agreed"})
    with example(server, "suspend") as program:
        assert result_of(run) == "refunded"
        program.terminate()
        assert printed(program) == "70.00 refunded as agreed\n"


class Alarm(RunInput):
    """The sender's own idea of the receiver's model: the names are what counts."""

    text: str


def test_a_receiver_takes_what_is_sent(server: Server) -> None:
    """Each type comes on its own, in order, while the flow runs."""
    with example(server, "receiver") as program:
        assert program.stdout
        run_id = program.stdout.readline().strip()
        Alarm(text="fire").send_to(run_id)
        assert program.stdout.readline() == "Alarm: fire\n"
        send_input(21.5, run_id)
        send_input(19.0, run_id)
        assert printed(program) == "21.5 °C\n19.0 °C\n21.5 °C at most\n"


def test_a_responder_answers(valkey: Server) -> None:
    """Two flows that talk in one process."""
    with example(valkey, "responder") as program:
        assert printed(program) == "[3, 12]\n"


def test_a_greeter_and_a_sender(server: Server) -> None:
    """Two processes: names go one way and greetings the other, across a suspend and a resume."""
    ask = "What is your name? "
    talk = "import sender; sender.sender(idle_seconds=1)"
    with example(server, "greeter") as greeter:
        assert greeter.stderr
        assert "serving greeter/hall" in greeter.stderr.readline()
        with running(server, "-c", talk) as sender:
            said = conversation(sender)
            assert said("Ada") == f"{ask}Hello, Ada!\n"
            assert said("Grace") == f"{ask}Hello, Grace!\n"
            suspended = run_in("Suspended")
            assert suspended.flow_name == "greeter"
            assert said("Edsger") == f"{ask}Hello, Edsger!\n"
            assert said("q") == f"{ask}3 greetings\n"
            assert printed(sender) == ""
            assert sorted(run.state.name for run in runs()) == ["Completed", "Completed"]
            assert result_of(suspended) == 3
    remove_blocks(server)


def test_a_greeter_that_nobody_talks_to_again(valkey: Server) -> None:
    """Resumed, it waits once more; the suspend that it meets then has been answered."""
    with example(valkey, "greeter"):
        run = started("greeter/hall", {"idle_seconds": 0.2})
        run_in("Suspended")
        resume_flow_run(run.id)
        assert result_of(run) == 0


def conversation(program: Program) -> Callable[[str], str]:
    """Type a line, and read a line."""

    def said(line: str) -> str:
        assert program.stdin
        assert program.stdout
        program.stdin.write(f"{line}\n")
        program.stdin.flush()
        return program.stdout.readline()

    return said


def remove_blocks(server: Server) -> None:
    """A block lives until somebody deletes it."""
    with server.client() as client:
        for key in client.scan_iter("runbus:block:*"):
            client.delete(key)


@pytest.mark.parametrize("program", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_is_short_and_says_what_to_try(program: Path) -> None:
    """Each is a page, with a docstring that tells the reader what to do."""
    text = program.read_text()
    assert 15 <= len(text.splitlines()) <= 60
    assert re.match(r'"""[A-Z].*?\n\nTry: ', text, re.DOTALL)
