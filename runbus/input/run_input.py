"""Typed inputs: the model, and the verbs that send and receive them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from types import new_class
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Generic,
    Literal,
    Self,
    TypedDict,
    TypeVar,
    Unpack,
    cast,
    overload,
)
from weakref import WeakKeyDictionary

from pydantic import BaseModel, ConfigDict, RootModel
from pydantic_core import from_json, to_json

from runbus.errors import (
    InvalidArgument,
    InvalidRunId,
    NobodyToAnswer,
    UsageError,
)
from runbus.execution.current_run import run_id_or_current
from runbus.forms.defaults import without_defaults
from runbus.forms.form_schema import FormSchema
from runbus.forms.secrets import without_secret_defaults
from runbus.input.exact_numbers import exact_decoder, exactly_for
from runbus.input.form import Form, Keyset, with_defaults
from runbus.input.inbox import Inbox, Patience
from runbus.input.send import send_input, send_response
from runbus.protocol.ids import parse_run_id
from runbus.protocol.literals import with_literals_read_as_written
from runbus.protocol.types import check_key_prefix, types_by_name
from runbus.protocol.values import encode, json_schema, load_pydantic

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping
    from datetime import datetime
    from uuid import UUID

    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

    from runbus.protocol.durability import Durability
    from runbus.protocol.entries import Entry
    from runbus.protocol.json_value import JSONObject
    from runbus.protocol.records import Pause
    from runbus.store.sending.receipt import Sent

    Decoder = Callable[[bytes, Entry, UUID], Any]

load_pydantic()
# Among the model's private values, so that a copy has it too. Not a `PrivateAttr`, whose set-up
# takes longer than reading a small model.
_RECEIVED = "_received"

_RESERVED = {
    *("metadata", "respond", "send_to", "receive"),
    *("encode", "decode", "save", "load", "with_initial_data"),
}

_schemas: WeakKeyDictionary[type[BaseModel], JSONObject] = WeakKeyDictionary()
"""The JSON Schemas of models: to write one takes longer than to read an answer."""

T = TypeVar("T")
R = TypeVar("R", bound="RunInput")


@dataclass(frozen=True, kw_only=True, slots=True)
class RunInputMetadata:
    """Where an input comes from."""

    key: str
    """The input's key, one of its kind in the run."""
    sender: str | None
    """The run id of the sender, or the text that it passed; None if there is nobody to answer."""
    receiver: UUID
    """The run that received it."""


class ReceiveOptions(TypedDict, total=False):
    """The options of `receive_input`, by which it is typed in its several forms."""

    timeout: float | None
    poll_interval: float
    raise_timeout_error: bool
    exclude_keys: Iterable[str] | None
    key_prefix: str | None
    flow_run_id: UUID | str | None
    deadline: datetime | None


class RunInput(BaseModel):
    """The base of models that runs send to each other.

    A subclass may override `encode` and `decode` to store its values in a way of its own, for
    example encrypted, and `save` and `load` to ask in a pause for something else than itself.
    """

    model_config = ConfigDict(
        extra="forbid",
        ser_json_bytes="base64",
        val_json_bytes="base64",
        ser_json_inf_nan="strings",
    )
    __runbus_input__: ClassVar[str] = "model"  # how `send_input` knows it
    _description: ClassVar[str | None] = None

    if TYPE_CHECKING:  # `await pause_flow_run(Greeting)` is a Greeting too

        def __await__(self) -> Generator[object, None, Self]: ...

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Let the model read the literals that it writes."""
        bytes_mode = cls.model_config.get("ser_json_bytes", "utf8")
        return with_literals_read_as_written(handler(source), handler, bytes_mode=bytes_mode)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse fields that would hide what every input has. Raises `UsageError`."""
        super().__pydantic_init_subclass__(**kwargs)
        if hidden := sorted(_RESERVED & cls.model_fields.keys()):
            raise UsageError(
                f"{cls.__name__} has a field {', '.join(hidden)}, and every input has something "
                "else under that name: rename the field; an alias keeps its name outside."
            )

    @property
    def metadata(self) -> RunInputMetadata:
        """Where this input comes from. Raises `NobodyToAnswer` if it was not received."""
        received = (self.__pydantic_private__ or {}).get(_RECEIVED)
        if received is None:
            raise NobodyToAnswer("this input was made here and not received, so nobody sent it.")
        key, sender, receiver = received
        return RunInputMetadata(key=key, sender=sender, receiver=receiver)

    @classmethod
    def with_initial_data(cls, description: str | None = None, **field_values: Any) -> type[Self]:
        """Return this model with other defaults, and Markdown to show above its form.

        All else of a field stays as it is: constraints, title, description, annotation.
        Raises `UsageError` for a field that the model does not have.
        """
        model = with_defaults(cls, field_values)
        model._description = description if description is not None else cls._description
        return model

    def encode(self) -> bytes:
        """Return how this value is stored: its JSON. Raises `NotSerializable`."""
        return encode(self)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a value that was stored. Raises pydantic's `ValidationError`."""
        exact = exactly_for(cls)(data)
        return cls.__pydantic_validator__.validate_json(exact, by_alias=True, by_name=True)

    @classmethod
    async def save(cls, keyset: Keyset, flow_run_id: UUID | None = None) -> Form:
        """Return the form that a pause for this model stores.

        An override may return another form, and keep what it needs elsewhere under the names in
        `keyset`. Other than in Prefect, it returns what is to be stored and does not store it: the
        pause does, in the step that pauses the run, so that no paused run is without its form. It
        is called each time that the flow meets the pause, in a replay too. For a sync flow it is
        awaited in the flow's thread, on an event loop that is there for this one call.
        """
        return own_form(cls)

    @classmethod
    async def load(cls, keyset: Keyset, flow_run_id: UUID | None = None) -> Self:
        """Read the answer of a pause; its `metadata.sender` is who answered, as they said.

        An override may read another model, `await Other.load(keyset, flow_run_id)`, and make this
        one of it. Raises `NotPaused` before there is an answer; of pydantic's `ValidationError` the
        pause makes a refused answer. For a sync flow it is awaited as `save` is.
        """
        run_id = run_id_or_current(flow_run_id, "load")
        return own_answer(cls, keyset, run_id, await keyset.read_answered(run_id))

    def respond(
        self,
        value: object,
        sender: UUID | str | None = None,
        key_prefix: str | None = None,
        durability: Durability = "memory",
    ) -> Sent:
        """Send a value to the run that sent this input; in the receiver's name by default.

        Where that run has ended, nothing is raised: a line is logged, and the receipt is `refused`.

        Raises `NobodyToAnswer` when the sender is not a run.
        """
        metadata = self.metadata
        if metadata.sender is None:
            raise NobodyToAnswer(
                f"the input {metadata.key!r} does not say who sent it: "
                "send inside a run (`bound_run`), or pass sender=…."
            )
        try:
            sent_by = parse_run_id(metadata.sender)
        except InvalidRunId:
            raise NobodyToAnswer(
                f"the input {metadata.key!r} was sent by {metadata.sender!r}, which is no run."
            ) from None
        sender = metadata.receiver if sender is None else sender
        return send_response(value, sent_by, sender, key_prefix, durability)

    def send_to(
        self,
        flow_run_id: UUID | str,
        sender: UUID | str | None = None,
        key_prefix: str | None = None,
        key: str | None = None,
        durability: Durability = "memory",
    ) -> Sent:
        """Send this input to a run. See `send_input`."""
        return send_input(self, flow_run_id, sender, key_prefix, key, durability)

    @classmethod
    def receive(cls, **options: Unpack[ReceiveOptions]) -> Inbox[Self]:
        """Receive inputs of this type. The options are those of `receive_input`."""
        return receive_input(cls, **options)


def own_form(model: type[RunInput]) -> Form:
    """Return the form of a model that has no `save` of its own."""
    description = model._description  # pyright: ignore[reportPrivateUsage]
    return Form(schema=_own_schema(model), description=description or "")


def _own_schema(model: type[RunInput]) -> JSONObject:
    if model not in _schemas:
        _schemas[model] = without_secret_defaults(json_schema(model, FormSchema))
    return _schemas[model]


def own_answer(model: type[R], keyset: Keyset, run_id: UUID, pause: Pause) -> R:
    """Return the answer for a model that has no `load` of its own."""
    received = (keyset["response"], pause.by, run_id)
    data = pause.value or b""
    if inherits(model, "decode"):
        data = _beyond_defaults(model, data)
    return _as_received(model.decode(data), received)


def _beyond_defaults(model: type[RunInput], data: bytes) -> bytes:
    """Return an answer without what has the model's own defaults: those are not read as JSON."""
    try:
        answer = from_json(data)
    except ValueError:
        return data
    given = without_defaults(_own_schema(model), answer)
    return data if given == answer else to_json(given)


def form_of(model: type[RunInput], key: str, run_id: UUID) -> Form | Awaitable[Form]:
    """Return the form that a pause for a model stores; to be awaited, where `save` is its own."""
    return own_form(model) if inherits(model, "save") else model.save(Keyset(key), run_id)


def answer_of(model: type[R], run_id: UUID, pause: Pause) -> R | Awaitable[R]:
    """Return the answer of a pause for a model; to be awaited, where `load` is its own."""
    keyset = Keyset(pause.key, run_id, pause)
    if inherits(model, "load"):
        return own_answer(model, keyset, run_id, pause)
    return model.load(keyset, run_id)


def inherits(model: type[RunInput], method: str) -> bool:
    """Whether a model has no method of its own under this name."""
    return getattr(getattr(model, method), "__func__", None) is vars(RunInput)[method].__func__


class AutomaticRunInput(RunInput, Generic[T]):
    """What a value of a type that is no model is received as, `with_metadata`."""

    __runbus_input__: ClassVar[str] = "value"

    value: T


@overload
def receive_input(  # pyright: ignore[reportOverlappingOverload]  (a RunInput comes as itself)
    input_type: type[R], *, with_metadata: Literal[True], **options: Unpack[ReceiveOptions]
) -> Inbox[R]: ...
@overload
def receive_input(
    input_type: type[T], *, with_metadata: Literal[True], **options: Unpack[ReceiveOptions]
) -> Inbox[AutomaticRunInput[T]]: ...
@overload
def receive_input(
    input_type: type[T],
    timeout: float | None = ...,
    poll_interval: float = ...,
    raise_timeout_error: bool = ...,
    exclude_keys: Iterable[str] | None = ...,
    key_prefix: str | None = ...,
    flow_run_id: UUID | str | None = ...,
    with_metadata: bool = ...,
    deadline: datetime | None = ...,
) -> Inbox[T]: ...
@overload
def receive_input(
    input_type: object,
    timeout: float | None = ...,
    poll_interval: float = ...,
    raise_timeout_error: bool = ...,
    exclude_keys: Iterable[str] | None = ...,
    key_prefix: str | None = ...,
    flow_run_id: UUID | str | None = ...,
    with_metadata: bool = ...,
    deadline: datetime | None = ...,
) -> Inbox[Any]: ...
def receive_input(
    input_type: object,
    timeout: float | None = 3600,
    poll_interval: float = 10,
    raise_timeout_error: bool = True,
    exclude_keys: Iterable[str] | None = None,
    key_prefix: str | None = None,
    flow_run_id: UUID | str | None = None,
    with_metadata: bool = False,
    deadline: datetime | None = None,
) -> Inbox[Any]:
    """Receive the inputs of one type, from the first that the run ever got.

    `timeout` is the longest wait, in seconds, for the next input: None waits for ever, 0 takes
    what is there. When it runs out, `ReceiveTimeout` (a `TimeoutError`) is raised, or iteration
    just ends without `raise_timeout_error`. `poll_interval` is the longest time, in seconds, that
    a connection which died silently goes unnoticed. `deadline`, an aware `datetime`, ends it all:
    what came until then is handed out, and nothing is waited for any more. Inputs whose key is in
    `exclude_keys` are passed over. `key_prefix` names the stream, instead of the type. The run is
    the current one by default.

    A model comes as a `RunInput`, whose `respond` answers. Any other type comes as its bare
    value, or `with_metadata` as an `AutomaticRunInput` that holds it.

    Raises `UsageError`, at the call.
    """
    run_id = run_id_or_current(flow_run_id, "receive_input")
    if isinstance(input_type, (str, bytes, int, float, BaseModel)):
        raise InvalidArgument("input_type", input_type, "it is a value: pass a type")
    name = None if key_prefix is None else check_key_prefix(key_prefix)
    # A class is itself. Of other types two may be equal that are not read alike (`A | B`, `B | A`).
    decoders_of = _decoders_of_class if isinstance(input_type, type) else _decoders
    return Inbox(
        flow_run_id=run_id,
        decoders=decoders_of(input_type, name, with_metadata),
        patience=Patience(timeout=timeout, poll_interval=poll_interval, deadline=deadline),
        raise_timeout_error=raise_timeout_error,
        exclude_keys=exclude_keys,
    )


def _decoders(input_type: object, name: str | None, with_metadata: bool) -> Mapping[str, Decoder]:
    by_name = types_by_name(input_type) if name is None else {name: input_type}
    return {each: _decoder_of(type_, with_metadata) for each, type_ in by_name.items()}


# One for all of a class: tens of thousands may wait.
_decoders_of_class = lru_cache(maxsize=1024)(_decoders)


def _decoder_of(input_type: Any, with_metadata: bool) -> Decoder:
    if isinstance(input_type, type) and issubclass(input_type, BaseModel):
        decode = _model_decoder(run_input_subclass_from_type(input_type))
    elif with_metadata:
        decode = _automatic(exact_decoder(input_type))
    else:
        bare = exact_decoder(input_type)
        return lambda data, _, __: bare(data)

    def decode_with_metadata(data: bytes, entry: Entry, receiver: UUID) -> RunInput:
        return _as_received(decode(data), (entry.key, entry.sender, receiver))

    return decode_with_metadata


def _model_decoder(model: type[R]) -> Callable[[bytes], R]:
    return exact_decoder(model) if inherits(model, "decode") else model.decode


def _as_received(run_input: R, received: tuple[str, str | None, UUID]) -> R:
    private = run_input.__pydantic_private__
    if private is None:
        object.__setattr__(run_input, "__pydantic_private__", {_RECEIVED: received})
    else:
        private[_RECEIVED] = received
    return run_input


def _automatic(decode: Callable[[bytes], Any]) -> Callable[[bytes], AutomaticRunInput[Any]]:
    model = cast("type[AutomaticRunInput[Any]]", AutomaticRunInput)
    return lambda data: model.model_construct(value=decode(data))


def _unpickle(model: type[BaseModel], state: dict[Any, Any]) -> RunInput:
    upgraded = run_input_subclass_from_type(model)
    run_input = upgraded.__new__(upgraded)
    run_input.__setstate__(state)
    return run_input


@lru_cache(maxsize=1024)
def run_input_subclass_from_type(model: type[BaseModel]) -> type[RunInput]:
    """Return the model itself if it is a `RunInput`, else a class that is both.

    Raises `UsageError` if the model has a field that a `RunInput` needs the name of.
    """
    if issubclass(model, RunInput):
        return model
    # The sender wrote the value by the model's own config, so it is read by that.
    defaults = ConfigDict(ser_json_bytes="utf8", val_json_bytes="utf8", ser_json_inf_nan="null")

    def reduce(self: BaseModel) -> tuple[Any, ...]:  # the class has no importable name
        return _unpickle, (model, self.__getstate__())

    if RootModel in model.__mro__:
        defaults["extra"] = None  # it has no fields that there could be more of
    body: dict[str, Any] = {
        "__module__": model.__module__,
        "__doc__": model.__doc__,
        "__reduce__": reduce,
        "model_config": {**defaults, **model.model_config},
    }
    return new_class(model.__name__, (RunInput, model), exec_body=lambda new: new.update(body))
