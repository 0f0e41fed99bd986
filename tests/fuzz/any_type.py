"""Models of any type that a form may ask for, and JSON that fits them, or nearly does.

A value is JSON as it is written, so that no digit is lost before it comes to a door.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal, Optional, Union
from uuid import UUID

from hypothesis import strategies as st
from pydantic import (
    UUID4,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    FutureDate,
    FutureDatetime,
    HttpUrl,
    Json,
    NaiveDatetime,
    PastDate,
    PastDatetime,
    TypeAdapter,
    create_model,
)

from runbus import RunInput


class Size(Enum):
    SMALL = "s"
    LARGE = "l"


class Level(IntEnum):
    LOW = 1
    HIGH = 10


@dataclass(frozen=True)
class Kind:
    """A type, and JSON that mostly fits it."""

    annotation: Any
    values: st.SearchStrategy[str]
    is_key: bool = False
    """Whether a dict's keys may be of it."""
    is_group: bool = False
    """Whether it is made of others."""


def written(values: st.SearchStrategy[Any]) -> st.SearchStrategy[str]:
    return values.map(lambda value: json.dumps(value, ensure_ascii=False))


def quoted(values: st.SearchStrategy[Any]) -> st.SearchStrategy[str]:
    return written(values.map(str))


def bounds(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    lower = st.fixed_dictionaries({}, optional={"ge": values}) | st.fixed_dictionaries(
        {}, optional={"gt": values}
    )
    upper = st.fixed_dictionaries({}, optional={"le": values}) | st.fixed_dictionaries(
        {}, optional={"lt": values}
    )
    return st.just({}) | st.tuples(lower, upper).map(lambda both: both[0] | both[1])


def lengths() -> st.SearchStrategy[dict[str, Any]]:
    return st.just({}) | st.fixed_dictionaries(
        {}, optional={"min_length": st.integers(0, 2), "max_length": st.integers(2, 4)}
    )


def bounded(type_: Any, options: dict[str, Any]) -> Any:
    return Annotated[type_, Field(**options)] if options else type_


integers = st.integers(-12, 12) | st.integers(2**53 - 2, 2**70) | st.integers(-(2**70), -(2**53))
decimals = st.builds(
    lambda number, places: f"{number:.{places}f}",
    st.decimals(-1000, 1000, places=4),
    st.integers(0, 4),
) | st.sampled_from(
    ["0.10", "1e3", "1E-7", "-0.0", "500.00", "12345678901234567890.123456789", "1e30", "1.10"]
)
dates = st.dates(date(2025, 12, 30), date(2026, 1, 3))
datetimes = st.datetimes(datetime(2025, 12, 31), datetime(2026, 1, 2))
_zones = st.sampled_from(["", "Z", "+01:00", "-05:30"])
_texts = st.sampled_from(["", "a", "Zürich", "a b", "1", "null", "a1", "x" * 6, "\u0663", "l"])
_PATTERNS = [r"^\w+$", r"^[a-z]{1,3}$", r"\d", r"^\S*$", r"^(?:[A-Z]\w*)$", r"^[^\W\d]+$"]


def _texts_kind(options: dict[str, Any]) -> Kind:
    return Kind(bounded(str, options), written(_texts), is_key=not options)


def _decimal_options() -> st.SearchStrategy[dict[str, Any]]:
    digits = st.fixed_dictionaries(
        {}, optional={"max_digits": st.integers(4, 9), "decimal_places": st.integers(0, 3)}
    )
    limits = bounds(decimals.map(Decimal))
    return st.tuples(limits, st.just({}) | digits).map(lambda both: both[0] | both[1])


_durations = st.timedeltas(timedelta(days=-2), timedelta(days=2))
_spans = st.sampled_from(
    ["PT1H", "P1D", "-PT5M", "P1DT2H", "1 hour", "01:30:00", "PT0.000001S", "P1Y", "1:2"]
)
_uuids = st.sampled_from(
    [
        str(UUID(int=1)),
        "0f0e0d0c-0b0a-4908-8706-050403020100",
        "0F0E0D0C0B0A49088706050403020100",
        "{0f0e0d0c-0b0a-4908-8706-050403020100}",
        "urn:uuid:0f0e0d0c-0b0a-4908-8706-050403020100",
        "1",
    ]
)
_bytes = st.binary(max_size=5).map(lambda data: base64.urlsafe_b64encode(data).decode()) | (
    st.sampled_from(["aGVsbG8=", "aGVsbG8", "a", "a+/=", "a-_=", "grüße", ""])
)
_urls = st.sampled_from(
    ["https://example.org/", "http://a", "ftp://a/", "example", "https://ü.org/x?y=1#z", "HTTP://A"]
)
_odd_days = ["2026-02-30", "2026-1-1", "20260101", "2026-01-01T00:00", "2026-01-01T01:00", "0"]
_far_days = ["2001-01-01", "2999-01-01", "2999-01-01T10:00Z", "2001-01-01T10:00"]
_odd_times = ["25:00", "24:00", "19:00", "19:00:00.1234567", "19", "19:00Z", "19:00+01:00"]

scalars: st.SearchStrategy[Kind] = st.one_of(
    bounds(integers).map(
        lambda some: Kind(
            bounded(int, some),
            written(integers) | st.sampled_from(["3.0", "3.5", "1e2", "-0"]),
            is_key=not some,
        )
    ),
    st.integers(2, 5).map(
        lambda each: Kind(Annotated[int, Field(multiple_of=each)], written(integers))
    ),
    bounds(st.sampled_from([-1.5, 0.0, 0.1, 2.5])).map(
        lambda some: Kind(
            bounded(float, some),
            written(st.sampled_from([-1.5, 0.0, 0.1, 2.5, 3, 1e300]))
            | written(integers)
            | decimals,
        )
    ),
    _decimal_options().map(
        lambda some: Kind(bounded(Decimal, some), decimals.filter(_is_json) | quoted(decimals))
    ),
    st.just(Kind(bool, st.sampled_from(["true", "false"]))),
    lengths().map(_texts_kind),
    st.sampled_from(_PATTERNS).map(lambda pattern: _texts_kind({"pattern": pattern})),
    bounds(dates).map(
        lambda some: Kind(
            bounded(date, some), quoted(dates | st.sampled_from(_odd_days)), is_key=not some
        )
    ),
    bounds(st.times()).map(
        lambda some: Kind(
            bounded(time, some), quoted(st.times() | st.sampled_from(_odd_times)), is_key=not some
        )
    ),
    st.sampled_from([datetime, AwareDatetime, NaiveDatetime]).map(
        lambda type_: Kind(
            type_,
            quoted(
                st.builds(lambda when, zone: when.isoformat() + zone, datetimes, _zones)
                | st.sampled_from(["2026-01-01 10:00", "2026-01-01", "2026-01-01T10", "soon"])
            ),
            is_key=type_ is datetime,
        )
    ),
    st.sampled_from([FutureDate, PastDate, FutureDatetime, PastDatetime]).map(
        lambda type_: Kind(type_, quoted(st.sampled_from([*_far_days, "soon"])))
    ),
    bounds(_durations).map(
        lambda some: Kind(bounded(timedelta, some), written(_spans), is_key=not some)
    ),
    st.sampled_from([UUID, UUID4]).map(
        lambda type_: Kind(type_, written(_uuids), is_key=type_ is UUID)
    ),
    lengths().map(lambda some: Kind(bounded(bytes, some), written(_bytes))),
    st.sampled_from([(Json, '"[1, 2]"'), (Json[list[int]], '"[1]"'), (Json[int], '"[1]"')]).map(
        lambda pair: Kind(pair[0], st.sampled_from([pair[1], '"{bad"', '"1"', '"1.5"']))
    ),
    st.just(Kind(Size, st.sampled_from(['"s"', '"l"', '"x"']), is_key=True)),
    st.just(Kind(Level, st.sampled_from(["1", "10", "2", '"1"']))),
    st.lists(st.sampled_from(["a", "A", "1", 1, 2, None]), min_size=1, max_size=3).map(
        lambda some: Kind(
            Literal[tuple(some)],
            st.sampled_from(['"a"', '"A"', '"1"', "1", "2", "null"]),
        )
    ),
    st.just(Kind(HttpUrl, written(_urls))),
    st.just(Kind(Any, st.sampled_from(["1", "1.10", '"a"', "null", "[1]", '{"a": 1}']))),
    st.just(Kind(None, st.just("null"))),
)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


# --- What holds others -----------------------------------------------------------------------


def _listed(values: list[str]) -> str:
    return f"[{', '.join(values)}]"


def _list_of(inner: Kind) -> st.SearchStrategy[Kind]:
    items = st.lists(inner.values, max_size=3).map(_listed)
    kinds = [list[inner.annotation], tuple[inner.annotation, ...]]
    return st.tuples(st.sampled_from(kinds), lengths()).map(
        lambda both: Kind(bounded(both[0], both[1]), items, is_group=True)
    )


def _tuple_of(inner: list[Kind]) -> Kind:
    values = st.tuples(*(each.values for each in inner)).map(list)
    short = st.just([])
    return Kind(
        tuple[tuple(each.annotation for each in inner)],  # type: ignore[misc]
        (values | values | short).map(_listed),
        is_group=True,
    )


def _dict_of(both: tuple[Kind, Kind]) -> Kind:
    key, inner = both
    keys = key.values.map(lambda text: text if text.startswith('"') else f'"{text}"')
    pairs = st.dictionaries(keys, inner.values, max_size=2)
    return Kind(
        dict[key.annotation, inner.annotation],  # type: ignore[name-defined]
        pairs.map(_object),
        is_group=True,
    )


def _object(pairs: dict[str, str]) -> str:
    return f"{{{', '.join(f'{name}: {value}' for name, value in pairs.items())}}}"


def _optional(inner: Kind) -> Kind:
    return Kind(Optional[inner.annotation], inner.values | st.just("null"), is_group=inner.is_group)  # noqa: UP045


def _union(inner: list[Kind]) -> Kind:
    return Kind(
        Union[tuple(each.annotation for each in inner)],  # noqa: UP007
        st.one_of([each.values for each in inner]),
        is_group=True,
    )


@st.composite
def _tagged(draw: Any, inner: st.SearchStrategy[Kind]) -> Kind:
    """Models that a tag tells apart; some values are without it, or have another one."""
    members: list[Any] = []
    values: list[st.SearchStrategy[str]] = []
    for tag in draw(st.sampled_from(["ab", "abc"])):
        kind = draw(inner)
        given = (Literal[tag], tag) if draw(st.booleans()) else (Literal[tag], ...)
        fields: dict[str, Any] = {"kind": given, "x": (kind.annotation, ...)}
        members.append(create_model(f"Tagged{tag}", **fields))
        tags = st.sampled_from([f'"{tag}"', f'"{tag}"', '"a"', '"z"'])
        values.append(_objects({"kind": tags, "x": kind.values}, {"kind"}))
    annotation = Annotated[Union[tuple(members)], Field(discriminator="kind")]  # noqa: UP007
    return Kind(annotation, st.one_of(values), is_group=True)


def _larger(inner: st.SearchStrategy[Kind]) -> st.SearchStrategy[Kind]:
    some = st.lists(inner, min_size=2, max_size=3)
    return st.one_of(
        inner.map(_optional),
        inner.flatmap(_list_of),
        some.map(_tuple_of),
        st.tuples(scalars.filter(lambda kind: kind.is_key), inner).map(_dict_of),
        some.map(_union),
        _tagged(inner),
        models(inner, BaseModel),
    )


# --- Models ----------------------------------------------------------------------------------

_OPTIONS = st.sampled_from(
    [
        {},
        {"extra": "forbid"},
        {"extra": "allow"},
        {"extra": "ignore"},
        {"populate_by_name": True},
        {"ser_json_bytes": "base64", "val_json_bytes": "base64"},
    ]
)


@st.composite
def models(draw: Any, inner: st.SearchStrategy[Kind], base: type[BaseModel]) -> Kind:
    """Models with one to three fields, some with an alias or a default that fits."""
    fields: dict[str, Any] = {}
    values: dict[str, st.SearchStrategy[str]] = {}
    left_out: set[str] = set()
    for name in draw(st.sampled_from(["x", "xy", "xyz"])):
        kind = draw(inner)
        given: dict[str, Any] = {}
        alias = draw(st.sampled_from([None, None, None, f"{name}-1", f"{name} 2"]))
        if alias is not None:
            given["alias"] = alias
        default = _default(draw, kind, may_be_odd=base is not BaseModel)
        if default is not None:
            given["default"] = default[0]
            left_out.add(alias or name)
        fields[name] = (kind.annotation, Field(**given))
        values[alias or name] = kind.values
    options = draw(_OPTIONS)
    if base is not BaseModel:
        made = create_model("Made", __base__=base, **fields)
        if "extra" in options:
            made = create_model("Made", __base__=_with(base, extra=options["extra"]), **fields)
    else:
        made = create_model("Inner", __config__=ConfigDict(**options), **fields)
    return Kind(made, _objects(values, left_out), is_group=True)


def _with(base: type[BaseModel], **options: Any) -> type[BaseModel]:
    return type("Base", (base,), {"model_config": ConfigDict(**options)})


def _default(draw: Any, kind: Kind, *, may_be_odd: bool) -> tuple[Any] | None:
    if draw(st.integers(0, 2)):
        return None
    is_asked = "Literal" not in str(kind.annotation) and kind.annotation is not None
    if may_be_odd and is_asked and not draw(st.integers(0, 3)):
        is_float = "float" in str(kind.annotation)  # `-1` is none, and yet as good
        odd = [None, "unset"] if is_float else [None, "unset", -1, 10**6]
        odd = odd[:1] if kind.is_group else odd
        return (draw(st.sampled_from(odd)),)  # as nobody checks
    try:
        return (TypeAdapter(kind.annotation).validate_json(draw(kind.values)),)
    except ValueError:
        return None


@st.composite
def _objects(draw: Any, values: dict[str, Any], left_out: set[str]) -> str:
    pairs = {
        json.dumps(name): draw(each)
        for name, each in values.items()
        if name not in left_out or draw(st.booleans())
    }
    if not draw(st.integers(0, 9)):
        pairs['"other"'] = "1"
    return _object(pairs)


kinds: st.SearchStrategy[Kind] = st.recursive(scalars, _larger, max_leaves=4)
run_inputs: st.SearchStrategy[Kind] = models(kinds, RunInput)
