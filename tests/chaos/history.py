"""A history: what every process did, in a file of its own, with ids that occur once.

The kinds of events and what they carry; `time` is the machine's monotonic clock, in seconds.

sending    input, sender, stream, number, durability   before the call
sent       input, entry                                its receipt: acknowledged
unsent     input, error, stored                        it failed; `stored` is "no" or "maybe"
received   input, receiver, stream
stored     input, stream, entry                        what the server has in the end, in order
answering  answer, pause                               before the call; a pause is "<run> <key>"
accepted   answer, pause                               the call returned
rejected   answer, pause, error                        it raised
resumed    answer, pause, run, epoch, process          the flow has got an answer
step       run, epoch, process, began                  a write of the flow's that was accepted
ended      run, state, message
begun      fault; of long-lived workers also: name, party (its process, or "")
healed     fault
promoted   number                 of a replica, as soon as a sentinel knows of it
whole      since                  all replicas have what the only primary has
started    run, name, began, healthy   the call returned; whether its primary was well meanwhile
executing  run, epoch, process         the flow's body begins
executed   run, epoch, process, how    it ends: "returned", or the error's name
found      run, state, message, result, flow    the run's record in the end; a called child's, too
"""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Event:
    """Something that happened."""

    kind: str
    time: float
    data: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.data[name]


class Recorder:
    """Writes one process's events, each in one `write`: a killed process loses none before."""

    def __init__(self, directory: Path, name: str) -> None:
        path = directory / f"{name}.jsonl"
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(self, kind: str, **data: Any) -> None:
        """Write an event down."""
        line = json.dumps([kind, time.monotonic(), data]) + "\n"
        os.write(self._file, line.encode())


class History:
    """Reads the files of a directory, each as far as it has grown."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._read: dict[Path, int] = defaultdict(int)
        self.events: list[Event] = []

    def grow(self) -> list[Event]:
        """Read what has come; return all events in the order of time."""
        for path in self._directory.glob("*.jsonl"):
            with path.open("rb") as file:
                file.seek(self._read[path])
                lines = file.read()
            whole, newline, _ = lines.rpartition(b"\n")
            self._read[path] += len(whole) + len(newline)
            self.events += [Event(*json.loads(line)) for line in whole.splitlines()]
        self.events.sort(key=lambda event: event.time)
        return self.events


def by_kind(events: Iterable[Event]) -> dict[str, list[Event]]:
    return grouped(events, lambda event: event.kind)


def grouped(events: Iterable[Event], key: Callable[[Event], Any]) -> dict[Any, list[Event]]:
    """Sort events into lists, each in the order of the events."""
    groups: dict[Any, list[Event]] = defaultdict(list)
    for event in events:
        groups[key(event)].append(event)
    return groups
