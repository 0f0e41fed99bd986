"""Strategies for what strangers write: texts, JSON Schemas and lines; and a limit on the work."""

from __future__ import annotations

import re
import resource
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from fuzz.foreign import json_values, plain

if TYPE_CHECKING:
    from collections.abc import Generator

_MOST_SECONDS = 5.0
_MOST_BYTES = 1 << 30

_MARKUP = "'\"><script>alert(1)</script><img src=x onerror=alert(1)>\x1b[2J"
TEXTS = (
    _MARKUP,
    *("\x1b]0;owned\x07", "\x1b[2J", "\x9b2J", "a\r\nb", "\t", "\x00", "\u202ereversed", "\x7f"),
    *("<http://a/%1b%5D0;owned%07>", "<http://a/%E2%80%AE>", "&#x202e;", "&#27;[2J", "[x](%1b)"),
    *("<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "[x](javascript:alert(1))"),
    *('" onfocus="alert(1)', "'><svg onload=alert(1)>", "javascript:alert(1)", "{{ 7 * 7 }}"),
    *("[/bold]", "[link=http://a]x[/link]", "__class__", "a/b#item 0~1", "", " ", "#kind"),
)
texts = st.sampled_from(TEXTS) | st.text(max_size=12)
"""Of what JSON can hold: no half characters."""

WORDS = (
    *("y", "no", "null", "1", "-1", "1.5", "inf", "nan", "1e999", "٣", "1_0", '""', "[]", "{}"),
    *("9" * 5000, "[" * 20_000, '{"a":' * 20_000, '"\\ud800"', "[1, 2", "a=1", "=", "\udc80"),
    *("2026-11-25", "2026-11-25T19:00Z", "99999-99-99", "\x1b[2J", "P1D", "[[[1]]]", '{"a": 1}'),
)
lines = (
    st.sampled_from(["\udc80", "9" * 5000, "\x00"])
    | st.sampled_from(WORDS)
    | st.text(st.characters(exclude_characters="\r\n"), max_size=8)
)
"""What a person may type, or a pipe may hold."""

posted = lines.map(lambda line: line.encode(errors="replace").decode())
"""What a field of a form may say: what is sent is UTF-8."""
json_bytes = (
    lines.map(lambda line: line.encode(errors="surrogatepass"))
    | st.binary(max_size=20)
    | st.integers(0, 2000).map(lambda depth: b"[" * depth + b"]" * depth)
    | json_values.map(plain)
)
"""What may stand where JSON is expected."""

# --- Schemas ---------------------------------------------------------------------------------

_NAMES = st.sampled_from(["value", "a", "b", _MARKUP]) | texts
_REFERENCES = st.sampled_from(
    ["#", "#/$defs/a", "#/$defs/b", "#/$defs/none", "#/properties/a", "#/definitions/a", "http://x"]
)
_KEYWORDS = st.sampled_from([
    *("type", "properties", "required", "items", "prefixItems", "additionalProperties", "enum"),
    *("const", "anyOf", "oneOf", "allOf", "$ref", "$defs", "default", "title", "description"),
    *("minItems", "maxItems", "minLength", "maxLength", "minimum", "maximum", "multipleOf"),
    *("pattern", "format", "examples", "discriminator", "readOnly", "definitions"),
])  # fmt: skip
_FORMATS = st.sampled_from([
    *("date", "date-time", "time", "duration", "email", "uri", "uuid", "password", "multiline"),
])  # fmt: skip
_limits = st.integers() | st.sampled_from([0, 1, 2, 10**9, 1e400, 0.5])
_fixed = st.none() | st.booleans() | st.integers(-9, 9) | texts

_simple = (
    st.sampled_from(
        [{"type": each} for each in ("string", "integer", "number", "boolean", "null")]
        + [{}, {"type": ["string", "null"]}, {"type": ["integer", "string"]}, {"type": "array"}]
        + [{"type": "object"}, {"type": "object", "additionalProperties": False}]
    )
    | st.fixed_dictionaries({"const": _fixed})
    | st.fixed_dictionaries({"enum": st.lists(_fixed, min_size=1, max_size=3)})
    | st.fixed_dictionaries({"type": st.just("string"), "format": _FORMATS})
    | st.fixed_dictionaries({"$ref": _REFERENCES})
)


def _told(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Schemas with the words beside them that people read."""
    words = st.fixed_dictionaries(
        {},
        optional={
            "title": texts,
            "description": texts,
            "default": json_values,
            "minItems": _limits,
            "minimum": _limits,
            "maxLength": _limits,
            "examples": st.lists(texts, max_size=1),
        },
    )
    return st.tuples(inner, words).map(lambda both: {**both[1], **both[0]})


def _larger(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    some = st.lists(inner, min_size=1, max_size=3)
    return _told(
        objects(inner)
        | st.fixed_dictionaries({"type": st.just("array"), "items": inner})
        | st.fixed_dictionaries({"type": st.just("array"), "prefixItems": some})
        | st.fixed_dictionaries({"type": st.just("object"), "additionalProperties": inner})
        | st.sampled_from(["anyOf", "oneOf", "allOf"]).flatmap(
            lambda word: st.fixed_dictionaries({word: some})
        )
    )


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Schemas of objects, some of whose fields are required."""
    return st.dictionaries(_NAMES, inner | st.sampled_from([True, 5, []]), max_size=3).flatmap(
        lambda fields: st.fixed_dictionaries(
            {
                "type": st.just("object"),
                "properties": st.just(fields),
                "required": st.lists(st.sampled_from([*fields, "absent"]), max_size=3),
            }
        )
    )


_sound = st.recursive(_told(_simple), _larger, max_leaves=4)
_nonsense = st.recursive(
    json_values | _simple | _REFERENCES,
    lambda inner: st.dictionaries(_KEYWORDS, inner, max_size=4) | st.lists(inner, max_size=3),
    max_leaves=5,
)


def _deep(way: str, depth: int) -> dict[str, Any]:
    """One schema in another, as deep as stored JSON may be, and in each other for ever."""
    inner: Any = {"$ref": "#/$defs/a"}
    for _ in range(depth):
        match way:
            case "properties":
                inner = {"type": "object", way: {"a": inner}, "required": ["a"]}
            case "items":
                inner = {"type": "array", way: inner, "minItems": 9}
            case _:
                inner = {way: [inner, inner][: 1 + (depth < 9)]}
    return {"type": "object", "properties": {"a": inner}, "required": ["a"], "$defs": {"a": inner}}


_deep_schemas = st.builds(
    _deep,
    st.sampled_from(["properties", "items", "prefixItems", "anyOf", "allOf"]),
    st.integers(1, 8) | st.just(60),
)


def _whole(parts: tuple[dict[str, Any], dict[str, Any], dict[str, Any]]) -> dict[str, Any]:
    whole, definitions, odd = parts
    return {**whole, "$defs": definitions, **odd}


schemas: st.SearchStrategy[dict[str, Any]] = (
    st.tuples(
        objects(_sound),
        st.dictionaries(st.sampled_from("ab"), _sound | _nonsense, max_size=2),
        st.just({}) | st.just({}) | st.dictionaries(_KEYWORDS, _nonsense, max_size=2),
    ).map(_whole)
    | _deep_schemas
    | st.dictionaries(_KEYWORDS, _nonsense, max_size=4)
)
"""What may be stored as a form: by pydantic, by hand, by mistake, on purpose."""

# --- Limits ----------------------------------------------------------------------------------


class Endless(BaseException):
    """It took more work than anything should. No `except Exception` may swallow it."""


@contextmanager
def bounded(seconds: float = _MOST_SECONDS) -> Generator[None]:
    """Give the block so many seconds of this process's own work, and so much more memory.

    More work raises `Endless`, more memory `MemoryError`.
    """

    def stop(*_: object) -> None:
        raise Endless(f"not done after {seconds} s of work")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        with _little_memory():
            yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@contextmanager
def _little_memory() -> Generator[None]:
    pages = Path("/proc/self/statm")
    if not pages.exists():  # elsewhere than on Linux it is not known how much there is
        yield
        return
    used = int(pages.read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + _MOST_BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


# --- What is shown ---------------------------------------------------------------------------

_STEERING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def assert_harmless(shown: str) -> None:
    """Nothing that a terminal obeys, but the ends of lines."""
    found = _STEERING.search(shown)
    assert found is None, shown[max(0, found.start() - 40) : found.end() + 40]
