"""What a form costs: the schema and what is typed are somebody's, and the page is everybody's."""

from __future__ import annotations

import threading
import time

import httpx
import pytest
from page_process import done, until

from runbus import get_client
from runbus.web.form_fields import FormBuilder
from runbus.web.form_page import blank_form, take
from runbus.web.patterns import LONGEST_TEXT, cannot_run_away
from runbus.web.templating import HERE

_BRANCHES = [{"const": f"b{number}", "title": "x"} for number in range(1500)]
_UNION = {"anyOf": [{"type": "integer"}, {"type": "object", "properties": {"a": {}}}]}


def unions(count, size):
    """So many unions, each with a value, in a schema of so many bytes."""
    each = {**_UNION, "default": 5.5, "description": "x" * max(size // count - 150, 0)}
    return {"type": "object", "properties": {f"f{number}": each for number in range(count)}}


def shared(name, definition, count=1500):
    """So many fields that have one definition."""
    fields = {f"f{number}": {"$ref": f"#/$defs/{name}", "default": "x"} for number in range(count)}
    return {"type": "object", "properties": fields, "$defs": {name: definition}}


LARGE = {
    "1 MB, 1,500 unions": unions(1500, 1_000_000),
    "a size that becomes fields": unions(900, 250_000),
    "one union of 1,500 branches": shared("u", {"anyOf": [*_BRANCHES, {"type": "object"}]}),
    "one choice of 1,500": shared("c", {"enum": [f"b{number}" for number in range(1500)]}),
    "unions beside large definitions": {
        **unions(1000, 160_000),
        "$defs": {f"d{number}": {"description": "x" * 500} for number in range(150)},
    },
}


@pytest.mark.parametrize("schema", LARGE.values(), ids=LARGE)
def test_a_large_form_is_made_in_a_bounded_time(schema):
    """As fields, or with the JSON box alone; what comes back is read as fast."""
    begun = time.process_time()
    form = blank_form(schema)
    assert form.root is not None or form.box_is_open
    posted = {"do": ["send"], **{f"/f{number}": ["7"] for number in range(1500)}}
    take(schema, posted)
    take(schema, {"do": ["json"], "json": ['{"f0": 7}']})
    assert time.process_time() - begun < 8


def test_a_form_of_usual_size_has_fields():
    """The bounds are far from what people fill in."""
    countries = {"enum": [f"country {number}" for number in range(250)]}
    assert len(FormBuilder(shared("c", countries, count=60)).root().children) == 60
    assert len(FormBuilder(unions(30, 20_000)).root().children) == 30


def test_a_huge_form_does_not_hold_up_the_page(site, started):
    """While it is made for one visitor, others are answered."""
    started("be_huge")
    until(lambda: done(get_client().count_waiting()) == 1)
    [run] = done(get_client().read_flow_runs())
    answers = []
    url = f"{site.url}runs/{run.id}"
    posting = {"data": {"do": "send"}, "headers": {"Origin": site.url.rstrip("/")}}

    def visit():
        answers.append(httpx.get(url, timeout=60))
        answers.append(httpx.post(f"{url}/answer", timeout=60, **posting))

    visitors = [threading.Thread(target=visit) for _ in range(4)]
    for each in visitors:
        each.start()
    slowest = 0.0
    while any(each.is_alive() for each in visitors):
        begun = time.monotonic()
        assert httpx.get(f"{site.url}login", timeout=60).status_code == 200
        slowest = max(slowest, time.monotonic() - begun)
    assert [answer.status_code for answer in answers if answer.request.method == "GET"] == [200] * 4
    assert slowest < 2


@pytest.mark.parametrize(
    "pattern",
    [
        r"^[a-z]+$",
        r"^[^@]+@[^@]+$",
        r"^\d{4}-\d{2}-\d{2}$",
        r"^(?:0|[1-9]\d*)$",
        r"^[A-Z]{2}\d{2,30}$",
        r"^(ab)+$",
        r"\w+",
        r"^\+?[0-9 ]{6,20}$",
        "",
    ],
)
def test_tame_patterns_are_checked_while_typing(pattern):
    """What people write for names, dates and numbers is the browser's to check."""
    assert cannot_run_away(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        r"^(a+)+$",
        r"^(a|a)*$",
        r"^(a|aa)+$",
        r"^(a?){50}$",
        r"^(a*)*$",
        r"^((a{2}){500}){500}$",
        r"a+a+b",
        r".*.*.*=",
        "^" + "a?" * 30 + "a" * 30,
        r"(.)\1+",
        r"(?=.*a)b",
        r"(?<n>a)\k<n>",
        r"^x*y*$|(z+)+",
        r"[a-z",
        r"(a",
        "a" * 201,
        r"a{2}{3}",
    ],
)
def test_patterns_that_may_run_away_stay_here(pattern):
    """Nested or many quantifiers, what looks around, and what is not understood."""
    assert not cannot_run_away(pattern)


def test_the_script_matches_no_longer_texts():
    """The bound on patterns holds for texts of a length, which the page's script knows."""
    assert f"MOST_MATCHED = {LONGEST_TEXT};" in (HERE / "static" / "forms.js").read_text()
