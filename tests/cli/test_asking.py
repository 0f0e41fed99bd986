"""`runbus resume` on a terminal: field by field, checked at once, asked again."""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from console import as_json, done, logged, terminal
from monitor import Monitor
from owners import Executions
from pydantic import BaseModel, Field, SecretStr

from runbus import RunInput, get_client
from runbus.store.connection import scripts
from runbus.store.records.pause_opening import Refused

if TYPE_CHECKING:
    from conftest import Ask
    from servers import Server

    from runbus.protocol.records import FlowRun

CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f]")


def result_of(run: FlowRun) -> Any:
    """What the flow returned in the end."""
    return asyncio.run(get_client().wait_for_flow_run(run.id, 30)).state.result()


def state_of(run: FlowRun) -> str:
    return asyncio.run(get_client().read_flow_run(run.id)).state.name


def test_a_question_is_shown_and_answered(ask: Ask) -> None:
    """The description is shown as Markdown, each field with its help and default; Enter takes
    the default, and what is no answer is asked for again."""
    run = ask("publish")
    with terminal("resume", run.id) as shell:
        shell.answer("perhaps", "yes", "")
        assert shell.end() == 0
    assert "Shall The news go out?" in shell.shown
    assert "https://example.org/draft" in shell.shown, "where a link leads is seen"
    assert "Shall it go out?" in shell.shown
    assert "yes or no" in shell.shown
    assert "✗ type y or n" in shell.shown
    assert "[no comment] >" in shell.shown
    assert f"{run.name} goes on." in shell.shown
    assert result_of(run) == "True: no comment"


def test_the_conversation_of_the_readme(ask: Ask) -> None:
    """What the README shows is what a person sees who types what stands there."""
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    (block,) = re.findall(r"```text\n(\$ runbus resume.*?)```", readme, re.DOTALL)
    command, _, expected = block.partition("\n")
    run = ask("of_the_readme")
    with terminal("resume", run.name) as shell:
        shell.answer(*re.findall(r"> (.+)", expected))
        assert shell.end() == 0
    told = shell.shown.replace(run.name, command.split()[-1])
    assert re.sub(r" +\n", "\n", told) == expected


def test_every_kind_of_field(ask: Ask) -> None:
    """Texts, numbers, choices, dates, lists, models, maps, tuples, secrets: each in words."""
    run = ask("everything")
    with terminal("resume", run.name) as shell:
        shell.answer("A", "Ada")  # too short
        shell.answer("old", "200", "36")  # no number, too large
        shell.answer("0.25")
        shell.answer("3", "2")  # of two colours
        shell.answer("l")  # a size by its name
        shell.answer("soon", "1815-12-10")
        shell.answer("")  # no nickname
        shell.answer("tea", "cake", "")
        shell.answer("Main Street", "0", "12")
        shell.answer("n")  # no office
        shell.answer("y", "Side Street", "4", "n")
        shell.answer("a=b", "a=1", "b=2", "")
        shell.answer("y", "1.5", "2")
        shell.answer("hush")
        assert shell.end() == 0
    for told in (
        'at least 2 characters',
        "it is not a whole number",
        "it must be at most 150, and is 200",
        "1) red",
        "type a number from 1 to 2",
        "a date, YYYY-MM-DD",
        "it must be a date",
        "it must be at least 1, and is 0",
        "Fill in Office?",
    ):  # fmt: skip
        assert told in shell.shown
    assert "hush" not in shell.shown, "a secret is not shown while it is typed"
    assert result_of(run) == {
        "name": "Ada",
        "age": 36,
        "share": 0.25,
        "colour": "green",
        "size": "L",
        "born": "1815-12-10",
        "nickname": None,
        "tags": ["tea", "cake"],
        "home": {"street": "Main Street", "number": 12},
        "office": None,
        "others": [{"street": "Side Street", "number": 4}],
        "limits": {"a": 1, "b": 2},
        "place": [1.5, 2.0],
        "secret": "hush",
    }


def test_what_the_form_gained_meanwhile_is_asked_for_again(ask: Ask, valkey: Server) -> None:
    """A refused answer: its problems are shown, only those fields are asked for again, and what
    was typed stands in the brackets."""
    run = ask("publish")
    with terminal("resume", run.id) as shell:
        shell.answer("yes")
        shell.until("[no comment] > ")
        _change_form(valkey, run)
        shell.send("much too long\r")
        shell.until("The answer does not fit the form")
        shell.answer("still too long", "short")
        assert shell.end() == 0
    again = shell.shown.partition("does not fit the form")[2]
    assert "comment: it must have at most 6 characters" in again
    assert "Approved" not in again
    assert "[much too long] >" in again
    assert "it must have at most 6 characters" in again
    assert result_of(run) == "True: short"


def _change_form(server: Server, run: FlowRun) -> None:
    key = f"runbus:{{{run.id.hex[-2:]}}}:{run.id}:pause:{run.pause}"
    with server.client() as client:
        schema = json.loads(client.hget(key, "schema"))
        schema["properties"]["comment"]["maxLength"] = 6
        client.hset(key, "schema", json.dumps(schema))


def test_somebody_answers_meanwhile(ask: Ask) -> None:
    """Who still types when another one answers hears of it, and the first answer stands; also when
    the run has asked for the same again by then."""
    run = ask("publish_twice")
    with terminal("resume", run.id) as shell:
        shell.answer("no")
        shell.until("[no comment] > ")
        done("resume", run.id, "--by", "ada", "--input", '{"approved": true, "comment": "first"}')
        shell.send("second\r")
        assert shell.end() == 1
    told = " ".join(shell.shown.split())
    assert f"runbus: {run.name} does not wait for this any more. ada answered at " in told
    assert ': {"approved": true, "comment": "first"}. This was not stored.' in told
    done("resume", run.id, "--input", '{"approved": false, "comment": "third"}')
    assert result_of(run) == ["first", "third"]


def test_a_refused_answer_is_offered_again(ask: Ask) -> None:
    """With what the flow found wrong with it; what was typed unseen is asked for anew."""
    run = ask("reserve")
    wrong = '{"seats": 3, "name": "Ada", "code": "hush"}'
    done("resume", run.id, "--input", wrong)
    while (pause := asyncio.run(get_client().read_pause(run.id))) is None or not pause.problems:
        time.sleep(0.01)
    told = done("run", "show", run.id)
    assert "the last answer was not taken:\n  ✗ seats: we have pairs of seats alone\n" in told
    assert "seats: a whole number, last answer 3\n" in told
    assert "hush" not in told + done("run", "show", run.id, "--json")
    assert as_json("run", "show", run.id)["pause"]["former"] == {"seats": 3, "name": "Ada"}
    with terminal("resume", run.id) as shell:
        shell.answer("4", "", "")
        assert shell.end() == 0
    assert "✗ seats: we have pairs of seats alone" in shell.shown
    assert "[3] > " in shell.shown
    assert "[Ada] > " in shell.shown
    assert "hush" not in shell.shown
    assert result_of(run) == "4 for Ada"


def test_a_conversation_keeps_its_connection(ask: Ask, valkey: Server) -> None:
    """From the question to the answer, however long somebody types."""
    run = ask("reserve")
    with valkey.client() as client, Monitor(client) as monitor:
        with terminal("resume", run.id) as shell:
            shell.answer("4", "Ada", "hush")
            assert shell.end() == 0
        assert result_of(run) == "4 for Ada"
    steps = {scripts.READ_PENDING.sha, scripts.CLOSE_PAUSE.sha}
    asked = [each for each in monitor.asked if steps & {*each.words}]
    assert {word for each in asked for word in each.words} >= steps
    assert len({each.client for each in asked}) == 1


class Old(RunInput):
    size: str = "small"
    name: str
    note: str = ""


class New(RunInput):
    size: str = "large"
    name: str = Field(max_length=3)
    more: str = "more"


def test_the_question_changes_meanwhile(address: str) -> None:
    """Who still types is asked the new one, and what was typed stands in the brackets."""
    several = Executions()
    asyncio.run(_asks(several, Old))
    with terminal("resume", several.run_id) as shell:
        shell.answer("tiny", "Grace")
        shell.until("[empty] > ")
        asyncio.run(_asks(several, New))
        shell.send("noted\r")
        shell.until("The question was asked again meanwhile. Nothing was sent.")
        shell.answer("", "", "Ada", "")
        assert shell.end() == 0
    again = shell.shown.partition("asked again meanwhile")[2]
    assert "[tiny] > " in again
    assert "[Grace] > " in again
    assert "it must have at most 3 characters" in again
    assert "[more] > " in again
    assert "Note" not in again
    (pause,) = asyncio.run(get_client().read_pauses(several.run_id))
    assert json.loads(pause.value or b"") == {"size": "tiny", "name": "Ada", "more": "more"}
    asyncio.run(several.end())


async def _asks(several: Executions, model: type[RunInput]) -> None:
    await several.next()
    await several.ask(model)


@pytest.mark.parametrize("key", ["C", "D"], ids=["Ctrl-C", "Ctrl-D"])
def test_leaving_without_an_answer(ask: Ask, key: str) -> None:
    """Ctrl-C and Ctrl-D leave in the middle, say so, and nothing is stored."""
    run = ask("publish")
    with terminal("resume", run.id) as shell:
        shell.answer("yes")
        shell.press(key)
        assert shell.end() == 130
    assert "Nothing was answered. The run still waits." in shell.shown
    assert "Traceback" not in shell.shown
    assert state_of(run) == "Paused"


def test_a_pause_that_asks_for_nothing(ask: Ask) -> None:
    """It is resumed at once."""
    run = ask("go_on")
    with terminal("resume", run.id) as shell:
        assert shell.end() == 0
    assert result_of(run) is None


def test_a_run_cannot_steer_the_terminal(ask: Ask) -> None:
    """Names, questions and log lines with control sequences and markup are only shown."""
    run = ask("hostile")
    logged(run.id, "owned")
    for words in (
        ("resume", run.id),
        ("run", "show", run.id),
        ("run", "ls"),
        ("run", "logs", run.id),
    ):
        with terminal(*words, NO_COLOR="1") as shell:
            if words[0] == "resume":
                shell.press("C")
            shell.end()
        assert not CONTROL.search(shell.raw), words
        assert "\x1b]" not in shell.raw
        assert "\x1b[31m" not in shell.raw
        assert r"\x1b]0;owned" in shell.shown.replace("\n", "").replace(" ", ""), words
        assert "[bold]" in shell.shown, "markup is text"


class Card(BaseModel):
    kind: Literal["card"] = "card"
    holder: str
    number: SecretStr


class Iban(BaseModel):
    kind: Literal["iban"] = "iban"
    holder: str
    iban: SecretStr


class Order(RunInput):
    pay: Card | Iban
    others: list[Iban] = Field([])


def test_an_old_value_of_several_kinds(address: str) -> None:
    """Its kind is chosen already, its fields offer what was typed, and its secrets are asked for
    anew; in a list, too."""
    several = Executions()
    asyncio.run(_asks(several, Order))
    iban = {"kind": "iban", "holder": "bad", "iban": "hush"}
    old = {"pay": iban, "others": [iban | {"holder": "Eve"}]}
    asyncio.run(_asks_again(several, old))
    with terminal("resume", several.run_id) as shell:
        shell.answer("", "", "anew")
        shell.answer("", "other", "n")
        assert shell.end() == 0
    assert "[Iban] > " in shell.shown
    assert "[bad] > " in shell.shown
    assert "[Eve] > " in shell.shown
    assert "it is required" not in shell.shown
    assert "hush" not in shell.shown
    (pause,) = asyncio.run(get_client().read_pauses(several.run_id))
    given = {"pay": iban | {"iban": "anew"}, "others": [iban | {"holder": "Eve", "iban": "other"}]}
    assert json.loads(pause.value or b"") == given
    asyncio.run(several.end())


async def _asks_again(several: Executions, old: dict[str, Any]) -> None:
    await get_client().resume_flow_run(several.run_id, old)
    await several.next()
    problems = b'[{"loc":["pay"],"message":"no such holder"}]'
    why = Refused(generation=1, problems=problems, veiled=b'["iban"]')
    await several.ask(Order, refused=why)
