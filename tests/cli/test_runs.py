"""`runbus run`, `resume`, `send`, `inputs` and `events` in pipes, and tables on a terminal."""

from __future__ import annotations

import asyncio
import json
import re
import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from console import as_json, closed_early, done, failed, logged, run, started, terminal

from runbus import get_client

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Ask
    from forked import Process
    from servers import Server

    from runbus.protocol.records import FlowRun

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
COLOUR = re.compile(r"\x1b\[[\d;]*3\dm")


def ended(found: FlowRun) -> FlowRun:
    return asyncio.run(get_client().wait_for_flow_run(found.id, 30))


def answer_of(found: FlowRun) -> Any:
    return ended(found).state.result()


# --- Lists -----------------------------------------------------------------------------------


def test_a_list_in_a_pipe(ask: Ask) -> None:
    """A line for each run, the newest first, with tabs between whole ids, names and times."""
    first, second = ask("count"), ask("publish")
    lines = [line.split("\t") for line in done("run", "ls").splitlines()]
    assert [line[:4] for line in lines] == [
        [str(second.id), second.name, "publish", "Paused"],
        [str(first.id), first.name, "count", "Paused"],
    ]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", lines[0][4])


def test_the_filters_of_a_list(ask: Ask) -> None:
    """State, flow, text and pages choose which runs are listed."""
    paused, failed_ = ask("count"), ask("fail", "Failed")

    def names(*words: object) -> list[str]:
        return [line.split("\t")[1] for line in done("run", "ls", *words).splitlines()]

    assert names("--state", "failed") == [failed_.name]
    assert set(names("--state", "failed", "--state", "Paused")) == {paused.name, failed_.name}
    assert names("--flow", "count") == [paused.name]
    assert names("--text", paused.name[2:]) == [paused.name]
    assert names("--limit", 1) == [failed_.name]
    assert names("--limit", 1, "--offset", 1) == [paused.name]
    assert names("--all") == [failed_.name, paused.name]
    assert names("--waiting") == [paused.name]
    assert names("--flow", "nothing") == []
    assert "--waiting" in failed(2, "run", "ls", "--waiting", "--flow", "count")
    assert "--limit" in failed(2, "run", "ls", "--limit", 0)
    assert "the states are Scheduled" in failed(2, "run", "ls", "--state", "pausd")


def test_lists_as_json(ask: Ask) -> None:
    """With --json, one document with the records' fields."""
    found = ask("publish")
    (listed,) = as_json("run", "ls")
    assert (listed["id"], listed["flow_name"]) == (str(found.id), "publish")
    assert listed["state"]["name"] == "Paused"
    (waiting,) = as_json("run", "ls", "--waiting")
    assert waiting["run"]["id"] == str(found.id)
    assert waiting["pause"]["schema"]["required"] == ["approved"]


def test_a_list_on_a_terminal(ask: Ask) -> None:
    """A table with titles, short ids that lead back to the run, and the time that is left."""
    found = ask("publish")
    with terminal("run", "ls", "--waiting") as shell:
        assert shell.end() == 0
    assert "Shall The news go out?" in shell.shown
    assert re.search(r"ID +NAME +FLOW +DEADLINE +QUESTION", shell.shown)
    assert re.search(r"9 min left", shell.shown)
    assert COLOUR.search(shell.raw)
    (short,) = re.findall(rf"^({str(found.id)[:8]}\S*)", shell.shown, re.MULTILINE)
    assert as_json("run", "show", short)["run"]["id"] == str(found.id)
    with terminal("run", "ls", NO_COLOR="1") as shell:
        assert shell.end() == 0
    assert found.name in shell.shown
    assert not COLOUR.search(shell.raw)


# --- One run ---------------------------------------------------------------------------------


def test_a_run_by_name_or_prefix(ask: Ask) -> None:
    """A run is found by a unique beginning of its id and by its name; else one line says why."""
    found = ask("count")
    for text in (str(found.id), found.id.hex, str(found.id)[:13], found.name):
        assert as_json("run", "show", text)["run"]["id"] == str(found.id)
    assert "no-such-run" in failed(1, "run", "show", "no-such-run")
    assert "no flow run" in failed(1, "run", "logs", uuid4())


def test_an_ambiguous_name(ask: Ask) -> None:
    """Two runs of one name are not told apart by it."""
    ask("hostile")
    found = ask("hostile")
    message = failed(1, "run", "show", found.name)
    assert not CONTROL.search(message.rstrip("\n"))


def test_what_show_tells(ask: Ask) -> None:
    """States, parameters, form, answers, streams and log lines, for people and as JSON."""
    found = ask("publish")
    done("send", found.id, "a word")
    logged(found.id, "asking")
    shown = done("run", "show", found.id)
    for text in (
        f"id: {found.id}",
        "flow: publish",
        "state: Paused",
        "approved: yes or no, Shall it go out?",
        'comment: a text, optional, default "no comment"',
        "Running",
        "str: 1 (1 unread)",
        "asking",
    ):
        assert text in shown
    done("resume", found.id, "--input", '{"approved": false}', "--by", "ada")
    ended(found)
    page = as_json("run", "show", found.id)
    assert page["history"][-1]["state"] == "Completed"
    assert page["pause"] is None
    (pause,) = page["pauses"]
    assert (pause["by"], pause["value"]) == ("ada", {"approved": False, "comment": "no comment"})
    assert page["streams"][0]["name"] == "str"
    assert any("asking" in line["message"] for line in page["log"])
    shown = done("run", "show", found.id)
    assert 'result: "False: no comment"' in shown
    assert "1: answered by ada" in shown


def test_show_hides_what_was_typed_unseen(ask: Ask) -> None:
    """A secret in an answer is not shown to who looks at the run."""
    found = ask("everything")
    answer = {
        "name": "Ada", "age": 3, "colour": "red", "born": "2020-01-01", "secret": "hush-hush",
        "home": {"street": "Main", "number": 1},
    }  # fmt: skip
    done("resume", found.id, "--input", json.dumps(answer))
    ended(found)
    answers = done("run", "show", found.id).partition("Answers")[2]
    assert "Main" in answers
    assert "hush-hush" not in answers


def test_the_log(ask: Ask) -> None:
    """The lines of a run, as text, as JSON, and followed to the end of the run."""
    found = ask("publish")
    with started("run", "logs", found.id, "--follow", "--json") as (following, output):
        line = json.loads(output.readline())
        while "asking" not in line["message"]:
            line = json.loads(output.readline())
        done("resume", found.id, "--input", '{"approved": true}')
        rest = [json.loads(line) for line in output]
        assert following.wait(30) == 0
    ended(found)
    stored = as_json("run", "logs", found.id)
    assert stored[-len(rest) :] == rest if rest else True
    assert re.search(r"\+00:00\tINFO\tasking", done("run", "logs", found.id))


def test_cancelling(ask: Ask) -> None:
    """A run that waits is cancelled; a second time it is over, and the exit code says so."""
    found = ask("count")
    assert found.name in done("run", "cancel", found.id)
    assert ended(found).state.name == "Cancelled"
    assert "Cancelled already" in failed(1, "run", "cancel", found.id)


# --- Answers ---------------------------------------------------------------------------------


def test_an_answer_in_words_in_a_file_and_in_a_pipe(ask: Ask, tmp_path: Path) -> None:
    """--input takes JSON, @file and - for standard input; one value may stand alone."""
    file = tmp_path / "answer.json"
    file.write_text('{"approved": true, "comment": "from a file"}')
    found = ask("publish")
    assert done("resume", found.id, "--input", f"@{file}") == f"{found.name} goes on.\n"
    assert answer_of(found) == "True: from a file"
    found = ask("publish")
    answer = '{"approved": true, "comment": "piped"}'
    told = json.loads(done("resume", found.id, "--input", "-", "--json", stdin=answer))
    assert told["answer"]["comment"] == "piped"
    assert answer_of(found) == "True: piped"
    found = ask("count")
    done("resume", found.id, "--input", "7")
    assert answer_of(found) == 7


def test_an_answer_to_a_dead_process(
    ask: Ask, processes: list[Process], valkey: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said that nobody waits, after a look for the time of a lease, and the run is not listed
    any more."""
    monkeypatch.setenv("RUNBUS_LEASE_SECONDS", "1.5")
    found = ask("count")
    processes[-1].kill()
    processes[-1].wait()
    with valkey.client() as client:
        while client.keys("*:lease:*"):
            time.sleep(0.02)
    assert str(found.id) in done("run", "ls", "--waiting"), "nothing is known yet"
    ended = run("resume", found.id, "--input", "7")
    assert ended.returncode == 1
    assert f"{found.name}: its process says nothing; looking whether it lives" in ended.stderr
    assert f"{found.name} is Crashed: its process ended; nobody waits" in ended.stderr
    assert "goes on" not in ended.stdout
    assert done("run", "ls", "--waiting") == ""
    assert "is Crashed: its process ended" in failed(1, "resume", found.id, "--input", "7")


def test_answers_that_are_not_taken(ask: Ask, tmp_path: Path) -> None:
    """What is wrong is told in one line; a wrong call is 2, a refused answer is 1."""
    found = ask("publish")
    refusal = failed(1, "resume", found.id, "--input", '{"comment": 3}')
    assert "approved: it is required" in refusal
    assert "comment" in refusal
    assert "not JSON" in failed(2, "resume", found.id, "--input", "{")
    assert "object" in failed(2, "resume", found.id, "--input", "7")
    assert "missing.json" in failed(2, "resume", found.id, "--input", f"@{tmp_path}/missing.json")
    assert "--input" in failed(2, "resume", found.id)
    done("resume", found.id, "--input", '{"approved": true}')
    ended(found)
    assert "waits for no answer" in failed(1, "resume", found.id, "--input", '{"approved": true}')


def test_who_was_first(ask: Ask) -> None:
    """Who comes too late hears who has answered, when and with what, without its secrets."""
    found = ask("release")
    done("resume", found.id, "--input", '{"approved": true, "code": "hush-hush"}', "--by", "ada")
    ended(found)
    message = failed(1, "resume", found.id, "--input", '{"approved": false}')
    assert f"{found.name} is Completed and waits for no answer; ada answered at " in message
    assert '{"approved": true, "code": "…"}' in message


# --- Inputs and events -----------------------------------------------------------------------


def test_sending_and_reading_inputs(address: str) -> None:
    """A value is JSON where it is JSON, else a text; a key is stored once; types name streams."""
    receiver = uuid4()
    for words in (["hi there"], ["42"], ["42", "--type", "str", "--key", "k"], ["-1.5"], ["null"]):
        done("send", receiver, *words)
    done("send", receiver, "42", "--type", "str", "--key", "k")
    done("send", receiver, "-", "--type", "order", stdin='{"item": "tea"}')
    found = as_json("inputs", receiver)
    values = {(each["stream"], json.dumps(each["value"])) for each in found}
    assert values == {
        ("str", '"hi there"'),
        ("int", "42"),
        ("str", '"42"'),
        ("float", "-1.5"),
        ("NoneType", "null"),
        ("order", '{"item": "tea"}'),
    }
    assert len(found) == len(values)
    lines = [line.split("\t") for line in done("inputs", receiver, "str").splitlines()]
    assert [line[-1] for line in lines] == ['"hi there"', '"42"']
    assert "k" in lines[1]


def test_following_inputs(address: str) -> None:
    """Inputs are printed as they come, a line of JSON for each."""
    receiver = uuid4()
    done("send", receiver, "one")
    with started("inputs", receiver, "str", "--follow", "--json") as (_, output):
        assert json.loads(output.readline())["value"] == "one"
        done("send", receiver, "two")
        assert json.loads(output.readline())["value"] == "two"


def test_a_run_that_receives(ask: Ask) -> None:
    """A flow hears what the command sends to it by its name; then it receives nothing more."""
    found = ask("chat", "Running")
    done("send", found.name, "bye")
    ended(found)
    assert "receives nothing more" in failed(1, "send", found.name, "hello")
    assert "--type str" in failed(2, "send", found.name, '{"item": ')


def test_following_events(ask: Ask) -> None:
    """Changes of states are printed as they happen; Ctrl-C ends that quietly."""
    assert "--follow" in failed(2, "events")
    with terminal("events", "--follow", NO_COLOR="1") as shell:
        found = None
        for _ in range(20):  # it follows from when it is there, which nobody sees
            found = ask("fail", "Failed")
            try:
                shell.wait_for(found.name, 2)
                break
            except TimeoutError:
                continue
        shell.until("Failed")
        assert found is not None
        assert re.search(
            rf"^\d\d:\d\d:\d\d  {str(found.id)[:8]}  {found.name}", shell.shown, re.MULTILINE
        )
        shell.send("\x03")
        assert shell.end() == 130
    assert "Traceback" not in shell.shown


# --- Pipes and errors ------------------------------------------------------------------------


def test_nothing_of_a_run_steers_a_terminal_through_a_pipe(ask: Ask) -> None:
    """What goes into a pipe has no control characters but line ends and tabs, JSON too."""
    found = ask("hostile")
    logged(found.id, "owned")
    for command in ("ls", "ls --waiting", "show {}", "logs {}"):
        for words in (command, f"{command} --json"):
            assert not CONTROL.search(done("run", *words.format(found.id).split())), words
    (listed,) = as_json("run", "ls")
    assert listed["name"] == found.name, "JSON says what the name is"


@pytest.mark.parametrize(
    "words", ["run ls", "run ls --json", "run logs {} --follow", "run show {}"]
)
def test_a_reader_that_has_enough(ask: Ask, words: str) -> None:
    """A pipe that is closed early, as by `head`, ends the command without a word."""
    found = ask("count")
    with closed_early(*words.format(found.id).split()) as (process, stderr):
        if "--follow" in words:
            done("run", "cancel", found.id)
        assert process.wait(30) == 0
        stderr.seek(0)
        assert stderr.read() == ""


def test_a_server_that_is_not_there() -> None:
    """Every command tells so in one line, without the password."""
    gone = {"RUNBUS_URL": "redis://:hidden@127.0.0.1:1", "RUNBUS_RETRY_SECONDS": "0.1"}
    for words in ("run ls", "worker ls", "deployment ls", "resume x --input 1", "send x 1"):
        ended = run(*words.split(), **gone)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert "127.0.0.1:1" in ended.stderr
        assert "hidden" not in ended.stderr
        assert "Traceback" not in ended.stderr
    ended = run("run", "ls", "--debug", **gone)
    assert "Traceback" in ended.stderr
