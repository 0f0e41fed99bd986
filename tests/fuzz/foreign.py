"""Strategies for what others may have put where runbus reads."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

# Names that mean something, so that their values are looked at.
RUN_FIELDS = (
    *("state_name", "state", "name", "flow", "message", "moved", "result", "deployment", "parent"),
    *("parameters", "created", "started", "ended", "run_count", "pause", "retry", "epoch", "tags"),
    *("crashes", "lease", "exact", "owner", "move"),
)
PAUSE_FIELDS = (
    *("state", "generation", "schema", "description", "opened", "deadline", "answered", "by"),
    *("value", "shape", "entry", "former", "problems", "veiled"),
)
ENTRY_FIELDS = ("key", "sender", "value", "pause", "generation", "by", "run", "state", "word")
OTHER_FIELDS = ("flow", "description", "parameters", "host", "pid", "deployments", "started")
_WORDS = (
    *("Running", "Paused", "Suspended", "Completed", "Nonsense", "answered", "refused", "pending"),
    *("0", "-1", "1.5", "1" * 400, "99999999999999999", "18446744073709551615", "nan", "٣"),
    *("{}", "[]", "null", "NaN", "[[" * 400, '"text"', "3fa85f64-5717-4562-b3fc-2c963f66afb7"),
    *('{"type": "object", "properties": 1}', '{"properties": {"a": {"default": 1}}}', "\x00"),
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
_KEYWORDS = st.sampled_from(
    [*("type", "properties", "required", "$ref", "$defs", "anyOf", "items", "pattern", "default")]
)
_TERMS = st.sampled_from([*("object", "string", "#", "#/$defs/a", "http://x/y", "(", 1, True, [])])
schemas = st.recursive(
    _TERMS | json_values,
    lambda inner: (
        st.dictionaries(_KEYWORDS | st.text(max_size=3), inner, max_size=4)
        | st.lists(inner, max_size=3)
    ),
    max_leaves=10,
)
values = (
    st.binary(max_size=40)
    | st.sampled_from(_WORDS).map(str.encode)
    | st.integers().map(lambda number: b"%d" % number)
)
entry_ids = st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)).map(
    lambda pair: b"%d-%d" % pair
)


def names(known: tuple[str, ...]) -> st.SearchStrategy[bytes]:
    return st.sampled_from(known).map(str.encode) | st.binary(max_size=12)


def hashes(known: tuple[str, ...]) -> st.SearchStrategy[dict[bytes, bytes]]:
    """What HGETALL may reply."""
    return st.dictionaries(names(known), values, max_size=len(known))


def entry_fields(known: tuple[str, ...] = ENTRY_FIELDS) -> st.SearchStrategy[list[bytes]]:
    """The fields of an entry: they have an order, and a name may come twice."""
    pairs = st.lists(st.tuples(names(known), values), min_size=1, max_size=5)
    return pairs.map(lambda found: [part for pair in found for part in pair])


def plain(value: Any) -> bytes:
    """JSON as a careless program writes it."""
    import json

    return json.dumps(value).encode(errors="replace")
