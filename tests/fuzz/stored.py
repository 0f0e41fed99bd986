"""A store in which strangers have written what is shown: on both doors it stays a text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import UUID

from hypothesis import strategies as st

from fuzz import foreign, hostile
from runbus.protocol.keys import tag_of_name
from runbus.protocol.states import TYPES
from runbus.protocol.wire import WIRE

if TYPE_CHECKING:
    from servers import Server

RUN_ID = UUID("3fa85f64-5717-4562-b3fc-2c963f66afb7")
TAG = "runbus:{b7}"
DEPLOYMENT = "a/b"

_texts = hostile.texts.map(str.encode)
_numbers = st.sampled_from([b"0", b"1", b"99999999999999999", b"-1", b"x"])
_json = hostile.json_bytes


def _hash(known: dict[str, Any], odd: tuple[str, ...]) -> st.SearchStrategy[dict[bytes, bytes]]:
    """A hash with these fields, some of which somebody has spoiled."""
    sound = st.fixed_dictionaries({name.encode(): value for name, value in known.items()})
    spoiled = st.dictionaries(foreign.names(odd), foreign.values, max_size=2)
    return st.tuples(sound, st.just({}) | spoiled).map(lambda both: {**both[0], **both[1]})


runs = _hash(
    {
        "state_name": st.sampled_from([each.encode() for each in ("Paused", "Suspended", *TYPES)]),
        **dict.fromkeys(("name", "flow", "message", "deployment"), _texts),
        **dict.fromkeys(("moved", "created", "ended", "retry"), _numbers),
        **dict.fromkeys(("parameters", "result", "tags"), _json),
        "pause": st.just(b"1"),
    },
    tuple(name for name in foreign.RUN_FIELDS if name not in {"state_name", "state"}),
)
pauses = _hash(
    {
        "state": st.sampled_from([b"pending", b"answered", b"expired", b"x"]),
        "schema": hostile.schemas.map(foreign.plain) | _json,
        **dict.fromkeys(("description", "by"), _texts),
        **dict.fromkeys(("generation", "opened", "deadline", "answered"), _numbers),
        **dict.fromkeys(("value", "problems", "veiled"), _json),
        **dict.fromkeys(("entry", "former"), st.just(b"1-1") | _texts | _numbers),
    },
    foreign.PAUSE_FIELDS,
)
deployments = _hash(
    {
        "flow": _texts,
        "description": _texts,
        "parameters": hostile.schemas.map(foreign.plain) | _json,
    },
    foreign.OTHER_FIELDS,
)
entries = st.fixed_dictionaries(
    {
        **dict.fromkeys((b"key", b"sender", b"level", b"message"), _texts),
        b"value": _json,
    }
)


def store(server: Server, run: Any, pause: Any, deployment: Any, entry: Any, stream: str) -> None:
    """Write it, in place of what was written before."""
    with server.client() as client, client.pipeline(transaction=False) as pipe:
        for key in (f"{TAG}:{RUN_ID}:input:{stream}", f"{TAG}:{RUN_ID}:log"):
            pipe.xadd(key, entry)
        pipe.delete(f"{TAG}:{RUN_ID}:resume")
        pipe.xadd(f"{TAG}:{RUN_ID}:resume", entry, id="1-1")
        pipe.hset(f"{TAG}:{RUN_ID}:streams", mapping={f"read:{stream}": 1, "pause:1": 1})
        pipe.set("runbus:wire", WIRE)
        pipe.hset(f"{TAG}:{RUN_ID}:run", mapping=run)
        pipe.hset(f"{TAG}:{RUN_ID}:pause:1", mapping=pause)
        for index in ("runs", "active", "pending"):
            pipe.zadd(f"{TAG}:{index}", {str(RUN_ID): 1})
        worker = {"pid": 1, "host": stream, "deployments": json.dumps([DEPLOYMENT, stream])}
        pipe.hset("runbus:{ee}:worker:ee", mapping=worker)
        pipe.sadd("runbus:{ee}:workers", "ee")
        for name in (DEPLOYMENT, stream):
            pipe.hset(f"runbus:deployment:{{{name}}}", mapping=deployment)
            pipe.sadd(f"runbus:{{{tag_of_name(name)}}}:deployments", name)
        pipe.execute()
