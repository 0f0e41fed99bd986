"""What the scripts of runs mean, in the same words for the present rules and the former ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from simulated_process import DEPLOYMENT, Process
from simulated_server import TAG

from runbus.store.connection import scripts
from runbus.store.connection.script_source import header_of

if TYPE_CHECKING:
    from simulated_wire import Call

    from runbus.store.connection.connection import Command

Kind = Literal["create", "claim", "adopt", "end", "pause", "release", "take", "move", "other"]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One script, as a server has executed it."""

    kind: Kind
    process: str
    """Who has asked."""
    is_heard: bool
    """Whether that one waits for the reply."""
    run_id: str = ""
    """Empty where the script looks for runs itself."""
    epoch: str = ""
    """In which the process writes; empty for anybody."""
    token: str = ""
    """The end's own."""
    state: str = ""
    """What the end asks for."""
    verdict: str = ""
    """The first word of the reply."""

    def __str__(self) -> str:
        """For people."""
        heard = "" if self.is_heard else " late"
        about = (
            self.kind,
            self.process + heard,
            self.run_id[-4:],
            self.epoch,
            self.token,
            self.state,
        )
        return f"{' '.join(filter(None, about))} = {self.verdict}"

    @property
    def is_accepted(self) -> bool:
        """Whether an end was accepted."""
        return self.verdict in {"ENDED", "MOVED"} or (
            self.kind == "pause" and self.state == "Suspended" and self.verdict == "PENDING"
        )


@dataclass(frozen=True)
class Rules:
    """The present rules."""

    lease_pattern = f"runbus:{{{TAG}}}:lease:*"
    scheduled = f"runbus:{{{TAG}}}:scheduled:{DEPLOYMENT}"
    crashes = "crashes"
    has_pulse = True
    takes_turns = False
    """Whether one process looks for the dead, on behalf of all."""
    make_process = Process

    def member(self, owner: str, run_id: str, epoch: str) -> str:
        """What `executing` says of a run."""
        return f"{owner} {run_id} {epoch}"

    def read(self, call: Call, command: Command, reply: Any) -> Step:
        """Say what a script was asked and what it did."""
        name, given = _NAMES[command[1]], _arguments(command)
        verdict = str(_text(reply[0] if isinstance(reply, list) and reply else reply))
        about: dict[str, str] = {}
        match name:
            case "claim_run" | "create_run" | "adopt_run":
                about = {"kind": name.removesuffix("_run"), "run_id": given["run_id"]}
            case "end_run":
                about = _given(given, kind="end", epoch="epoch", token="token", state="state")
            case "open_pause":
                about = _given(given, kind="pause", epoch="epoch", token="call_id", state="to")
            case "release_run":
                about = _given(given, kind="release", epoch="epoch")
            case "recover_runs":
                about = {"kind": "take", "run_id": ""}
            case "check_owner" | "close_pause":
                about = {"kind": "take"}
            case "move_run":
                about = _given(given, kind="move", epoch="epoch", state="to")
            case _:
                about = {"kind": "other"}
        about.setdefault("run_id", given.get("run_id", ""))
        return Step(process=call.process.name, is_heard=call.is_heard, verdict=verdict, **about)  # pyright: ignore[reportArgumentType]


_NAMES = {script.sha: script.name for script in scripts.ALL}


def _arguments(command: Command) -> dict[str, str]:
    names = [each.name for each in header_of(_NAMES[command[1]]).arguments]
    values = command[3 + command[2] :]
    return {name: str(_text(each)) for name, each in zip(names, values, strict=False)}


def _given(arguments: dict[str, str], kind: str, **names: str) -> dict[str, str]:
    return {"kind": kind, **{about: arguments[name] for about, name in names.items()}}


def _text(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
