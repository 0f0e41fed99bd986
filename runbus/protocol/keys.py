"""Every Redis key of runbus, one function each.

All keys of one run carry the same hash tag, so they live in one cluster slot and one script can
change them together. The tag is the *last* two hex digits of the run id: the first ones are a
clock in a version-7 UUID. So 256 tags spread over any cluster, and a person can write a key by
hand from the id.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID


def tag(flow_run_id: UUID) -> str:
    """The hash tag of a run's keys: the last two hex digits of its id."""
    return flow_run_id.hex[-2:]


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

        Its `read:` fields are the list of the run's input streams.
        """
        return self._of_run(flow_run_id, "streams")

    def retried(self, flow_run_id: UUID) -> str:
        """Hash: input key → `<name> <entry id>`, for keys that are retried or the caller's own."""
        return self._of_run(flow_run_id, "retried")

    def here(self, tag: str) -> str:
        """String: a constant, read beside the waiters of one tag; made again when it expires."""
        return f"{self.prefix}:{{{tag}}}:here"

    def _of_run(self, flow_run_id: UUID, part: str) -> str:
        return f"{self.prefix}:{{{tag(flow_run_id)}}}:{flow_run_id}:{part}"
