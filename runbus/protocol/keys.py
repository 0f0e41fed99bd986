"""Every Redis key of runbus, one function each.

All keys of one run carry the same hash tag, so they live in one cluster slot and one script can
change them together. The tag is the *last* two hex digits of the run id: the first ones are a
clock in a version-7 UUID. So 256 tags spread over any cluster, and a person can write a key by
hand from the id.
"""

from __future__ import annotations

import re
from binascii import crc32
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runbus.protocol.ids import text_of

if TYPE_CHECKING:
    from uuid import UUID


def tag(flow_run_id: UUID) -> str:
    """The hash tag of a run's keys: the last two hex digits of its id."""
    return text_of(flow_run_id)[-2:]


def pattern_of_runs(prefix: str) -> str:
    """Return what the keys of all runs under a prefix match (SCAN), and those of nothing else."""
    escaped = re.sub(r"([*?\[\]\\^])", r"\\\1", prefix)
    run_id = "-".join("?" * length for length in (8, 4, 4, 4, 12))
    return f"{escaped}:{{??}}:{run_id}:run"


TAGS = [f"{number:02x}" for number in range(256)]
"""All hash tags."""


def tag_of_process(process: str) -> str:
    """The hash tag of what a process says of itself: the last two hex digits of its id.

    An id that does not end in such digits has the tag of a name.
    """
    digits = process[-2:].lower()
    return digits if digits in _TAGS else tag_of_name(process)


def tag_of_name(name: str) -> str:
    """The hash tag of the list that has a name: a checksum (CRC-32) of its UTF-8, modulo 256."""
    return TAGS[crc32(name.encode("utf-8", "surrogateescape")) % len(TAGS)]


_TAGS = frozenset(TAGS)


@dataclass(frozen=True)
class Keys:
    """The keys under one prefix."""

    prefix: str

    def run(self, flow_run_id: UUID) -> str:
        """Hash: the run itself. Lives as long as the run, and its retention beyond."""
        return self._of_run(flow_run_id, "run")

    def input(self, flow_run_id: UUID, name: str) -> str:
        """Stream: the inputs of one type. Lives as long as the run's keys."""
        return self._of_run(flow_run_id, "input") + ":" + name

    def streams(self, flow_run_id: UUID) -> str:
        """Hash: `read:<name>` → how many entries of a stream were read, `bytes` → all inputs' size.

        Its `read:` fields are the list of the run's input streams. From the second one on, `last`
        is the last input of all, `<entry id> <name>`. `ended` is the type of the state that the run
        ended in: then nothing is sent to it any more.
        """
        return self._of_run(flow_run_id, "streams")

    def retried(self, flow_run_id: UUID) -> str:
        """Hash: input key → `<name> <entry id>`, for keys that are retried or the caller's own."""
        return self._of_run(flow_run_id, "retried")

    def history(self, flow_run_id: UUID) -> str:
        """List: `<ms> <state>`, the run's last 1,000 states. Lives as long as the run's keys."""
        return self._of_run(flow_run_id, "history")

    def ends(self, flow_run_id: UUID) -> str:
        """Hash: epoch → `<token> <state>`, how each execution of the run ended. Lives as the run.

        `<epoch> <number>` for each retry in an execution.
        `taken …` where it was taken from a process that did not answer.
        `final` is the type of the state that the run ended in, for who waits for that.
        """
        return self._of_run(flow_run_id, "ends")

    def resume(self, flow_run_id: UUID) -> str:
        """Stream: the answers to the run's pauses. Made by the first; lives as long as the run."""
        return self._of_run(flow_run_id, "resume")

    def pause(self, flow_run_id: UUID, key: str) -> str:
        """Hash: a pause, its form, which entries of `resume` answer it. Lives with the run."""
        return self._of_run(flow_run_id, "pause") + ":" + key

    def control(self, flow_run_id: UUID) -> str:
        """Stream: what else a run must hear, such as `cancel`. Lives as long as the run's keys."""
        return self._of_run(flow_run_id, "control")

    def log(self, flow_run_id: UUID) -> str:
        """Stream: the run's last log lines. Each batch of lines renews its lifetime."""
        return self._of_run(flow_run_id, "log")

    def runs(self, tag: str) -> str:
        """Sorted set: run id → when it was created (ms). Expires after the last run of the tag."""
        return self._of_tag(tag, "runs")

    def active(self, tag: str) -> str:
        """Sorted set: run id → when it was created (ms), of the runs that have not ended."""
        return self._of_tag(tag, "active")

    def pending(self, tag: str) -> str:
        """Sorted set: run id → deadline (ms, `inf` without), of runs that wait for an answer."""
        return self._of_tag(tag, "pending")

    def scheduled(self, tag: str, deployment: str) -> str:
        """Sorted set: run id → since when (ms), of the deployment's runs that wait for a worker."""
        return self._of_tag(tag, "scheduled") + ":" + deployment

    def executing(self, tag: str) -> str:
        """Sorted set, all of score 0: `<process> <run id> <epoch>`, the runs that processes have.

        Waiting or not; in the order of the processes, so that one range has all of a process.
        """
        return self._of_tag(tag, "executing")

    def ended(self, tag: str) -> str:
        """Sorted set: run id → when its keys expire (ms); what trims `runs`."""
        return self._of_tag(tag, "ended")

    def events(self, tag: str) -> str:
        """Stream: the changes of states, capped. Each change renews its lifetime."""
        return self._of_tag(tag, "events")

    def lease(self, tag: str, process: str) -> str:
        """String: `<ms> <token>`; there while a process lives that has runs of the tag.

        It lasts so many milliseconds from each renewal on.
        """
        return self._of_tag(tag, "lease") + ":" + process

    def pulse(self, tag: str) -> str:
        """Hash: `since` when (ms) those who miss a lease have looked without a gap, and `last`."""
        return self._of_tag(tag, "pulse")

    def wire(self) -> str:
        """String: the number of the grammar of these keys. It never expires."""
        return f"{self.prefix}:wire"

    def deployments(self, tag: str) -> str:
        """Set: names of deployments, see `tag_of_name`. Each that is served renews its lifetime."""
        return self._of_tag(tag, "deployments")

    def workers(self, tag: str) -> str:
        """Set: processes that serve deployments. Each of them renews its lifetime."""
        return self._of_tag(tag, "workers")

    def worker(self, process: str) -> str:
        """Hash: a process that serves deployments. Lives as long as the process renews it."""
        return self._of_tag(tag_of_process(process), "worker") + ":" + process

    def deployment(self, name: str) -> str:
        """Hash: a deployment. Each worker that serves it renews its lifetime."""
        return f"{self.prefix}:deployment:{{{name}}}"

    def queue(self, name: str) -> str:
        """Stream: hints for a deployment's workers, capped. Each hint renews its lifetime."""
        return f"{self.prefix}:deployment:{{{name}}}:queue"

    def block(self, name: str) -> str:
        """String: a JSON block. Lives until it is deleted."""
        return f"{self.prefix}:block:json:{name}"

    def variable(self, name: str) -> str:
        """String: a variable, as JSON. Lives until it is deleted."""
        return f"{self.prefix}:variable:{name}"

    def here(self, tag: str) -> str:
        """String: a constant, read beside the waiters of one tag; made again when it expires."""
        return self._of_tag(tag, "here")

    def barrier(self, tag: str) -> str:
        """String: a mark by which a connection waits for the disk or for replicas. Soon gone."""
        return self._of_tag(tag, "barrier")

    def of_tag(self, tag: str) -> str:
        """What every key of a tag begins with."""
        return self._of_tag(tag, "")

    def _of_tag(self, tag: str, part: str) -> str:
        return f"{self.prefix}:{{{tag}}}:{part}"

    def of_run(self, flow_run_id: UUID) -> str:
        """What every key of a run begins with."""
        return self._of_run(flow_run_id, "")

    def _of_run(self, flow_run_id: UUID, part: str) -> str:
        text = text_of(flow_run_id)
        return f"{self.prefix}:{{{text[-2:]}}}:{text}:{part}"
