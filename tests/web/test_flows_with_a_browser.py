"""Sync flows that use Playwright's sync API, which keeps an event loop in their thread."""

from __future__ import annotations

import asyncio
from threading import Thread
from typing import TYPE_CHECKING, Any

from runbus import (
    flow,
    get_client,
    get_run_context,
    pause_flow_run,
    receive_input,
    send_input,
)
from runbus.background.bridge import run as block
from runbus.errors import NotPaused

if TYPE_CHECKING:
    from uuid import UUID

    from servers import Server


def answer_when_asked(ids: list[UUID], value: int) -> None:
    while True:
        try:
            block(lambda: get_client().resume_flow_run(ids[0], {"value": value}))
        except (IndexError, NotPaused):
            continue
        return


def test_verbs_beside_a_browser(valkey: Server, chromium: Any) -> None:
    """They block the flow, as everywhere in it, and the browser is there afterwards."""
    ids: list[UUID] = []

    @flow
    def browse() -> list[Any]:
        ids.append(get_run_context().run_id)
        page = chromium.new_page()
        page.set_content("<h1>hello</h1>")
        send_input("a note", ids[0])
        note = receive_input(str, timeout=10).next()
        (again,) = receive_input(str, timeout=0, raise_timeout_error=False)
        answer = pause_flow_run(int)
        heading = page.inner_text("h1")
        page.close()
        return [note, again, answer, heading, called(), asyncio.iscoroutinefunction(browse)]

    @flow
    def called() -> int:
        return receive_input(int, timeout=0, flow_run_id=ids[0], raise_timeout_error=False) and 1

    person = Thread(target=answer_when_asked, args=(ids, 5))
    person.start()
    assert browse() == ["a note", "a note", 5, "hello", 1, False]
    person.join()
