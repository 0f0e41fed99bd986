"""The page in this process, where a question changes in the middle of a request."""

from __future__ import annotations

import httpx
import pytest
from owners import Executions

from runbus import RunInput
from runbus.web.app import Page
from runbus.web.options import read_options


class Old(RunInput):
    name: str


class New(RunInput):
    size: str = "small"
    name: str


async def asks(several, model):
    await several.next()
    await several.ask(model)


@pytest.mark.parametrize("typed", [{"/name": "Ada", "do": "again"}, {"/name": "", "do": "send"}])
async def test_a_question_that_changes_while_its_form_is_made(valkey, typed):
    """The form stays one of the question that it was read with, and so it answers no other."""
    several = Executions()
    await asks(several, Old)
    page = Page(read_options([]))
    before = page.site.client

    class Late:
        def __getattr__(self, name):
            return getattr(before, name)

        async def read_pauses(self, run_id):
            page.site.client = before
            await asks(several, New)
            return await before.read_pauses(run_id)

    page.site.client = Late()
    transport = httpx.ASGITransport(page.asgi)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as browser:
        posted = {"pause": "1", "generation": "1", **typed}
        origin = {"Origin": "http://127.0.0.1"}
        place = f"/runs/{several.run_id}/answer"
        shown = await browser.post(place, data=posted, headers=origin)
        assert 'name="generation" value="1"' in shown.text
        assert 'data-question="1 1"' in shown.text
        posted = {"pause": "1", "generation": "1", "/name": "Eve", "do": "send"}
        again = await browser.post(place, data=posted, headers=origin)
        assert again.status_code == 409
        assert 'name="generation" value="2"' in again.text
        assert 'value="Eve"' in again.text
    page.live.stop()
    await several.end()
