"""Controls: what a browser is asked to show for a field, and what it says itself."""

from __future__ import annotations

import re

from page_process import done, until

from runbus import get_client
from runbus.forms import catalogue

try:
    from playwright.sync_api import expect
except ImportError:  # then the fixture `browse` says so
    expect = None


def waiting(client):
    return until(lambda: client.get("/api/waiting").json())[0]["run"]["id"]


def control(text, name):
    """The attributes of the control with a name."""
    (found,) = re.findall(rf'<input[^>]* name="{re.escape(name)}"[^>]*>', text)
    return dict(re.findall(r'([\w-]+)="([^"]*)"', found))


def test_a_number_is_a_text_with_a_keyboard_of_numbers(site, started):
    """A number control would drop what is no number, and round it; a keypad may lack the minus."""
    started("sign")
    with site.client() as client:
        page = client.get(f"/runs/{waiting(client)}").text
    for name, keyboard in (("guests", "numeric"), ("price", "decimal"), ("weight", "text")):
        found = control(page, f"/{name}")
        assert (found["type"], found["inputmode"]) == ("text", keyboard), name
    assert control(page, "/price")["value"] == "12.50"


def test_a_secret_is_typed_unseen_and_never_kept(site, started):
    """Of any type, and in a list; no browser offers it again."""
    started("sign")
    with site.client() as client:
        page = client.get(f"/runs/{waiting(client)}").text
    for name in ("password", "pin", "spare/0"):
        found = control(page, f"/{name}")
        assert (found["type"], found["autocomplete"], found["value"]) == ("password", "off", "")


def test_a_browser_judges_as_the_server_does(site, browse, started):
    """All scripts are letters to it, and the model's own words come before the catalogue's."""
    started("sign")
    with site.client() as client:
        run_id = waiting(client)
    page = browse()
    page.goto(f"{site.url}runs/{run_id}")
    problem_of = {name: page.locator(f"#f_2f{name}-problem") for name in ("word", "guests", "pin")}
    page.locator('[name="/word"]').fill("a b")
    page.locator('[name="/guests"]').fill("0")
    page.get_by_role("button", name="Send the answer").last.click()
    expect(problem_of["word"]).to_have_text(re.compile(r"it must match \^\\w\+\$"))
    expect(problem_of["guests"]).to_have_text("Bring at least one guest")
    expect(problem_of["pin"]).to_have_text(catalogue.REQUIRED)

    page.locator('[name="/word"]').fill("Zürich")
    page.locator('[name="/guests"]').fill("2")
    page.locator('[name="/password"]').fill("hush")
    page.locator('[name="/pin"]').fill("7")
    page.locator('[name="/spare/0"]').fill("hush")
    page.get_by_role("button", name="Send the answer").last.click()
    expect(page.locator("#state")).to_have_text("Completed")
    ended = done(get_client().wait_for_flow_run(run_id, timeout=20))
    assert ended.state.result() == ["Zürich", "12.50"]
