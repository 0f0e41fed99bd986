"""Questions that are asked again, as those see them who answer on the page and by its API."""

from __future__ import annotations

import re

import pytest
from owners import Executions
from page_process import done, until
from pydantic import BaseModel, Field, SecretStr
from test_browser import only_run, open_question, result_of

from runbus import RunInput, get_client
from runbus.protocol.problems import Problem
from runbus.store.records.pause_opening import Refused

try:
    from playwright.sync_api import expect
except ImportError:  # then the fixture `browse` says so
    expect = None

WRONG = {"seats": 3, "name": "Ada", "code": "hush", "guests": [{"name": "Bob"}, {"name": "Eve"}]}


class Old(RunInput):
    name: str
    note: str = ""


class New(RunInput):
    size: str = "small"
    name: str
    sure: bool = False


class Address(BaseModel):
    street: str


class Other(RunInput):
    name: Address


def waiting(client):
    return until(lambda: client.get("/api/waiting").json())


def asked_again(run_id, generation=2):
    """The pause of a run once it is of this generation."""

    def look():
        pause = done(get_client().read_pause(run_id))
        return pause if pause and pause.generation == generation else None

    return until(look)


def send(question):
    question.get_by_role("button", name="Send the answer").last.click()


@pytest.fixture
def several(site):
    """A run that is executed by one process after the other, each with a form of its own."""
    found = Executions()
    yield found
    done(found.end())


async def _asks(several, model):
    await several.next()
    await several.ask(model)


def test_a_program_reads_why_its_answer_was_refused(site, started):
    """The problems with their places, and the last answer without its secrets."""
    started("reserve")
    client = site.client()
    [found] = waiting(client)
    run = found["run"]["id"]
    assert (found["pause"]["problems"], found["pause"]["former"]) == ([], None)
    about = {"pause": found["pause"]["key"], "generation": 1}
    path = f"/api/runs/{run}/answer"
    assert client.post(path, json={"answer": WRONG, **about}).status_code == 204
    asked_again(run)
    [pause] = client.get(f"/api/runs/{run}/pauses").json()
    assert pause["problems"] == [{"loc": ["seats"], "message": "we have pairs of seats alone"}]
    assert pause["former"] == {name: WRONG[name] for name in ("seats", "name", "guests")}
    late = client.post(path, json={"answer": {**WRONG, "seats": 2}, **about})
    assert late.status_code == 409
    assert "asked again" in late.json()["problem"]
    done(get_client().resume_flow_run(run, {**WRONG, "seats": 2}))


@pytest.mark.parametrize("has_scripts", [True, False], ids=["scripts", "no scripts"])
def test_a_refused_answer_is_shown_with_what_was_wrong(site, browse, started, has_scripts):
    """Each sentence stands at its field, what is wrong with the whole above; no secret is there."""
    started("reserve")
    page = browse(java_script_enabled=has_scripts)
    question = open_question(page, site, "reserve")
    run = only_run()
    question.get_by_label("Seats").fill("1")
    question.get_by_label("Name").fill("Ada")
    question.get_by_label("Code").fill("hush")
    for number, name in enumerate(("Bob", "Eve")):
        question.get_by_role("button", name="Add to Guests").click()
        guests = question.get_by_role("group", name="Guests").get_by_label("Name")
        guests.nth(number).fill(name)
    send(question)
    asked_again(run.id)
    if not has_scripts:
        page.reload()
    expect(page.locator("#f_2fseats-problem")).to_have_text("we have pairs of seats alone")
    expect(question.get_by_label("Seats")).to_have_value("1")
    expect(question.get_by_label("Name").first).to_have_value("Ada")
    expect(question.get_by_role("group", name="Guests").get_by_label("Name").last).to_have_value(
        "Eve"
    )
    expect(question.get_by_label("Code")).to_have_value("")
    expect(question.get_by_text("The last answer was not taken")).to_be_visible()
    assert "hush" not in page.content()
    question.get_by_label("Seats").fill("0")
    send(question)
    asked_again(run.id, 3)
    if not has_scripts:
        page.reload()
    expect(question.locator("ul.problems")).to_have_text("there are more guests than seats")
    question.get_by_label("Seats").fill("2")
    send(question)
    assert result_of(run) == "Ada"


@pytest.mark.parametrize("has_scripts", [True, False], ids=["scripts", "no scripts"])
def test_a_form_that_changes_keeps_what_was_typed(several, site, browse, has_scripts):
    """Whoever sends the old form gets the new one, with what was typed, and is told."""
    done(_asks(several, Old))
    page = browse(java_script_enabled=has_scripts)
    page.goto(f"{site.url}runs/{several.run_id}")
    question = page.get_by_label("The question")
    question.get_by_label("Name").fill("Ada")
    done(_asks(several, New))
    if has_scripts:
        expect(page.get_by_text("This question was asked again")).to_be_visible()
        page.get_by_role("button", name="Show the new question").click()
    else:
        send(question)
    expect(question.get_by_role("alert").first).to_contain_text("What you typed is still here")
    expect(question.get_by_label("Name")).to_have_value("Ada")
    expect(question.get_by_label("Size")).to_have_value("small")
    assert asked_again(several.run_id).state == "pending"
    send(question)
    until(lambda: done(get_client().read_pauses(several.run_id))[0].state == "answered")
    [pause] = done(get_client().read_pauses(several.run_id))
    assert b'"name":"Ada"' in pause.value


def test_a_form_that_nobody_touched_is_the_new_one(several, site, browse):
    """It follows by itself, and the last answer is filled in."""
    done(_asks(several, Old))
    page = browse()
    page.goto(f"{site.url}runs/{several.run_id}")
    expect(page.get_by_label("Note")).to_be_visible()
    done(get_client().resume_flow_run(several.run_id, {"name": "Ada", "note": "x"}))
    problems = b'[{"loc":["name"],"message":"too short"},{"loc":["note"],"message":"gone"}]'
    why = Refused(generation=1, problems=problems, veiled=b"[]")
    done(several.next())
    done(several.ask(New, refused=why))
    expect(page.locator("#f_2fname-problem")).to_have_text("too short")
    expect(page.get_by_label("Name")).to_have_value("Ada")
    expect(page.locator("#answer ul.problems")).to_have_text("note: gone")


def test_what_was_typed_in_the_json_box_is_kept(several, site, browse):
    """As the text that it is."""
    done(_asks(several, Old))
    page = browse(java_script_enabled=False)
    page.goto(f"{site.url}runs/{several.run_id}")
    page.locator("#json-box summary").click()
    page.locator("#json").fill('{"name": "Ada", "note": 7')
    done(_asks(several, New))
    page.locator("#json-box").get_by_role("button").click()
    expect(page.locator("#json")).to_have_value('{"name": "Ada", "note": 7')
    expect(page.get_by_text("asked again meanwhile")).to_be_visible()


def test_old_values_that_have_no_field_any_more(several, site):
    """What was a text is a group of fields by now: the page is shown all the same."""
    done(_asks(several, Old))
    done(get_client().resume_flow_run(several.run_id, {"name": "Ada"}))
    why = Refused(
        generation=1,
        problems=b'[{"loc":["name"],"message":"it must be an address"}]',
        veiled=b"[]",
    )
    done(several.next())
    done(several.ask(Other, refused=why))
    shown = site.client().get(f"/runs/{several.run_id}")
    assert shown.status_code == 200
    assert re.search(r'id="f_2fname-problem"[^>]*>it must be an address<', shown.text)
    typed = {"pause": "1", "generation": "1", "/name": "Bob", "do": "send"}
    again = site.client().post(f"/runs/{several.run_id}/answer", data=typed)
    assert again.status_code == 409
    assert asked_again(several.run_id).problems == (
        Problem(loc=("name",), message="it must be an address"),
    )


def test_a_field_that_was_secret_is_not_filled_in(several, site):
    """Nor one that has become a secret since."""

    class Secret(RunInput):
        name: SecretStr
        note: str = ""

    class SecretNote(RunInput):
        name: str
        note: SecretStr = SecretStr("")

    done(_asks(several, Secret))
    done(get_client().resume_flow_run(several.run_id, {"name": "hush", "note": "whisper"}))
    why = Refused(generation=1, problems=b"[]", veiled=b'["name"]')
    done(several.next())
    done(several.ask(SecretNote, refused=why))
    for path in (f"/runs/{several.run_id}", f"/api/runs/{several.run_id}/pauses", "/api/waiting"):
        shown = site.client().get(path)
        assert shown.status_code == 200
        assert "hush" not in shown.text
        assert "whisper" not in shown.text


class Login(BaseModel):
    user: str = Field(max_length=5)
    code: SecretStr


class Secrets(RunInput):
    seats: int
    code: SecretStr
    number: int = Field(json_schema_extra={"writeOnly": True})
    logins: list[Login] = Field([])


TYPED = {
    "/seats": "many",
    "/code": "hush",
    "/number": "987654",
    "/logins#item": ["", "0"],
    "/logins/0/user": "Ada",
    "/logins/0/code": "hushed",
}
SENT = {
    "refused": {**TYPED, "do": "send"},
    "again": {**TYPED, "do": "add /logins"},
    "json": {"do": "json", "json": '{"seats": "many", "code": "hush", "number": 987654}'},
    "no json": {"do": "json", "json": '{"code": "hush", "number": 987654'},
}


@pytest.mark.parametrize("generation", [1, 2])
@pytest.mark.parametrize("sent", SENT.values(), ids=SENT)
def test_no_page_holds_a_secret_that_was_typed(several, site, sent, generation):
    """Whatever is wrong with the form that came back, at every depth; all else is still there."""
    done(_asks(several, Secrets))
    if generation == 2:
        old = {"seats": 1, "code": "old one", "number": 1}
        done(get_client().resume_flow_run(several.run_id, old))
        why = Refused(generation=1, problems=b"[]", veiled=b'["code"]')
        done(several.next())
        done(several.ask(Secrets, refused=why))
    posted = {"pause": "1", "generation": "1", **sent}
    back = site.client().post(f"/runs/{several.run_id}/answer", data=posted)
    assert back.status_code == (409 if generation == 2 else 200 if "add" in sent["do"] else 422)
    assert "hush" not in back.text
    assert "987654" not in back.text
    assert "it has to be typed again" in back.text


def test_a_browser_keeps_the_secret_that_was_typed(several, site, browse):
    """Its scripts put it back where it was."""
    done(_asks(several, Secrets))
    page = browse()
    page.goto(f"{site.url}runs/{several.run_id}")
    question = page.get_by_label("The question")
    question.get_by_label("Code").fill("hush")
    question.get_by_label("Number").fill("7")
    question.get_by_label("Seats").fill("many")
    send(question)
    expect(page.locator("#f_2fseats-problem")).not_to_be_empty()
    expect(question.get_by_label("Code")).to_have_value("hush")
    expect(question.locator("[data-left-out='/code']")).to_have_count(0)
    question.get_by_label("Seats").fill("2")
    send(question)
    until(lambda: done(get_client().read_pauses(several.run_id))[0].state == "answered")


class Noted(RunInput):
    name: str
    note: str = ""
    code: SecretStr = SecretStr("")


class Named(RunInput):
    name: str


@pytest.mark.parametrize("has_scripts", [True, False], ids=["scripts", "no scripts"])
def test_what_was_typed_into_a_field_that_is_gone_is_shown(several, site, browse, has_scripts):
    """Below the form; of what was a secret only the name."""
    done(_asks(several, Noted))
    page = browse(java_script_enabled=has_scripts)
    page.goto(f"{site.url}runs/{several.run_id}")
    question = page.get_by_label("The question")
    for label, text in (("Name", "Ada"), ("Note", "<b>mine</b>"), ("Code", "hush")):
        question.get_by_label(label).fill(text)
    done(_asks(several, Named))
    if has_scripts:
        page.get_by_role("button", name="Show the new question").click()
    else:
        send(question)
    expect(question.get_by_label("Name")).to_have_value("Ada")
    expect(question.get_by_role("alert").first).to_contain_text("what is no longer asked for")
    expect(question.locator("ul.gone li")).to_have_text(
        ["note is no longer asked for; its field held: <b>mine</b>", "code is no longer asked for"]
    )
    assert "hush" not in page.content()


def test_what_may_have_been_a_secret_is_only_named(several, site):
    """A form that does not say which of its fields are secret comes from elsewhere."""
    done(_asks(several, Noted))
    done(_asks(several, Named))
    typed = {"pause": "1", "generation": "1", "/name": "Ada", "/note": "mine", "do": "send"}
    back = site.client().post(f"/runs/{several.run_id}/answer", data=typed)
    assert "<li>note is no longer asked for</li>" in back.text
    assert "mine" not in back.text
