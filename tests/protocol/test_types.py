"""A type and a value of it agree on the stream's name and on the bytes."""

from __future__ import annotations

import json
import math
import re
import sys
import typing
from collections import Counter, OrderedDict, abc, defaultdict, deque
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum
from fractions import Fraction
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path, PosixPath, PurePath, PurePosixPath
from types import NoneType
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, Optional, TypeVar, Union
from uuid import UUID

import annotated_types as at
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as pydantic_dataclass
from typing_extensions import TypeAliasType, TypedDict

from runbus.errors import InvalidKeyPrefix, NotSerializable, UnnamedType, UsageError
from runbus.protocol.types import check_key_prefix, name_of_value, types_by_name
from runbus.protocol.values import decoder, encode, is_broken_json, json_schema

T = TypeVar("T")
U = TypeVar("U")

LOOKS_LIKE_BASE64 = b"YWJj"  # a byte too many or too few of base64 turns it into something else


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Size(StrEnum):
    SMALL = "s"


class Level(IntEnum):
    LOW = 1


class Mode(Flag):
    READ = 1
    WRITE = 2


class Day(Enum):
    FIRST = date(2000, 1, 1)
    NONE = None


class Blob(Enum):
    TWO = b"\xff\xfe"


class Point(NamedTuple):
    x: int
    data: bytes = b""


class PairOf(NamedTuple, Generic[T]):
    left: T
    right: T


class Options(TypedDict, total=False):
    deep: bool
    data: bytes


@dataclass
class Reading:
    value: float | None = None
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Holder(Generic[T]):
    item: T


@pydantic_dataclass
class Checked:
    value: float | None = None
    data: bytes = b""


class Model(BaseModel):
    value: float | None = None
    data: bytes = b""
    anything: Any = None


class Base64Model(BaseModel):
    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
    data: bytes


class Box(BaseModel, Generic[T]):
    item: T


class Two(BaseModel, Generic[T, U]):
    first: T
    second: U


class Über_Größe(BaseModel):  # noqa: PLC2401
    n: int = 1


class Mixed(BaseModel):
    """A model around everything whose bytes would be base64 outside of a model."""

    reading: Reading
    options: Options
    point: Point
    checked: Checked


@dataclass
class MixedOutside:
    """The same types, once under a dataclass's rules and once under a model's."""

    model: Mixed
    reading: Reading
    options: Options
    point: Point
    checked: Checked
    more: list[Mixed] = field(default_factory=list)


class Cat(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: Literal["cat"] = Field("cat", alias="petKind")
    lives: int = Field(9, validation_alias="livesIn", serialization_alias="livesOut")

    @pydantic.computed_field
    @property
    def doubled(self) -> int:
        return 2 * self.lives


class Dog(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: Literal["dog"] = Field("dog", alias="petKind")
    tag: bytes = b""


class Owner(BaseModel):
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    others: list[Annotated[Cat | Dog, Field(discriminator="kind")]] = []


class MyStr(str):
    __slots__ = ()


class MyList(list):
    pass


class Moment(datetime):
    pass


class OwnSchema(str):
    __slots__ = ()

    @classmethod
    def __get_pydantic_core_schema__(cls, source, handler):
        return handler(str)


class Greeting(BaseModel):
    text: str


class AnswerToGreeting(Greeting):
    pass


UserId = NewType("UserId", int)
Alias = TypeAliasType("Alias", int | list[str])
Pairs = TypeAliasType("Pairs", list[tuple[T, T]], type_params=(T,))
Itself = TypeAliasType("Itself", T, type_params=(T,))
Turned = TypeAliasType("Turned", dict[U, T], type_params=(T, U))
TurnedModel = TypeAliasType("TurnedModel", Two[U, T], type_params=(T, U))
AlwaysInt = TypeAliasType("AlwaysInt", int, type_params=(T,))
Red = TypeAliasType("Red", Literal[Color.RED])
RedOrNone = TypeAliasType("RedOrNone", Red | None)
RedOrOne = TypeAliasType("RedOrOne", Literal[Red, 1])

MADE_BY_TYPE_STATEMENTS = """
type Red = Literal[Color.RED]
type RedOrNone = Red | None
type RedOrOne = Literal[Red, 1]
type OrRed[T] = T | Red
type OrRedTwice[T] = OrRed[OrRed[T]]
type Turned[T, U] = dict[U, T]
type Tree = dict[str, Tree] | list[Tree] | Red
type Loop = Loop | int
type Ping = Pong
type Pong = Annotated[Ping, "pong"]
"""
"""For Python 3.12 and later, where such a statement is one."""


def made_by_type_statement(name: str) -> Any:
    if sys.version_info < (3, 12):
        pytest.skip("the statement came with Python 3.12")
    names = {"Literal": Literal, "Color": Color, "Annotated": Annotated}
    exec(MADE_BY_TYPE_STATEMENTS, names)
    return names[name]


NAMED_VALUES = [
    (None, "NoneType"),
    (True, "bool"),
    (1, "int"),
    (1.5, "float"),
    ("a", "str"),
    (b"a", "bytes"),
    (bytearray(b"a"), "bytes"),
    ([1], "list"),
    ((1,), "tuple"),
    ({1}, "set"),
    (frozenset([1]), "frozenset"),
    ({"a": 1}, "dict"),
    (OrderedDict(a=1), "dict"),
    (defaultdict(int, a=1), "dict"),
    (Counter("a"), "dict"),
    (deque([1]), "deque"),
    (PosixPath("a"), "Path"),
    (PurePosixPath("a"), "Path"),
    (Color.RED, "Color"),
    (Size.SMALL, "Size"),
    (Level.LOW, "Level"),
    (Mode.READ | Mode.WRITE, "Mode"),
    (Point(1), "Point"),
    (Options(deep=True), "dict"),
    (Reading(), "Reading"),
    (Holder(1), "Holder"),
    (Checked(), "Checked"),
    (Box[int](item=1), "Box"),
    (Box(item=1), "Box"),
    (Über_Größe(), "Über_Größe"),
    (MyStr("a"), "str"),
    (MyList(), "list"),
    (Moment(2000, 1, 1), "datetime"),
    (OwnSchema("a"), "OwnSchema"),
    (date(2000, 1, 1), "date"),
    (time(1), "time"),
    (timedelta(1), "timedelta"),
    (UUID(int=1), "UUID"),
    (Decimal(1), "Decimal"),
    (IPv4Address(1), "IPv4Address"),
    (AnswerToGreeting(text="a"), "AnswerToGreeting"),
]


@pytest.mark.parametrize(("value", "name"), NAMED_VALUES, ids=[repr(v) for v, _ in NAMED_VALUES])
def test_a_value_is_sent_on_the_stream_of_its_type(value: object, name: str):
    """A value goes by the type that a receiver would name, not always by its own class."""
    assert name_of_value(value) == name


SPLIT_TYPES = [
    (int, {"int": int}),
    (None, {"NoneType": NoneType}),
    (list, {"list": list}),
    (list[int], {"list": list[int]}),
    (typing.List, {"list": typing.List}),  # noqa: UP006
    (typing.List[int], {"list": typing.List[int]}),  # noqa: UP006
    (tuple, {"tuple": tuple}),
    (tuple[int, ...], {"tuple": tuple[int, ...]}),
    (typing.Tuple[int, str], {"tuple": typing.Tuple[int, str]}),  # noqa: UP006
    (Optional[int], {"int": int, "NoneType": NoneType}),  # noqa: UP045
    (int | None, {"int": int, "NoneType": NoneType}),
    (Union[int, str | bytes], {"int": int, "str": str, "bytes": bytes}),  # noqa: UP007
    (list[int] | list[str], {"list": list[int] | list[str]}),
    (Box[int] | Box[str] | None, {"Box": Box[int] | Box[str], "NoneType": NoneType}),
    (Annotated[int, at.Gt(1)], {"int": Annotated[int, at.Gt(1)]}),
    (Annotated[Cat | Dog, Field(discriminator="kind")], {"Cat": Cat, "Dog": Dog}),
    (Annotated[int | None, at.Gt(1)], {"int": Annotated[int, at.Gt(1)], "NoneType": NoneType}),
    (Literal["a", 1, "b"], {"str": Literal["a", "b"], "int": Literal[1]}),
    (Literal[True, 1], {"bool": Literal[True], "int": Literal[1]}),
    (Literal["a", None], {"str": Literal["a"], "NoneType": Literal[None]}),
    (Color, {"Color": Color}),
    (Size, {"Size": Size}),
    (Options, {"dict": Options}),
    (Point, {"Point": Point}),
    (PairOf[int], {"PairOf": PairOf[int]}),
    (Reading, {"Reading": Reading}),
    (Holder[int], {"Holder": Holder[int]}),
    (Model, {"Model": Model}),
    (Box, {"Box": Box}),
    (Box[int], {"Box": Box[int]}),
    (Path, {"Path": Path}),
    (PosixPath, {"Path": PosixPath}),
    (PurePath, {"Path": PurePath}),
    (UserId, {"int": int}),
    (Alias, {"int": int, "list": list[str]}),
    (Pairs[int], {"list": list[tuple[int, int]]}),
    (Itself[int], {"int": int}),
    (Turned[int, str], {"dict": dict[str, int]}),
    (TurnedModel[int, str], {"Two": Two[str, int]}),
    (AlwaysInt[str], {"int": int}),
    (
        Literal[Color.RED, Size.SMALL, "s"],
        {
            "Color": Literal[Color.RED],
            "Size": Literal[Size.SMALL],
            "str": Literal["s"],
        },
    ),
    (Literal[Color.RED] | None, {"Color": Literal[Color.RED], "NoneType": NoneType}),
    (Annotated[Literal[Color.RED], 1], {"Color": Annotated[Literal[Color.RED], 1]}),
    (Red, {"Color": Literal[Color.RED]}),
    (RedOrNone, {"Color": Literal[Color.RED], "NoneType": NoneType}),
    (RedOrOne, {"Color": Literal[Color.RED], "int": Literal[1]}),
    (OrderedDict[str, int], {"dict": OrderedDict[str, int]}),
    (abc.Sequence[int], {"list": list[int], "tuple": tuple[int, ...]}),
    (typing.Sequence, {"list": list, "tuple": tuple}),
    (abc.Mapping[str, int], {"dict": dict[str, int]}),
    (abc.MutableMapping[str, int], {"dict": dict[str, int]}),
    (abc.Set[int], {"set": set[int], "frozenset": frozenset[int]}),
    (pydantic.EmailStr, {"str": pydantic.EmailStr}),
    (pydantic.AwareDatetime, {"datetime": pydantic.AwareDatetime}),
    (pydantic.PositiveInt, {"int": pydantic.PositiveInt}),
]


@pytest.mark.parametrize(
    ("annotation", "types"), SPLIT_TYPES, ids=[str(annotation) for annotation, _ in SPLIT_TYPES]
)
def test_a_receiver_reads_the_streams_of_its_type(annotation: Any, types: dict[str, Any]):
    """An annotation is split into the streams it reads, each with its part of the annotation."""
    assert types_by_name(annotation) == types


def test_json_values_are_received_whole():
    """Pydantic's recursive `JsonValue` reads one stream for each kind of JSON."""
    types = types_by_name(pydantic.JsonValue)
    assert set(types) == {"dict", "list", "str", "bool", "int", "float", "NoneType"}
    assert decoder(types["dict"])(b'{"a": [1, null]}') == {"a": [1, None]}


@pytest.mark.parametrize(
    "annotation",
    [
        Any, object, type, type[int], T, abc.Callable[[int], int], abc.Iterable[int], abc.Hashable,
        typing.NoReturn, typing.SupportsInt, int | Any, Annotated[object, 1], "int", 3, [int],
    ],
    ids=repr,
)  # fmt: skip
def test_a_type_without_a_name_is_refused(annotation: Any):
    """What no value's class could be has no stream."""
    with pytest.raises(UnnamedType, match="key_prefix"):
        types_by_name(annotation)


def arrives(annotation: Any, value: Any) -> Any:
    """Send a value to a receiver of a type and return what arrives."""
    return decoder(types_by_name(annotation)[name_of_value(value)])(encode(value))


def reading(data: bytes = LOOKS_LIKE_BASE64) -> dict[str, Any]:
    return {
        "reading": Reading(math.inf, data),
        "options": Options(data=data),
        "point": Point(1, data),
        "checked": Checked(-math.inf, data),
    }


mixed = Mixed(**reading())

ROUND_TRIPS = [
    (Color, Color.RED),
    (Size, Size.SMALL),
    (Level, Level.LOW),
    (Mode, Mode.READ | Mode.WRITE),
    (Literal["a", 1], 1),
    (Literal[Color.RED, Size.SMALL], Size.SMALL),
    (Literal[True], True),
    (Literal[Color.RED, Color.BLUE], Color.BLUE),
    (Literal[Color.RED, "a", None], Color.RED),
    (Literal[Color.RED, "a", None], None),
    (Literal[Level.LOW], Level.LOW),
    (Literal[Mode.READ], Mode.READ),
    (Literal[Day.FIRST, Day.NONE], Day.FIRST),
    (Literal[Day.FIRST, Day.NONE], Day.NONE),
    (Literal[Blob.TWO], Blob.TWO),
    (Literal[b"\xff", b"YWJj"], b"YWJj"),
    (Literal[Color.RED] | None, Color.RED),
    (Annotated[Literal[Color.RED], "metadata"], Color.RED),
    (Annotated[Literal[Color.RED] | None, "metadata"], Color.RED),
    (Red, Color.RED),
    (RedOrNone, Color.RED),
    (RedOrOne, Color.RED),
    (Itself[Red], Color.RED),
    (Turned[int, str], {"a": 1}),
    (Annotated[int, at.Gt(1)], 2),
    (Annotated[list[int], ["unhashable"]], [2]),
    (UserId, 3),
    (Pairs[bytes], [(b"\xff", b"")]),
    (Path, PosixPath("/a/ü")),
    (PurePath, PurePosixPath("a")),
    (list[PurePosixPath], [PurePosixPath("a")]),
    (IPv4Address, IPv4Address("10.0.0.1")),
    (Fraction, Fraction(1, 3)),
    (re.Pattern[str], re.compile("a+")),
    (pydantic.HttpUrl, pydantic.HttpUrl("http://a.b/")),
    (pydantic.AwareDatetime, datetime(2000, 1, 1, tzinfo=UTC)),
    (pydantic.IPvAnyAddress, IPv6Address("::1")),
    (OrderedDict[str, int], OrderedDict(a=1)),
    (dict[str, int], defaultdict(int, a=1)),
    (Counter[str], Counter("aab")),
    (deque[int], deque([1])),
    (bytes, bytearray(b"\xff")),
    (dict[bytes, bytes], {b"\xff": LOOKS_LIKE_BASE64}),
    (dict[float, float], {math.inf: -math.inf}),
    (Options, Options(deep=True, data=b"\xff")),
    (Point, Point(1, b"\xff")),
    (PairOf[bytes], PairOf(b"\xff", b"")),
    (Reading, Reading(math.inf, b"\xff")),
    (Holder[bytes], Holder(b"\xff")),
    (Checked, Checked(math.inf, b"abc")),
    (Über_Größe, Über_Größe(n=2)),
    (Model, Model(value=-math.inf, data=LOOKS_LIKE_BASE64)),
    (Base64Model, Base64Model(data=b"\xff\xfe")),
    (Box[bytes], Box[bytes](item=LOOKS_LIKE_BASE64)),
    (Box[Reading], Box[Reading](item=Reading(math.inf, LOOKS_LIKE_BASE64))),
    (Box[list[Box[int]]], Box[list[Box[int]]](item=[Box[int](item=1)])),
    (Owner, Owner(pet=Cat(livesIn=3), others=[Dog(tag=LOOKS_LIKE_BASE64), Cat()])),
    (Annotated[Cat | Dog, Field(discriminator="kind")], Cat(livesIn=3)),
    (Mixed, mixed),
    (MixedOutside, MixedOutside(mixed, **reading(), more=[mixed])),
    (tuple[Reading, Mixed], (Reading(1.0, LOOKS_LIKE_BASE64), mixed)),
    (tuple[Mixed, Reading], (mixed, Reading(1.0, LOOKS_LIKE_BASE64))),
]


@pytest.mark.parametrize(
    ("annotation", "value"), ROUND_TRIPS, ids=[f"{t}-{n}" for n, (t, _) in enumerate(ROUND_TRIPS)]
)
class TestRoundTrip:
    def test_alone(self, annotation: Any, value: Any):
        """A value arrives as it was sent."""
        assert arrives(annotation, value) == value

    def test_in_a_list(self, annotation: Any, value: Any):
        """A list of such values arrives as it was sent."""
        assert arrives(list[annotation], [value, value]) == [value, value]

    def test_in_a_dataclass(self, annotation: Any, value: Any):
        """A dataclass around such a value arrives as it was sent."""
        assert arrives(Holder[annotation], Holder(value)) == Holder(value)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [(Box[bytes], LOOKS_LIKE_BASE64), (Box[Reading], Reading(1.0, LOOKS_LIKE_BASE64))],
    ids=["bytes", "dataclass"],
)
def test_a_model_without_its_parameter_arrives_as_one_with_it(annotation: Any, value: Any):
    """Sent as a bare generic model, a value is written as the parametrised one reads it."""
    assert arrives(annotation, Box(item=value)).item == value
    assert arrives(list[annotation], [Box(item=value)])[0].item == value


def test_an_abstract_container_keeps_the_senders_class():
    """A list is received as a list and a tuple as a tuple where either will do."""
    assert arrives(abc.Sequence[bytes], (b"\xff",)) == (b"\xff",)
    assert arrives(abc.Sequence[bytes], [b"\xff"]) == [b"\xff"]
    assert arrives(abc.Set[int], frozenset([1])) == frozenset([1])


def test_literal_members_of_an_enum_are_told_apart():
    """Only the members that a literal names are received."""
    assert arrives(Literal[Color.RED, 1], Color.RED) is Color.RED
    for value in (Color.BLUE, "purple"):
        with pytest.raises(ValidationError):
            decoder(types_by_name(Literal[Color.RED, 1])["Color"])(encode(value))


@pytest.mark.parametrize(
    ("name", "args", "value"),
    [
        ("Red", (), Color.RED),
        ("RedOrNone", (), Color.RED),
        ("RedOrNone", (), None),
        ("RedOrOne", (), Color.RED),
        ("RedOrOne", (), 1),
        ("OrRed", (int,), Color.RED),
        ("OrRed", (int,), 3),
        ("OrRed", (Literal[Size.SMALL],), Size.SMALL),
        ("OrRedTwice", (int,), Color.RED),
        ("OrRedTwice", (int,), 3),
        ("Turned", (int, str), {"a": 1}),
        ("Tree", (), {"a": [Color.RED]}),
        ("Tree", (), Color.RED),
    ],
)
def test_sender_and_receiver_agree_on_what_a_type_statement_made(
    name: str, args: tuple[Any, ...], value: Any
):
    """An alias is received as what it stands for, alone and inside of something else."""
    alias = made_by_type_statement(name)
    alias = alias[args] if args else alias
    assert arrives(alias, value) == value
    assert arrives(Annotated[alias, "metadata"] | bytes, value) == value
    assert arrives(list[alias], [value]) == [value]


@pytest.mark.parametrize("name", ["Loop", "Ping"])
def test_an_alias_of_nothing_but_itself_has_no_name(name: str):
    """What never comes to an end stands for no type."""
    with pytest.raises(UnnamedType, match=name):
        types_by_name(made_by_type_statement(name))


def test_a_literals_member_that_is_not_named_is_refused_like_any_other():
    """The refusal says which values there are, as JSON has them, and says it once."""
    receive = decoder(list[Literal[Color.RED, "a", 1]])
    assert receive(b'["red", "a", 1]') == [Color.RED, "a", 1]
    with pytest.raises(ValidationError) as refused:
        receive(b'["blue"]')
    [error] = refused.value.errors()
    assert (error["type"], error["loc"]) == ("literal_error", (0,))
    assert error["msg"] == "Input should be 'red', 'a' or 1"


def test_the_schema_of_a_literal_is_that_of_its_values():
    """A form for members of an enum offers each of them once."""
    assert json_schema(Literal[Color.RED]) == {"const": "red", "type": "string"}
    mixed = json_schema(list[Literal[Color.RED, Color.BLUE, "a"]])
    assert mixed["items"] == {"enum": ["red", "blue", "a"], "type": "string"}


class Twice(BaseModel):
    first: Reading
    second: Reading


class TwiceInBase64(Twice):
    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    @pydantic.model_validator(mode="after")
    def seen(self) -> TwiceInBase64:
        return self


def test_bytes_that_pydantic_would_read_wrongly_are_refused():
    """A dataclass shared by a model and its surroundings needs one way of writing bytes."""
    value = Reading(1.0, LOOKS_LIKE_BASE64)
    alone = Twice(first=value, second=value)
    assert arrives(Twice, alone) == alone
    with pytest.raises(UsageError, match=r"give Twice ConfigDict\(ser_json_bytes"):
        decoder(tuple[Reading, Twice])
    pair = (value, TwiceInBase64(first=value, second=value))
    assert arrives(tuple[Reading, TwiceInBase64], pair) == pair


finite_offsets = st.builds(
    timezone, st.integers(-23 * 60, 23 * 60).map(lambda minutes: timedelta(minutes=minutes))
)
text = st.text(st.characters(exclude_categories=["Cs"]))
LEAVES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (int, st.integers()),
    (float, st.floats(allow_nan=False)),
    (bool, st.booleans()),
    (str, text),
    (bytes, st.binary()),
    (None, st.none()),
    (datetime, st.datetimes(timezones=st.none() | finite_offsets, allow_imaginary=False)),
    (date, st.dates()),
    (time, st.times(timezones=st.none() | finite_offsets)),
    (timedelta, st.timedeltas()),
    (UUID, st.uuids()),
    (Decimal, st.decimals(allow_nan=False)),
    (complex, st.complex_numbers(allow_nan=False, allow_infinity=False)),
    (Reading, st.builds(Reading, st.floats(allow_nan=False), st.binary())),
    (Options, st.fixed_dictionaries({"deep": st.booleans(), "data": st.binary()})),
    (Point, st.builds(Point, st.integers(), st.binary())),
    (Model, st.builds(Model, value=st.floats(allow_nan=False), data=text.map(str.encode))),
    (Checked, st.builds(Checked, st.floats(allow_nan=False), text.map(str.encode))),
    (Box[bytes], st.builds(Box[bytes], item=text.map(str.encode))),
]


@pytest.mark.parametrize(("annotation", "values"), LEAVES, ids=[str(t) for t, _ in LEAVES])
@given(data=st.data())
def test_any_value_of_a_type_arrives(annotation: Any, values: Any, data: st.DataObject):
    """Whatever the value, it arrives with its type and as it was sent."""
    value = data.draw(values)
    received = arrives(annotation, value)
    assert received == value
    assert type(received) is type(value)


def around(inner: st.SearchStrategy[tuple[Any, Any]]) -> st.SearchStrategy[tuple[Any, Any]]:
    """Wrap types, each drawn with the strategy of its values, into containers."""
    return st.one_of(
        inner.map(lambda t: (list[t[0]], st.lists(t[1], max_size=3))),
        inner.map(lambda t: (dict[str, t[0]], st.dictionaries(text, t[1], max_size=3))),
        inner.map(lambda t: (tuple[t[0], ...], st.lists(t[1], max_size=3).map(tuple))),
        inner.map(lambda t: (Optional[t[0]], st.none() | t[1])),  # noqa: UP045
        inner.map(lambda t: (Holder[t[0]], t[1].map(Holder))),
        st.tuples(inner, inner).map(
            lambda ts: (tuple[ts[0][0], ts[1][0]], st.tuples(ts[0][1], ts[1][1]))
        ),
    )  # fmt: skip


nested_types = st.recursive(st.sampled_from(LEAVES), around, max_leaves=4)


@given(drawn=nested_types, data=st.data())
def test_any_nested_type_arrives(drawn: tuple[Any, Any], data: st.DataObject):
    """Containers of containers arrive as they were sent."""
    annotation, values = drawn
    value = data.draw(values)
    assert arrives(annotation, value) == value


@given(values=st.sets(st.binary()) | st.sets(st.integers()))
def test_sets_arrive(values: set[Any]):
    """Sets and frozen sets arrive as what they were."""
    annotation = set[bytes] | set[int] | frozenset[bytes] | frozenset[int]
    assert arrives(annotation, values) == values
    assert arrives(annotation, frozenset(values)) == frozenset(values)


@pytest.mark.parametrize(
    "value",
    [math.nan, Reading(math.nan), Checked(math.nan), Model(value=math.nan), Decimal("NaN")],
    ids=["float", "dataclass", "pydantic dataclass", "model", "decimal"],
)
def test_nan_arrives_as_nan(value: Any):
    """NaN is never turned into None, although null is a model's default for it."""
    received = arrives(list[type(value)], [None, value][1:])[0]
    assert math.isnan(getattr(received, "value", received))


def test_an_iterator_is_not_lost_to_the_second_pass():
    """A value that can be read only once is written from the first reading."""
    assert encode([None, iter_of(1, 2)]) == b"[null,[1,2]]"


def iter_of(*values: int) -> abc.Generator[int]:
    yield from values


def test_null_costs_no_precision():
    """The second pass, taken when null occurs, writes everything else as the first."""
    value = [None, 10**30, 0.1, "null", b"\xff", {1: Path("a")}, Size.SMALL, mixed]
    assert json.loads(encode(value))[:-1] == json.loads(encode(value[:-1]))


def test_bytes_of_a_model_follow_its_own_config():
    """A plain model writes its bytes as UTF-8, one that asks for base64 as base64."""
    assert json.loads(encode([Model(data=b"a"), Base64Model(data=b"a")]))[0]["data"] == "a"
    assert encode(Base64Model(data=b"a")) == b'{"data":"YQ=="}'


def test_fields_are_written_under_their_names():
    """Neither aliases nor computed fields are on the wire; names and aliases are read."""
    assert encode(Cat(livesIn=3)) == b'{"kind":"cat","lives":3}'
    assert decoder(Cat)(b'{"petKind":"cat","livesIn":3}') == Cat(livesIn=3)


cycle: list[Any] = []
cycle.append(cycle)
deep: list[Any] = []
for _ in range(5000):
    deep = [deep]


class Refusing(BaseModel):
    n: int = 1

    @pydantic.field_serializer("n")
    def refuse(self, n: int) -> int:
        raise LookupError(n)


@pytest.mark.parametrize(
    "value",
    [object(), "\ud800", Model(data=b"\xff"), Checked(1.0, b"\xff"), [Model(data=b"\xff")], cycle,
     deep, Refusing(), int, print, memoryview(b"a"), {"a": {object(): 1}}],
    ids=["object", "surrogate", "model's bytes", "pydantic dataclass's bytes", "nested bytes",
         "cycle", "too deep", "serializer raises", "class", "function", "memoryview", "key"],
)  # fmt: skip
def test_what_cannot_be_written_is_refused(value: object):
    """Whatever goes wrong in writing is one error, which names the value's class."""
    with pytest.raises(NotSerializable, match="cannot be sent") as caught:
        encode(value)
    assert caught.value.value_type is type(value)
    assert caught.value.__cause__ is not None


def test_a_tuple_does_not_become_a_list_of_tuples_unchecked():
    """A receiver's parameters are checked on receipt."""
    read = decoder(typing.List[tuple[str, float]])  # noqa: UP006
    assert read(encode((("a", 1.5),))) == [("a", 1.5)]
    with pytest.raises(ValidationError):
        read(encode(("a", 1.5)))


def test_equal_annotations_keep_their_own_order_and_literals():
    """Decoders are cached, yet never shared between types that only compare equal."""

    class A(BaseModel):
        n: int = 0

    class B(A):
        pass

    assert list[A | B] == list[B | A]
    assert type(decoder(list[A | B])(b'[{"n":1}]')[0]) is A
    assert type(decoder(list[B | A])(b'[{"n":1}]')[0]) is B
    assert type(decoder(Literal[1])(b"1")) is int
    assert type(decoder(Literal[True])(b"true")) is bool


@pytest.mark.parametrize(
    "data", [b"", b"{", b"nul", b'"a"x', b"\xff", b'"\xff"', b'"\\ud800"', b"hello"], ids=repr
)
@pytest.mark.parametrize("annotation", [str, Model, list[int], Reading], ids=str)
def test_broken_json_is_told_apart(annotation: Any, data: bytes):
    """Bytes that are no JSON, or no UTF-8, are broken whatever the type."""
    with pytest.raises(ValidationError) as caught:
        decoder(annotation)(data)
    assert is_broken_json(caught.value)


@pytest.mark.parametrize(
    ("annotation", "data"),
    [(str, b"1"), (Model, b"[]"), (list[pydantic.Json[int]], b'["{"]')],
    ids=["type", "model", "JSON inside JSON"],
)
def test_json_that_does_not_fit_is_not_broken(annotation: Any, data: bytes):
    """JSON of the wrong type is somebody's value all the same."""
    with pytest.raises(ValidationError) as caught:
        decoder(annotation)(data)
    assert not is_broken_json(caught.value)


@pytest.mark.parametrize("annotation", [int, list[str], Model, Owner, Reading, Options], ids=str)
def test_the_schema_is_pydantics(annotation: Any):
    """The schema is what pydantic gives for reading the type, but for how bytes are written."""
    ours = json.dumps(json_schema(annotation)).replace("base64url", "binary")
    assert json.loads(ours) == TypeAdapter(annotation).json_schema(mode="validation")


@pytest.mark.parametrize(
    "prefix", ["a", "order-1", "two words", "ü" * 127, "x" * 255, "a:b{c}", Size.SMALL], ids=repr
)
def test_a_key_prefix_is_returned(prefix: str):
    """What can name a stream is returned as a plain string."""
    assert check_key_prefix(prefix) == prefix
    assert type(check_key_prefix(prefix)) is str


@pytest.mark.parametrize(
    ("prefix", "reason"),
    [
        (None, "NoneType"), (b"a", "bytes"), ("", "empty"), (" \u2003", "empty"),
        ("x" * 256, "255"), ("ü" * 128, "255"), ("a\nb", "control"), ("a\x00", "control"),
        ("a\x7f", "control"), ("a\x85b", "control"), ("a\u2028b", "control"),
        ("a\u2029", "control"), ("\ud800", "surrogates"),
    ],
    ids=ascii,
)  # fmt: skip
def test_a_key_prefix_that_cannot_name_a_stream_is_refused(prefix: object, reason: str):
    """The error says what is wrong with the prefix."""
    with pytest.raises(InvalidKeyPrefix, match=reason) as caught:
        check_key_prefix(prefix)
    assert caught.value.value == prefix
