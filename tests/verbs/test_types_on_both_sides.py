"""Values of every kind through a real server: what is received equals what was sent.

Sender and receiver only share the type. Each value goes once through the sync verbs and once
through the async ones.
"""

from __future__ import annotations

import asyncio
import pickle
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from fractions import Fraction
from ipaddress import IPv4Address
from pathlib import Path, PurePosixPath
from typing import (  # noqa: UP035  (as users write it)
    TYPE_CHECKING,
    Annotated,
    Any,
    Generic,
    List,
    Literal,
    NamedTuple,
    Optional,
    Tuple,
    TypeVar,
    Union,
)
from uuid import UUID, uuid4

import pytest
from annotated_types import Ge
from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    ValidationError,
    computed_field,
    create_model,
    field_validator,
    model_validator,
)
from typing_extensions import TypedDict

from runbus import RunInput, receive_input, send_input
from runbus.errors import NotSerializable, ReceiveTimeout, UnnamedType, UsageError

if TYPE_CHECKING:
    from servers import Server

T = TypeVar("T")


class Colour(Enum):
    RED = "red"
    BLUE = 2


class Level(IntEnum):
    LOW = 1


class Mode(StrEnum):
    FAST = "fast"


@dataclass
class Point:
    x: float
    y: float = 0.0


@dataclass(frozen=True, slots=True)
class Path_Of_Points:
    points: list[Point]
    name: str = field(default="línea")


class Movie(TypedDict):
    title: str
    year: int


class Pair(NamedTuple):
    left: int
    right: str


class Größe_Ärmel(BaseModel):  # noqa: PLC2401
    wert: int


class Größe(RunInput):  # noqa: PLC2401
    wert: int


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    tricks: list[str] = []


class Home(BaseModel):
    pet: Cat | Dog = Field(discriminator="kind")
    pets: dict[str, Annotated[Cat | Dog, Field(discriminator="kind")]] = {}


class Aliased(BaseModel):
    given_name: str = Field(alias="givenName")
    age: int = Field(validation_alias=AliasChoices("Age", "years"), serialization_alias="AGE")


class Area(BaseModel):
    model_config = ConfigDict(extra="forbid")
    width: int
    height: int

    @computed_field
    @property
    def size(self) -> int:
        return self.width * self.height


class Box(BaseModel, Generic[T]):
    content: T


class Strict(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")
    when: datetime
    id: UUID
    parts: tuple[int, ...]
    colour: Colour = Colour.RED


class Tags(RootModel[list[str]]):
    pass


class Tree(BaseModel):
    name: str
    children: list[Tree] = []


class Everything(RunInput):
    number: int
    blob: bytes
    ratio: float
    when: datetime
    took: timedelta
    price: Decimal
    where: Path
    colour: Colour
    point: Point
    movie: Movie
    pair: Pair
    area: Area
    home: Home
    box: Box[list[Point]]
    maybe: int | None = None


class WithPostInit(BaseModel):
    name: str
    length: int = 0

    def model_post_init(self, _context: Any) -> None:
        self.length = len(self.name)


MOMENT = datetime(2024, 2, 29, 23, 59, 59, 999999, tzinfo=timezone(timedelta(hours=5, minutes=30)))
EVERYTHING = Everything(
    number=2**70,
    blob=b"\x00\xff",
    ratio=0.1,
    when=MOMENT,
    took=timedelta(microseconds=1),
    price=Decimal("1.10"),
    where=Path("/tmp/ä"),
    colour=Colour.BLUE,
    point=Point(1, 2),
    movie={"title": "M", "year": 1931},
    pair=Pair(1, "r"),
    area=Area(width=2, height=3),
    home=Home(pet=Dog(tricks=["sit"]), pets={"a": Cat()}),
    box=Box[list[Point]](content=[Point(0)]),
)

VALUES: list[tuple[Any, Any]] = [
    (0, int),
    (-(2**200), int),
    ("", str),
    ("naïve \N{SNOWMAN} \U0001f40d \x00 \r\n \u2028", str),
    (0.1, float),
    (-0.0, float),
    (1e308, float),
    (float("inf"), float),
    (2.0, float),
    (True, bool),
    (False, bool),
    (b"\x00\xff raw \r\n", bytes),
    (None, None),
    (None, type(None)),
    ([1, "a", None, {"b": [True]}], list),
    ([1, 2], list[int]),
    ([(1, "a")], list[tuple[int, str]]),
    ([("a", 1.5)], List[Tuple[str, float]]),  # noqa: UP006
    ({"a": 1}, dict),
    ({1: "a", 2: "b"}, dict[int, str]),
    ({"a": {"b": [1.5]}}, dict[str, dict[str, list[float]]]),
    ({date(2024, 1, 1): Decimal("0.10")}, dict[date, Decimal]),
    ({"a": b"\xff"}, dict[str, bytes]),
    ((1, "a", None), tuple),
    ((1, "a"), tuple[int, str]),
    ((1, 2, 3), tuple[int, ...]),
    ((), tuple[()]),
    ({1, 2}, set),
    ({1, 2}, set[int]),
    (frozenset({"a"}), frozenset[str]),
    (deque([1, 2]), deque[int]),
    ([1], Sequence[int]),
    ((1,), Sequence[int]),
    ({"a": 1}, Mapping[str, int]),
    (MOMENT, datetime),
    (datetime(1, 1, 1), datetime),
    (datetime(2024, 5, 6, tzinfo=UTC), datetime),
    (date(2024, 2, 29), date),
    (time(1, 2, 3, 4), time),
    (timedelta(days=-1, microseconds=7), timedelta),
    (UUID(int=7), UUID),
    (Decimal("0.1000"), Decimal),
    (Decimal("1E+50"), Decimal),
    (Fraction(1, 3), Fraction),
    (IPv4Address("10.0.0.1"), IPv4Address),
    (Path("/a/b ü"), Path),
    (PurePosixPath("a/b"), PurePosixPath),
    (Colour.RED, Colour),
    (Colour.BLUE, Colour),
    (Level.LOW, Level),
    (Mode.FAST, Mode),
    ([Colour.BLUE, Mode.FAST], list[Colour | Mode]),
    ({Colour.RED: 1}, dict[Colour, int]),
    ("a", Literal["a", "b"]),
    (2, Literal["a", 2]),
    (Colour.RED, Literal[Colour.RED, Colour.BLUE]),
    (Colour.BLUE, Literal["a", Colour.BLUE, None]),
    (Mode.FAST, Literal[Mode.FAST] | None),
    (Colour.RED, Annotated[Literal[Colour.RED], Field(description="the only one")]),
    ([Colour.RED, None], list[Literal[Colour.RED] | None]),
    ({"a": b"\xff"}, dict[str, Literal[b"\xff"]]),
    (5, Annotated[int, Ge(3)]),
    ("x", Annotated[str, Field(max_length=3)]),
    (None, Optional[int]),  # noqa: UP045
    (3, Optional[int]),  # noqa: UP045
    ("3", Union[int, str]),  # noqa: UP007
    (3, int | str),
    ([None, 1], list[int | None]),
    (Point(1.5), Point),
    ([Point(1.5, 2.0)], list[Point]),
    (Path_Of_Points([Point(1.0), Point(2.0)]), Path_Of_Points),
    ({"title": "M", "year": 1931}, Movie),
    ([{"title": "M", "year": 1931}], list[Movie]),
    (Pair(1, "a"), Pair),
    ([Pair(1, "a")], list[Pair]),
]


async def through(value: object, input_type: Any) -> Any:
    run_id = uuid4()
    await send_input(value, run_id)
    return await receive_input(input_type, flow_run_id=run_id, timeout=5).next()


def through_in_thread(value: object, input_type: Any) -> Any:
    run_id = uuid4()
    send_input(value, run_id)
    return receive_input(input_type, flow_run_id=run_id, timeout=5).next()


def through_both(value: object, input_type: Any) -> list[Any]:
    return [through_in_thread(value, input_type), asyncio.run(through(value, input_type))]


@pytest.mark.parametrize(
    ("value", "input_type"),
    VALUES,
    ids=[f"{number}-{input_type}"[:50] for number, (_, input_type) in enumerate(VALUES)],
)
def test_a_value_comes_back_as_itself(valkey: Server, value: Any, input_type: Any) -> None:
    """What is received equals what was sent, and has the same class."""
    for received in through_both(value, input_type):
        assert received == value
        assert type(received) is type(value)
        assert str(received) == str(value)  # True equals 1 and 1.0


def test_a_number_that_is_none(valkey: Server) -> None:
    """NaN survives, alone and inside something."""
    for received in through_both(float("nan"), float):
        assert repr(received) == "nan"
    for received in through_both([float("nan"), 1.0], list[float]):
        assert repr(received) == "[nan, 1.0]"


@pytest.mark.parametrize(
    ("value", "input_type", "expected"),
    [
        (OrderedDict(b=1, a=2), dict[str, int], {"b": 1, "a": 2}),
        (defaultdict(int, a=1), dict[str, int], {"a": 1}),
        (Counter("aab"), dict[str, int], {"a": 2, "b": 1}),
        (bytearray(b"\xff"), bytes, b"\xff"),
        (PurePosixPath("a"), PurePosixPath, PurePosixPath("a")),
        (MOMENT, Annotated[datetime, Field(description="when")], MOMENT),
        ({"title": "M", "year": 1931}, dict[str, Any], {"title": "M", "year": 1931}),
        (Pair(1, "a"), Pair, (1, "a")),
    ],
    ids=str,
)
def test_a_relative_of_a_type_is_received_as_that_type(
    valkey: Server, value: Any, input_type: Any, expected: Any
) -> None:
    """Subclasses of a built-in type travel on its stream."""
    for received in through_both(value, input_type):
        assert received == expected


MODELS: list[BaseModel] = [
    Größe_Ärmel(wert=1),
    Home(pet=Dog(tricks=["sit"]), pets={"tom": Cat(lives=8)}),
    Area(width=2, height=3),
    Box[int](content=3),
    Box[list[Point]](content=[Point(1)]),
    Strict(when=MOMENT, id=UUID(int=3), parts=(1, 2), colour=Colour.BLUE),
    Tags(["a", "b"]),
    Tree(name="root", children=[Tree(name="leaf")]),
    WithPostInit(name="four"),
    Aliased.model_validate({"givenName": "Ada", "years": 36}),
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_a_plain_model_comes_back(valkey: Server, model: BaseModel) -> None:
    """A `BaseModel` is received as an instance of its class that is a `RunInput` too."""
    for received in through_both(model, type(model)):
        assert isinstance(received, type(model))
        assert isinstance(received, RunInput)
        assert received.model_dump() == model.model_dump()
        assert received.metadata.sender is None


def test_a_model_with_everything_comes_back(valkey: Server) -> None:
    """A `RunInput` with fields of every kind is received as it was, and equals it."""
    for received in through_both(EVERYTHING, Everything):
        assert received.model_dump() == EVERYTHING.model_dump()
        assert type(received) is Everything
        assert type(received.colour) is Colour
        assert type(received.pair) is Pair
        assert type(received.home.pet) is Dog


def test_a_received_model_equals_the_sent_one(valkey: Server) -> None:
    """Where an input comes from does not count when two inputs are compared."""
    for received in through_both(Größe(wert=5), Größe):
        assert received.wert == 5
        assert type(received) is Größe
        assert received.model_dump_json() == Größe(wert=5).model_dump_json()


class Brush(BaseModel):
    colour: Literal[Colour.RED, Colour.BLUE]
    others: list[Literal[Colour.RED, "none"]] = []
    default: dict[str, str] = {"type": "literal"}


class Pen(RunInput):
    kind: Literal[Level.LOW, Colour.RED] = Colour.RED
    ink: Literal[b"\xff"] | None = None


class Pencil(RunInput):
    kind: Literal[Colour.BLUE] = Colour.BLUE


class Case(RunInput):
    tool: Annotated[Pen | Pencil, Field(discriminator="kind")]


@pytest.mark.parametrize(
    "model",
    [
        Brush(colour=Colour.BLUE, others=[Colour.RED, "none"]),
        Pen(ink=b"\xff"),
        Case(tool=Pencil()),
    ],
    ids=lambda model: type(model).__name__,
)
def test_a_model_with_literals_of_enum_members(valkey: Server, model: BaseModel) -> None:
    """A model reads the members that it writes, also where they tell models apart."""
    for received in through_both(model, type(model)):
        assert received.model_dump() == model.model_dump()


def test_models_inside_containers(valkey: Server) -> None:
    """Inside a list or dict, a model stays the model that it is."""
    for received in through_both([Cat(), Dog()], list[Cat | Dog]):
        assert received == [Cat(), Dog()]
    for received in through_both({"a": Größe(wert=1)}, dict[str, Größe]):
        assert received["a"].wert == 1
    for received in through_both((Area(width=1, height=2), 3), tuple[Area, int]):
        assert received == (Area(width=1, height=2), 3)


async def test_a_generic_model_is_checked_on_receipt(valkey: Server) -> None:
    """`Box[int]` and `Box[str]` share the stream `Box`; the parameter decides on receipt."""
    run_id = uuid4()
    await send_input(Box[str](content="text"), run_id)
    await send_input(Box[int](content=4), run_id)
    inbox = receive_input(Box[int], flow_run_id=run_id, timeout=0)
    with pytest.raises(ValidationError):
        await anext(inbox)
    assert (await anext(inbox)).content == 4


async def test_only_the_input_that_does_not_fit_is_refused(valkey: Server) -> None:
    """A bare tuple or list is checked against the parameters that the receiver names."""
    run_id = uuid4()
    for pairs in ([("a", 1.5)], [("b", "no number")], [], [("c", 2, 3)], [("d", 4)]):
        await send_input(pairs, run_id)
    inbox = receive_input(List[Tuple[str, float]], flow_run_id=run_id, timeout=0)  # noqa: UP006
    outcomes: list[Any] = []
    for _ in range(5):
        try:
            outcomes.append(await anext(inbox))
        except ValidationError as error:
            outcomes.append(error.error_count())
    assert outcomes == [[("a", 1.5)], 1, [], 1, [("d", 4.0)]]
    with pytest.raises(ReceiveTimeout):
        await anext(inbox)


async def test_a_tuple_is_no_list(valkey: Server) -> None:
    """A tuple travels on its own stream, so a receiver of lists does not see it."""
    run_id = uuid4()
    await send_input((("a", 1.5),), run_id)
    assert [
        each
        async for each in receive_input(
            list[tuple[str, float]], flow_run_id=run_id, timeout=0, raise_timeout_error=False
        )
    ] == []
    both = receive_input(Sequence[tuple[str, float]], flow_run_id=run_id, timeout=0)
    assert await anext(both) == (("a", 1.5),)


async def test_constraints_are_checked_on_receipt(valkey: Server) -> None:
    """The constraints of an `Annotated` or of a literal hold for what is received."""
    run_id = uuid4()
    for number in (1, 7):
        await send_input(number, run_id)
    inbox = receive_input(Annotated[int, Ge(3)], flow_run_id=run_id, timeout=0)
    with pytest.raises(ValidationError):
        await anext(inbox)
    assert await anext(inbox) == 7
    literals = receive_input(Literal[7], flow_run_id=run_id, timeout=0)
    with pytest.raises(ValidationError):
        await anext(literals)
    assert await anext(literals) == 7


def test_validators_run_on_receipt(valkey: Server) -> None:
    """A plain model's own validators run when it is received, not only when it was made."""
    calls: list[str] = []

    class Checked(BaseModel):
        name: str
        again: str = ""

        @field_validator("name")
        @classmethod
        def _strip(cls, name: str) -> str:
            calls.append("field")
            return name.strip()

        @model_validator(mode="after")
        def _check(self) -> Checked:
            calls.append("model")
            if self.again and self.again != self.name:
                raise ValueError("the names differ")
            return self

    run_id = uuid4()
    send_input({"name": " x "}, run_id, key_prefix="Checked")
    send_input({"name": "x", "again": "y"}, run_id, key_prefix="Checked")
    inbox = receive_input(Checked, flow_run_id=run_id, timeout=0)
    assert inbox.next().name == "x"
    with pytest.raises(ValidationError, match="the names differ"):
        inbox.next()
    assert calls == ["field", "model"] * 2


@pytest.mark.parametrize("name", ["respond", "send_to", "receive", "encode", "decode"])
def test_a_model_whose_field_is_called_like_a_verb(valkey: Server, name: str) -> None:
    """A field that would hide what every input has is told, where the input is received."""
    model = create_model("Awkward", **{name: (str, ...)})
    with pytest.raises(UsageError, match=name):
        receive_input(model, flow_run_id=uuid4())


def test_a_received_model_can_be_pickled(valkey: Server) -> None:
    """An upgraded model, and a value with its metadata, go to other processes and back."""
    run_id, sender = uuid4(), uuid4()
    send_input(Parcel(weight=2), run_id, sender)
    send_input("text", run_id, sender)
    for received in (
        receive_input(Parcel, flow_run_id=run_id, timeout=5).next(),
        receive_input(str, flow_run_id=run_id, timeout=5, with_metadata=True).next(),
    ):
        again = pickle.loads(pickle.dumps(received))
        assert again == received
        assert again.metadata.sender == str(sender)


class Parcel(BaseModel):
    weight: int


def test_a_received_value_is_sent_on_as_what_it_is(valkey: Server) -> None:
    """Sending on what came with its metadata sends the value, on the stream of its type."""
    first, second = uuid4(), uuid4()
    send_input("text", first)
    send_input(Crate[int](content=5), first)
    receive_input(str, flow_run_id=first, timeout=5, with_metadata=True).next().send_to(second)
    receive_input(Crate[int], flow_run_id=first, timeout=5).next().send_to(second)
    assert receive_input(str, flow_run_id=second, timeout=5).next() == "text"
    assert receive_input(Crate[int], flow_run_id=second, timeout=5).next().content == 5


Content = TypeVar("Content")


class Crate(BaseModel, Generic[Content]):
    content: Content


def test_a_model_with_a_field_called_metadata(valkey: Server) -> None:
    """The one name that cannot be had is told at the call."""

    class Report(BaseModel):
        metadata: dict[str, str]

    with pytest.raises(UsageError, match="metadata"):
        receive_input(Report, flow_run_id=uuid4())
    run_id = uuid4()
    send_input(Report(metadata={"a": "b"}), run_id)
    received = receive_input(dict, flow_run_id=run_id, key_prefix="Report", timeout=0).next()
    assert received == {"metadata": {"a": "b"}}


def test_what_a_model_cannot_write_is_refused(valkey: Server) -> None:
    """Bytes that are no text do not fit a plain model's JSON; a `RunInput` writes base64."""

    class Plain(BaseModel):
        blob: bytes

    class Sendable(RunInput):
        blob: bytes

    with pytest.raises(NotSerializable, match="utf-8"):
        send_input(Plain(blob=b"\xff"), uuid4())
    for received in through_both(Sendable(blob=b"\xff"), Sendable):
        assert received.blob == b"\xff"
    for received in through_both(Plain(blob=b"text"), Plain):
        assert received.blob == b"text"


@pytest.mark.parametrize("annotation", [Any, object, T, int | Any], ids=str)
def test_a_type_without_a_name_needs_a_key_prefix(valkey: Server, annotation: Any) -> None:
    """What no stream could be named after is a `TypeError`; with a key_prefix it works."""
    run_id = uuid4()
    with pytest.raises(UnnamedType, match="key_prefix") as raised:
        receive_input(annotation, flow_run_id=run_id)
    assert isinstance(raised.value, TypeError)
    if annotation is Any:
        send_input({"a": [1]}, run_id, key_prefix="anything")
        inbox = receive_input(annotation, flow_run_id=run_id, timeout=0, key_prefix="anything")
        assert inbox.next() == {"a": [1]}


# --- A form of one's own ---------------------------------------------------------------------


class Secret(RunInput):
    """Stores its values reversed: a toy of an encryption."""

    text: str

    def encode(self) -> bytes:
        return b"secret:" + super().encode()[::-1]

    @classmethod
    def decode(cls, data: bytes) -> Secret:
        if not data.startswith(b"secret:"):
            raise ValueError("this was not encrypted")
        return super().decode(data.removeprefix(b"secret:")[::-1])


class MoreSecret(Secret):
    number: int = 0


def test_a_subclass_may_store_its_values_its_own_way(valkey: Server) -> None:
    """`encode` and `decode` may be overridden: what is stored is not readable, what comes is."""
    for model in (Secret(text="attack at dawn"), MoreSecret(text="at noon", number=3)):
        for received in through_both(model, type(model)):
            assert received.model_dump() == model.model_dump()
            assert received.metadata.key.startswith(type(model).__name__)
    with valkey.client() as client:
        for key in client.scan_iter("*:input:*Secret"):
            [(_, fields)] = client.xrange(key)
            assert fields["value"].startswith("secret:}")
            assert "attack" not in fields["value"]


async def test_the_own_way_holds_for_send_to_respond_and_initial_data(valkey: Server) -> None:
    """Every way to send a model goes through its `encode`, of a subclass with defaults too."""
    run_id, other = uuid4(), uuid4()
    model = Secret.with_initial_data(text="default")
    await model().send_to(run_id, sender=other)
    received = await anext(model.receive(flow_run_id=run_id, timeout=0))
    assert received.text == "default"
    await received.respond(received)
    assert (await anext(Secret.receive(flow_run_id=other, timeout=0))).text == "default"
    with valkey.client() as client:
        for key in client.scan_iter("*:input:Secret"):
            assert client.xrange(key)[0][1]["value"].startswith("secret:}")


async def test_an_error_of_decode_is_raised_once(valkey: Server) -> None:
    """Whatever an own `decode` raises comes once, and the next call moves on."""
    run_id = uuid4()
    await send_input({"text": "plain"}, run_id, key_prefix="Secret")
    await send_input(Secret(text="fine"), run_id)
    inbox = Secret.receive(flow_run_id=run_id, timeout=0)
    with pytest.raises(ValueError, match="was not encrypted"):
        await anext(inbox)
    assert (await anext(inbox)).text == "fine"


# --- Initial data ----------------------------------------------------------------------------


class Ticket(RunInput):
    """A ticket's form."""

    title: str = Field(min_length=3, title="The title", description="Short, please")
    days: Annotated[int, Field(ge=1, le=30)] = 7
    tags: list[str] = Field(default_factory=list, description="Any")
    owner: str | None = None
    colour: Colour = Colour.RED
    late: bool = Field(default=False, alias="isLate")


def test_initial_data_sets_defaults_and_keeps_the_rest() -> None:
    """Constraints, title, description, alias and annotation of a field stay as they are."""
    model = Ticket.with_initial_data("# Fill *this* in", title="Broken", days=3, late=True)
    assert model.__name__ == "Ticket"
    assert model.__doc__ == Ticket.__doc__
    assert issubclass(model, Ticket)
    filled = model()
    assert (filled.title, filled.days, filled.late) == ("Broken", 3, True)
    with pytest.raises(ValidationError):
        model(title="ab")
    with pytest.raises(ValidationError):
        model(days=31)
    before, after = Ticket.model_json_schema(), model.model_json_schema()
    for name in before["properties"]:
        old, new = dict(before["properties"][name]), dict(after["properties"][name])
        old.pop("default", None)
        new.pop("default", None)
        assert old == new, name
    assert after["properties"]["title"]["default"] == "Broken"
    assert after["properties"]["isLate"]["default"] is True
    for name, original in Ticket.model_fields.items():
        assert model.model_fields[name].annotation == original.annotation


def test_initial_data_leaves_the_original_alone() -> None:
    """The class that it is called on is not changed."""
    before = Ticket.model_json_schema()
    Ticket.with_initial_data("described", title="Broken", tags=["a"])
    assert Ticket.model_json_schema() == before
    assert Ticket._description is None
    with pytest.raises(ValidationError):
        Ticket()


def test_initial_data_may_be_given_in_several_calls() -> None:
    """Each call adds to what the ones before have set, and the last one wins."""
    one = Ticket.with_initial_data("first", title="One")
    two = one.with_initial_data(days=9)
    three = two.with_initial_data("third", title="Three", owner="ada")
    assert two().model_dump() == one().model_dump() | {"days": 9}
    assert (three().title, three().days, three().owner) == ("Three", 9, "ada")
    assert (one._description, two._description, three._description) == ("first", "first", "third")
    with pytest.raises(ValidationError):
        three(title="ab")
    with pytest.raises(ValidationError):
        three(days=0)
    assert (one().title, one().days) == ("One", 7)


def test_initial_data_of_an_unknown_field_is_an_error() -> None:
    """The error names what is unknown and what there is."""
    with pytest.raises(UsageError, match="titel") as raised:
        Ticket.with_initial_data(titel="x")
    assert "title" in str(raised.value)


def test_mutable_initial_data_is_not_shared() -> None:
    """Two forms made from one model do not change each other, nor the caller's list."""
    tags = ["a"]
    model = Ticket.with_initial_data(title="Broken", tags=tags)
    one, two = model(), model()
    one.tags.append("b")
    assert two.tags == ["a"]
    assert tags == ["a"]
    assert model().tags == ["a"]


def test_a_required_field_may_get_none_as_its_default() -> None:
    """None is a default like any other."""

    class Question(RunInput):
        answer: str | None

    assert Question.with_initial_data(answer=None)().answer is None


def test_initial_data_replaces_a_default_factory() -> None:
    """A field's `default_factory` gives way to the initial value."""

    class Made(RunInput):
        numbers: list[int] = Field(default_factory=lambda: [1], max_length=2)

    model = Made.with_initial_data(numbers=[5])
    assert model().numbers == [5]
    assert Made().numbers == [1]
    with pytest.raises(ValidationError):
        model(numbers=[1, 2, 3])


async def test_initial_data_does_not_change_the_stream(valkey: Server) -> None:
    """A model with initial data sends and receives on the stream of its class."""
    run_id = uuid4()
    model = Ticket.with_initial_data(title="Broken", days=2)
    sent = await send_input(model(owner="ada"), run_id)
    assert sent.stream == "Ticket"
    received = await anext(Ticket.receive(flow_run_id=run_id, timeout=0))
    assert (received.title, received.days, received.owner) == ("Broken", 2, "ada")
    await send_input({}, run_id, key_prefix="Ticket")
    inbox = model.receive(flow_run_id=run_id, timeout=0)
    assert [(await anext(inbox)).title, (await anext(inbox)).title] == ["Broken", "Broken"]


def test_initial_data_of_a_generic_and_of_a_subclass() -> None:
    """Generic models and subclasses take initial data too."""

    class Wrapped(RunInput, Generic[T]):
        value: T
        note: str = ""

    assert Wrapped[int].with_initial_data(value=3)().value == 3
    with pytest.raises(ValidationError):
        Wrapped[int].with_initial_data(value=3)(value="x")

    class Special(Ticket):
        extra: int

    model = Special.with_initial_data(title="Own", extra=1)
    assert (model().title, model().extra) == ("Own", 1)
    with pytest.raises(ValidationError):
        model(title="ab")
