"""The page in a real browser, as people use it."""

from __future__ import annotations

import gzip
import re

from page_process import done, until
from questions import HOSTILE

from runbus import get_client, send_input

try:
    from playwright.sync_api import expect
except ImportError:  # then the fixture `browse` says so
    expect = None


def only_run():
    """The newest run, once there is one."""
    return until(lambda: done(get_client().read_flow_runs(limit=1)))[0]


def only_waiting(count=1):
    """Wait until runs wait: without a script a page does not follow."""
    until(lambda: done(get_client().count_waiting()) == count)


def state_of(run):
    return done(get_client().read_flow_run(run.id)).state


def result_of(run):
    return done(get_client().wait_for_flow_run(run.id, timeout=20)).state.result()


def open_question(page, site, flow_name):
    """From the inbox: the question is one click away."""
    only_waiting()
    page.goto(site.url)
    page.locator("a.card", has_text=flow_name).click()
    return page.get_by_label("The question")


def test_a_person_answers_a_run_that_appears(site, browse, started):
    """A run appears by itself; a wrong answer is told why and kept; a right one lets it go on."""
    page = browse()
    page.goto(site.url)
    expect(page.get_by_text("Nothing waits for you")).to_be_visible()
    started("book")
    card = page.locator("a.card", has_text="Shall 12 people get the large room?")
    expect(card).to_be_visible()
    expect(page).to_have_title(re.compile(r"^\(1\) "))
    card.click()

    question = page.get_by_label("The question")
    expect(question.locator("strong")).to_have_text("12 people")
    expect(question.get_by_role("link", name="a view")).to_have_attribute(
        "href", "https://example.org/"
    )
    seats = question.get_by_label("Seats")
    expect(seats).to_be_focused()
    expect(question.get_by_label("Name", exact=False).first).to_have_value("Ada Lovelace")
    expect(question.get_by_text("Whom shall we write to?")).to_be_visible()

    seats.fill("12")
    page.keyboard.press("Enter")
    expect(seats).to_have_accessible_description(re.compile("at most 8"))
    expect(seats).to_be_focused()
    expect(question.locator("#f_2fsure-problem")).not_to_be_empty()
    assert state_of(only_run()).name == "Paused"

    seats.fill("4")
    question.get_by_label("Size").select_option("large")
    question.get_by_label("Yes").check()
    question.get_by_role("button", name="Add to Guests").click()
    expect(question.get_by_role("group", name="Guests").get_by_label("Name")).to_be_focused()
    page.keyboard.type("Bob")
    question.get_by_role("button", name="Send the answer").last.click()

    expect(page.locator("#state")).to_have_text("Completed")
    expect(page.get_by_text("4 seats for Ada Lovelace")).to_be_visible()
    expect(page.locator("#log")).to_contain_text("Booked for Ada Lovelace")
    [pause] = done(get_client().read_pauses(only_run().id))
    assert pause.by
    page.goto(site.url)
    expect(page.get_by_text("Nothing waits for you")).to_be_visible()


def test_what_the_server_refuses_is_said_beside_its_field(site, browse, started):
    """What only the server sees wrong stands at its field, and nothing typed is lost."""
    started("book")
    page = browse()
    question = open_question(page, site, "book")
    page.evaluate("document.querySelector('[name=\"/seats\"]').type = 'text'")
    question.get_by_label("Seats").fill("many")
    question.get_by_label("Name").first.fill("Grace")
    question.get_by_label("Size").select_option("small")
    question.get_by_label("Yes").check()
    page.keyboard.press("Enter")
    expect(page.locator("#f_2fseats-problem")).to_contain_text("not a whole number")
    expect(question.get_by_label("Name").first).to_have_value("Grace")
    expect(question.get_by_label("Size")).to_have_value('"small"')
    expect(question.get_by_label("Yes")).to_be_checked()
    assert state_of(only_run()).name == "Paused"


def test_an_answered_run_vanishes_from_the_inbox(site, browse, started):
    """The list follows without a reload, in the order of deadlines, and the focus stays."""
    for each in ("approve", "ask", "book"):
        started(each)
    only_waiting(3)
    page = browse()
    page.goto(site.url)
    expect(page.locator("a.card")).to_have_count(3)
    expect(page.locator("a.card b")).to_have_text(["ask", "book", "approve"])
    page.locator("a.card").last.focus()
    kept = page.locator("a.card").last.get_attribute("href")
    [first] = [r for r in done(get_client().read_flow_runs()) if r.flow_name == "ask"]
    done(get_client().resume_flow_run(first.id, {"value": "you"}))
    expect(page.locator("a.card b")).to_have_text(["book", "approve"])
    assert page.evaluate("document.activeElement.getAttribute('href')") == kept


def test_the_second_of_two_sees_who_was_first(guarded_site, browse, started):
    """Two people, two windows, one question: the second is told who, when and with what."""
    started("ask")
    windows = {}
    for name in ("ada", "bob"):
        windows[name] = page = browse()
        page.goto(guarded_site.url)
        page.get_by_label("Your token").fill(f"{name}-0123456789abcdef")
        page.keyboard.press("Enter")
        page.locator("a.card").click()
        expect(page.get_by_label("Your answer")).to_be_focused()
        page.keyboard.type(f"from {name}")
    windows["ada"].keyboard.press("Enter")
    expect(windows["ada"].locator("#state")).to_have_text("Completed")
    late = windows["bob"]
    expect(late.get_by_text("What you typed is still here")).to_be_visible()
    expect(late.get_by_label("Your answer")).to_have_value("from bob")
    late.get_by_label("Your answer").press("Enter")
    told = late.get_by_label("The question").get_by_role("alert")
    expect(told.get_by_role("heading")).to_have_text("ada was first")
    expect(told).to_contain_text("ago")
    expect(told.locator(".value")).to_have_text("from ada")
    told.get_by_text("What you typed").click()
    expect(told.locator("pre")).to_contain_text("from bob")
    assert result_of(only_run()) == "Hello, from ada!"


def test_an_old_form_does_not_answer_the_next_question(site, browse, started):
    """A form is about one question of a run, also when the next one looks the same."""
    started("ask_twice")
    page = browse(java_script_enabled=False)
    open_question(page, site, "ask-twice")
    page.get_by_label("Your answer").fill("too late")
    run = only_run()
    done(get_client().resume_flow_run(run.id, {"value": "first"}, by="eve"))
    until(lambda: done(get_client().read_pause(run.id)))
    page.get_by_role("button", name="Send the answer").last.click()
    expect(page.get_by_role("heading", name="eve was first")).to_be_visible()
    assert [each.state for each in done(get_client().read_pauses(run.id))] == [
        "answered",
        "pending",
    ]


def test_the_keyboard_is_enough(site, browse, started):
    """From the inbox to the answer without a mouse: Tab, arrows, space, Enter."""
    started("book")
    page = browse()
    page.goto(site.url)
    expect(page.locator("a.card")).to_be_visible()
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('a.card')"):
            break
    page.keyboard.press("Enter")
    expect(page.get_by_label("Seats")).to_be_focused()
    page.keyboard.type("3")
    press_tab_to(page, "/size")
    page.keyboard.press("ArrowDown")
    press_tab_to(page, "/sure")
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    expect(page.locator("#state")).to_have_text("Completed")
    [pause] = done(get_client().read_pauses(only_run().id))
    assert b'"sure":true' in pause.value
    assert b'"seats":3' in pause.value


def press_tab_to(page, name):
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.name") == name:
            return
    raise AssertionError(f"no Tab led to {name}")


def test_without_javascript(site, browse, started):
    """The fields work, items are added by the server, and the JSON box is there."""
    started("book")
    page = browse(java_script_enabled=False)
    question = open_question(page, site, "book")
    question.get_by_role("button", name="Add to Guests").click()
    question.get_by_role("group", name="Guests").get_by_label("Name").fill("Bob")
    question.get_by_label("Seats").fill("2")
    question.get_by_label("Size").select_option("small")
    question.get_by_label("No").check()
    question.get_by_role("button", name="Send the answer").last.click()
    run = only_run()
    assert result_of(run) == "2 seats for Ada Lovelace"
    [pause] = done(get_client().read_pauses(run.id))
    assert b'"guests":[{"name":"Bob","age":null}]' in pause.value


def test_the_json_box_without_javascript(site, browse, started):
    """What is wrong in the box is said, what was typed stays, and a right answer is taken."""
    started("ask")
    page = browse(java_script_enabled=False)
    question = open_question(page, site, "ask")
    question.locator("#json-box summary").click()
    box = page.locator("#json")
    box.fill('{"value": 3')
    question.locator("#json-box").get_by_role("button").click()
    expect(question.get_by_role("alert").first).to_contain_text("not JSON")
    expect(box).to_have_value('{"value": 3')
    box.fill('{"value": "box"}')
    question.locator("#json-box").get_by_role("button").click()
    assert result_of(only_run()) == "Hello, box!"


def test_the_json_box_holds_what_was_typed(site, browse, started):
    """One click away, and it begins with what the fields hold."""
    started("book")
    page = browse()
    question = open_question(page, site, "book")
    question.get_by_label("Seats").fill("5")
    question.locator("#json-box summary").click()
    expect(page.locator("#json")).to_have_value(re.compile(r'"seats": 5'))
    page.locator("#json").fill("{")
    question.locator("#json-box").get_by_role("button").click()
    expect(page.locator("#json")).to_have_attribute("aria-invalid", "true")


def test_at_phone_width(site, browse, started):
    """Nothing is wider than a phone, and nothing is too small for a thumb."""
    started("book")
    started("chat")
    page = browse(width=360, height=740, has_touch=True, color_scheme="dark")
    page.goto(site.url)
    expect(page.locator("a.card")).to_be_visible()
    run = page.locator("a.card").get_attribute("href").strip("/")
    for path in ("", "runs", "deployments", "login", run, "nowhere"):
        page.goto(site.url + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
    page.goto(site.url + run)
    for field in page.locator("form.ask :is(input, select):not([type=hidden]):visible").all():
        if field.get_attribute("type") not in {"radio", "checkbox"}:
            assert field.bounding_box()["height"] >= 40
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == "rgb(17, 18, 24)"


def test_hostile_texts_are_only_texts(site, browse, started):
    """Titles, helps, options, defaults, results: nothing of a run becomes markup or runs."""
    started("be_hostile")
    page = browse()
    question = open_question(page, site, "be-hostile")
    expect(question.get_by_label(HOSTILE)).to_have_value(HOSTILE)
    assert page.locator("main img, main script").count() == 0
    question.get_by_label("Y").select_option(index=1)
    question.get_by_role("button", name="Send the answer").last.click()
    expect(page.locator("#state")).to_have_text("Completed")
    expect(page.get_by_text(HOSTILE).first).to_be_visible()
    assert page.locator("main img, main script").count() == 0


def test_a_run_is_watched_and_spoken_to(site, browse, started):
    """Log lines and inputs come as they happen; the page sends one itself."""
    started("chat")
    run = only_run()
    page = browse()
    page.goto(f"{site.url}runs/{run.id}")
    done(asend("hello", run))
    expect(page.locator("#log")).to_contain_text("heard hello")
    expect(page.locator("#inputs-list")).to_contain_text('"hello"')
    expect(page.locator("#inputs-list")).to_contain_text("from a test")
    page.get_by_label("Value, as JSON").fill("nonsense")
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.locator("#value-problem")).to_contain_text("not JSON")
    expect(page.get_by_label("Value, as JSON")).to_have_value("nonsense")
    page.get_by_label("Value, as JSON").fill('"stop"')
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.locator("#state")).to_have_text("Completed")
    expect(page.locator("#inputs-list")).to_contain_text("web:")


async def asend(value, run):
    await send_input(value, run.id, sender="a test")


def test_a_run_is_cancelled(site, browse, started):
    """Two clicks, and the run has ended; the page says so."""
    started("go_on")
    page = browse()
    open_question(page, site, "go-on")
    page.get_by_text("Cancel …").click()
    page.get_by_role("button", name="Cancel this run").click()
    expect(page.locator("#state")).to_have_text("Cancelled")
    expect(page.get_by_role("button", name="Let it go on")).to_have_count(0)


def test_a_run_that_asks_for_nothing_is_let_go_on(site, browse, started):
    """A pause without a type is one button."""
    started("go_on")
    page = browse()
    question = open_question(page, site, "go-on")
    question.get_by_role("button", name="Let it go on").last.click()
    expect(page.locator("#state")).to_have_text("Completed")


def test_the_page_is_small_and_comes_from_here(site, browse, started):
    """The first page is within its bytes, and asks nobody else for anything."""
    started("book")
    bodies = []
    page = browse()
    page.on("response", lambda response: bodies.append(response))
    page.goto(site.url)
    expect(page.locator("a.card")).to_be_visible()
    fetched = [each for each in bodies if "/events" not in each.url]
    assert all(each.url.startswith(site.url) for each in bodies)
    assert sum(len(gzip.compress(each.body())) for each in fetched) < 300_000


def test_a_missing_run_is_said(site, browse):
    """Not a blank page."""
    run_id = "3fa85f64-5717-4562-b3fc-2c963f66afa6"
    with site.client() as client:
        assert client.get(f"/runs/{run_id}").status_code == 404
        assert "there is no flow run" in client.get(f"/runs/{run_id}").text
        assert client.get("/runs/nonsense").status_code == 404


def test_a_catastrophic_pattern_does_not_freeze_the_tab(site, browse, started):
    """The browser is given only patterns that cannot run away; the server judges the others."""
    started("be_catastrophic")
    page = browse()
    question = open_question(page, site, "be-catastrophic")
    for name in ("Runaway", "Again"):
        question.get_by_label(name).fill("a" * 60 + "!")
    question.get_by_label("Tame").fill("UP")
    page.keyboard.press("Enter")
    expect(page.locator("#f_2ftame-problem")).to_contain_text("it must match")
    question.get_by_label("Tame").fill("down")
    page.keyboard.press("Enter")
    expect(page.locator("#f_2frunaway-problem")).to_contain_text("must match")
    expect(page.locator("#f_2fagain-problem")).to_contain_text("must match")
    for name in ("Runaway", "Again"):
        question.get_by_label(name).fill("a" * 60)
    page.keyboard.press("Enter")
    expect(page.locator("#state")).to_have_text("Completed")


def test_a_huge_form_is_asked_for_as_json(site, browse, started):
    """1,500 unions in 1 MB: the page comes at once, with the JSON box, and takes the answer."""
    started("be_huge")
    page = browse()
    question = open_question(page, site, "be-huge")
    question.get_by_label("Answer as JSON").last.fill('{"f0": 7}')
    question.get_by_role("button", name="Send the answer").last.click()
    expect(page.locator("#state")).to_have_text("Completed")
    assert result_of(only_run()) == 7
