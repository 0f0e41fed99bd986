"""Deployments, workers, the doctor, the web page, completion; and how long a start takes."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from console import as_json, done, environment, failed, run, terminal

from runbus import get_client
from runbus.flow_runs import asuspend_flow_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Ask
    from forked import Process
    from servers import Server

COMMANDS = {
    "acl", "demo", "deployment", "doctor", "events", "inputs", "resume", "run", "send", "server",
    "web", "worker",
}  # fmt: skip


# --- Deployments and workers -----------------------------------------------------------------


def test_what_is_served(worker: Process) -> None:
    """Deployments with their parameters, and the worker that serves them."""
    assert done("deployment", "ls").startswith("greet/demo\t1\tname, times\tGreets.")
    (deployment,) = as_json("deployment", "ls")
    assert set(deployment["parameters"]["properties"]) == {"name", "times"}
    (found,) = as_json("worker", "ls")
    assert (found["pid"], found["deployments"]) == (worker.pid, ["greet/demo"])
    with terminal("worker", "ls") as shell:
        assert shell.end() == 0
    assert re.search(r"PROCESS +HOST +PID +STARTED +EXECUTING", shell.shown)


def test_starting_a_run(worker: Process) -> None:
    """Parameters are JSON or text; with --wait the result is printed, and failing is 1."""
    run_id = done("deployment", "run", "greet/demo", "-p", "name=Ada", "--name", "first").strip()
    assert as_json("run", "show", "first")["run"]["id"] == run_id
    words = ["-p", "name=Ada", "-p", "times=2", "--wait"]
    assert json.loads(done("deployment", "run", "greet/demo", *words)) == "Hello, Ada! Hello, Ada! "
    assert "1984" in done("deployment", "run", "greet/demo", "-p", "name=1984", "--wait")
    message = failed(1, "deployment", "run", "greet/demo", "-p", "name=nobody", "--wait")
    assert "nobody is there" in message
    once = ["-p", "name=Ada", "--idempotency-key", "k"]
    first = done("deployment", "run", "greet/demo", *once)
    assert done("deployment", "run", "greet/demo", *once) == first


def test_a_run_that_nobody_serves(worker: Process) -> None:
    """It is said at once that it waits for a worker; so is what is answered meanwhile."""
    run_id = done("deployment", "run", "greet/demo", "-p", "name=somebody").strip()
    asyncio.run(into(run_id, "Paused"))
    worker.terminate()
    worker.wait()
    words = [run_id, "--input", '"Ada"']
    assert "is answered, and goes on when a worker has it.\n" in done("resume", *words)
    ended = run("deployment", "run", "greet/demo", "-p", "name=Ada")
    assert ended.returncode == 0
    assert "No worker serves greet/demo now: the run waits until one does." in ended.stderr
    with terminal("deployment", "run", "greet/demo", "-p", "name=Ada", "--wait") as shell:
        shell.until("No worker serves greet/demo now: the run waits until one does.")
        shell.send("\x03")
        assert shell.end() == 130


def test_a_run_that_was_suspended_from_outside(worker: Process) -> None:
    """It waits without a question, and goes on when it is told to: once."""
    words = ("-p", "name=whoever writes", "--name", "held")
    run_id = done("deployment", "run", "greet/demo", *words).strip()
    asyncio.run(into(run_id, "Running"))
    asyncio.run(asuspend_flow_run(flow_run_id=run_id))
    asyncio.run(into(run_id, "Suspended"))
    assert done("run", "ls", "--waiting").startswith(f"{run_id}\theld\t")
    assert "object with the fields" in failed(2, "resume", "held", "--input", "3")
    assert done("resume", "held") == "held goes on when a worker has it.\n"
    asyncio.run(into(run_id, "Running"))
    assert "held is Running and waits for no answer" in failed(1, "resume", "held")
    done("send", "held", "Ada")
    assert asyncio.run(get_client().wait_for_flow_run(run_id, 30)).state.result() == "Hello, Ada! "


async def into(run_id: str, state: str) -> None:
    """Wait until a run is in a state."""
    async with asyncio.timeout(30):
        while (await get_client().read_flow_run(run_id)).state.name != state:
            await asyncio.sleep(0.02)


def test_parameters_that_do_not_fit(worker: Process) -> None:
    """Nothing is started when a parameter is missing, unknown or of another type."""
    before = as_json("run", "ls")
    message = failed(2, "deployment", "run", "greet/demo", "-p", "times=often")
    assert "times" in message
    assert "name: it is required" in message
    assert message.count("Its parameters: name, times") == 1
    message = failed(2, "deployment", "run", "greet/demo", "-p", "name=Ada", "-p", "day=1")
    assert "day: there is no such parameter: the parameters are name, times." in message
    assert "Its parameters" not in message
    assert "key=value" in failed(2, "deployment", "run", "greet/demo", "-p", "name")
    message = failed(1, "deployment", "run", "greet")
    assert "no deployment 'greet'. There are greet/demo." in message
    assert as_json("run", "ls") == before


def test_waiting_on_a_terminal(worker: Process) -> None:
    """While it is waited for, the run's state is shown, and how to answer it; Ctrl-C leaves the
    run alone."""
    words = ["deployment", "run", "greet/demo", "-p", "name=somebody", "--name", "asks", "--wait"]
    with terminal(*words) as shell:
        shell.until("runbus resume ")
        done("resume", "asks", "--input", '"Zoë"')
        assert shell.end() == 0
    assert '"Hello, Zoë! "' in shell.shown
    words[words.index("asks")] = "again"
    with terminal(*words) as shell:
        shell.until("runbus resume ")
        shell.send("\x03")
        assert shell.end() == 130
    assert "again goes on: runbus run show " in shell.shown
    assert as_json("run", "show", "again")["run"]["state"]["name"] == "Paused"


# --- The doctor ------------------------------------------------------------------------------


def test_a_good_server(address: str) -> None:
    """Each check is a line; all is well, and the exit code is 0."""
    lines = [line.split("\t") for line in done("doctor").splitlines()]
    assert {line[0] for line in lines} == {"ok"}
    assert {"server", "eviction", "persistence", "clock", "leases"} <= {line[1] for line in lines}
    with terminal("doctor") as shell:
        assert shell.end() == 0
    assert "✓ server  Valkey" in shell.shown


def test_a_bad_server(valkey: Server, address: str) -> None:
    """What is wrong is named with what to do, and the exit code is 1."""
    with valkey.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            ended = run("doctor", "--json")
        finally:
            client.config_set("maxmemory-policy", "noeviction")
    assert (ended.returncode, ended.stderr) == (1, "")
    report = json.loads(ended.stdout)
    assert report["ok"] is False
    (wrong,) = [check for check in report["checks"] if check["ok"] is False]
    assert wrong["name"] == "eviction"
    assert "noeviction" in wrong["advice"]


def test_indexes_that_somebody_has_spoilt(ask: Ask, valkey: Server) -> None:
    """They are found, changed by --repair alone, and then found well."""
    found = ask("count")
    with valkey.client() as client:
        client.delete(f"runbus:{{{found.id.hex[-2:]}}}:active")
    told = run("doctor")
    assert told.returncode == 1
    assert "wrong\tindexes\twrong entries: 1 (runs looked at: 1, all there are)" in told.stdout
    assert "runbus doctor --repair" in told.stdout
    assert done("doctor", "--repair").startswith("entries of indexes put right: 1\nok\t")
    report = as_json("doctor", "--repair")
    assert (report["ok"], report["repaired"]) == (True, 0)


def test_no_server() -> None:
    """A server that is not there is what the doctor finds."""
    gone = {"RUNBUS_URL": "redis://:hidden@127.0.0.1:1", "RUNBUS_RETRY_SECONDS": "0.1"}
    ended = run("doctor", **gone)
    assert ended.returncode == 1
    assert ended.stdout.startswith("wrong\tserver\tno answer from the server at 127.0.0.1:1")
    assert "hidden" not in ended.stdout + ended.stderr


def test_a_server_that_cannot_yet(start_server: Callable[..., Server]) -> None:
    """What it says is a finding, too, and no crash."""
    with start_server("valkey", "--cluster-enabled", "yes") as server:
        for scheme in ("redis", "redis+cluster"):
            url = f"{scheme}://127.0.0.1:{server.port}"
            ended = run("doctor", RUNBUS_URL=url, RUNBUS_RETRY_SECONDS="0.5")
            assert (ended.returncode, ended.stderr) == (1, "")
            assert "CLUSTERDOWN" in ended.stdout


# --- The page, completion, help --------------------------------------------------------------


def test_the_web_page_is_a_program_of_its_own(tmp_path: Path) -> None:
    """`runbus web` hands its words on to `python -m runbus.web`; without it, one line says what
    to install."""
    code = (
        "import sys; sys.modules['uvicorn'] = sys.modules['starlette'] = None; "
        "sys.modules['runbus.web'] = None; "
        "import importlib.util as u; find = u.find_spec; "
        "from runbus.cli import main; sys.argv[1:] = ['web']; main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert ended.stderr == "runbus: the web page needs `pip install 'runbus[web]'`.\n"


def test_the_web_page_gets_its_words() -> None:
    """What stands behind `web` is the page's own."""
    assert "--token-file" in run("web", "--help").stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str, tmp_path: Path) -> None:
    """A script is made for each shell, which knows the commands and which the shell can read."""
    script = tmp_path / "completion"
    done("--install-completion", "--shell", shell, "--output", script, HOME=str(tmp_path))
    text = script.read_text()
    assert all(command in text for command in COMMANDS)
    assert "--follow" in text
    if shutil.which(shell):
        subprocess.run([shell, "-n", str(script)], check=True)


def test_bash_completes(tmp_path: Path) -> None:
    """In bash, `runbus run s` becomes `runbus run show`."""
    script = tmp_path / "completion"
    done("--install-completion", "--shell", "bash", "--output", script, HOME=str(tmp_path))
    probe = f"""
    source {script}
    COMP_WORDS=(runbus run s) COMP_CWORD=2 COMP_LINE='runbus run s' COMP_POINT=12
    $(complete -p runbus | sed 's/.*-F \\([^ ]*\\).*/\\1/') runbus s run
    echo "${{COMPREPLY[@]}}"
    """
    ended = subprocess.run(["bash", "-c", probe], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["show"]


def test_the_help_tells_the_exit_codes() -> None:
    """Each command is listed, and each command's help says what its exit codes mean."""
    text = done("--help")
    assert {line.split()[1] for line in text.splitlines() if line.startswith("│ ")} >= COMMANDS
    for words in ([], ["resume"], ["run", "ls"]):
        told = " ".join(done(*words, "--help").split())
        assert "0 done, 1 failed, 2 wrongly called, 3 not running" in told
        assert "130 interrupted" in told


@pytest.mark.parametrize(
    ("words", "unneeded"),
    [
        ("--help", {"rich.markdown", "asyncio", "redis", "pydantic_core", "runbus.cli.run"}),
        ("run ls", {"rich.console", "jsonschema_rs", "readline", "runbus.forms"}),
        (
            "run ls --waiting",
            {"rich.console", "jsonschema_rs", "readline", "runbus.cli.form_prompts"},
        ),
    ],
)
def test_a_start_loads_what_it_needs(address: str, words: str, unneeded: set[str]) -> None:
    """No command waits for what another one needs."""
    code = (
        f"import sys; sys.argv[1:] = {words.split()!r}; from runbus.cli.app import run; "
        "run(sys.argv[1:]); print(*sys.modules, sep='\\n', file=sys.stderr)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment()
    )
    assert not unneeded & set(ended.stderr.split())


def test_an_error_that_should_not_happen_is_one_line(address: str) -> None:
    """What nobody foresaw is one line too, which says how to see more."""
    code = (
        "import sys, runbus.client as c\n"
        "async def broken(*a, **k): raise ZeroDivisionError('by\\nzero')\n"
        "c.Client.read_deployments = broken\n"
        "from runbus.cli.app import run; sys.exit(run(['deployment', 'ls']))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment()
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("runbus: ZeroDivisionError: by; zero.")
    assert "--debug" in ended.stderr
    assert ended.stderr.count("\n") == 1
