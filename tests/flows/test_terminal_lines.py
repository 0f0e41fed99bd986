"""The lines that a person sees: a run begins, waits and for what, goes on and thanks to whom."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from runbus import RunInput, flow, get_run_context, pause_flow_run, resume_flow_run
from runbus.errors import FlowPauseTimeout, NotPaused

if TYPE_CHECKING:
    from servers import Server


class Guest(RunInput):
    name: str


ASKED_FOR: list[tuple[Any, str]] = [
    (None, "a go-ahead"),
    (str, "a text"),
    (list[int], "a list of whole numbers"),
    (Guest, "Guest"),
    (Guest.with_initial_data(description="\n## Who **comes**?\n\nTell us."), '"Who comes?"'),
    (Guest.with_initial_data(description="x" * 300), f'"{"x" * 79}…"'),
    (Guest.with_initial_data(description="\x1b[31mred"), r'"\x1b[31mred"'),
]


@pytest.mark.parametrize(("asked_for", "title"), ASKED_FOR)
def test_a_pause_says_what_it_waits_for(
    valkey: Server, caplog: pytest.LogCaptureFixture, asked_for: Any, title: str
) -> None:
    """It says so in a few words, and how to answer; the end is told too."""
    caplog.set_level(logging.INFO, "runbus.flow_runs")

    @flow(flow_run_name="calm-otter")
    def ask() -> None:
        with pytest.raises(FlowPauseTimeout):
            pause_flow_run(asked_for, timeout=0.01)

    ask()
    assert caplog.messages == [
        "calm-otter: a run of ask begins",
        f"calm-otter is paused for {title}; to answer: runbus resume calm-otter",
        "calm-otter: Completed",
    ]


def test_a_name_that_a_shell_would_take_apart(
    valkey: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """It is quoted in the command that answers."""
    caplog.set_level(logging.INFO, "runbus.flow_runs")

    @flow(flow_run_name="tea; for two")
    def ask() -> None:
        with pytest.raises(FlowPauseTimeout):
            pause_flow_run(timeout=0.01)

    ask()
    assert "to answer: runbus resume 'tea; for two'" in caplog.messages[1]


@pytest.mark.parametrize(("by", "line"), [("ada", " goes on, resumed by ada"), (None, " goes on")])
def test_a_run_that_goes_on_says_thanks_to_whom(
    valkey: Server, caplog: pytest.LogCaptureFixture, by: str | None, line: str
) -> None:
    """Who answered is told, if they said who they are."""
    caplog.set_level(logging.INFO, "runbus.flow_runs")

    def answer(run_id: object) -> None:
        while True:
            try:
                return resume_flow_run(str(run_id), by=by)
            except NotPaused:
                time.sleep(0.01)

    @flow(flow_run_name="calm-otter")
    def ask() -> None:
        threading.Thread(target=answer, args=(get_run_context().run_id,)).start()
        pause_flow_run(timeout=20)

    ask()
    assert caplog.messages[2] == f"calm-otter{line}"
