"""The parameters of a flow: bound like Python's, validated and coerced like pydantic's."""

from __future__ import annotations

import ast
import builtins
import inspect
import logging
import sys
from functools import cached_property, wraps
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, TypeAdapter, ValidationError, validate_call
from pydantic_core import ArgsKwargs, to_json

from runbus.protocol.literals import ReadAsWritten
from runbus.protocol.values import load_pydantic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import CodeType

    from runbus.protocol.json_value import JSONObject, JSONValue

load_pydantic()
_log = logging.getLogger("runbus")
_CONFIG = ConfigDict(arbitrary_types_allowed=True)
_STORED = ConfigDict(arbitrary_types_allowed=True, ser_json_bytes="base64", val_json_bytes="base64")
"""Stored are parameters as JSON, as `protocol.values` writes it."""
_UNMARKED = (None, bool, bytes, float, int, str)
Args = tuple[Any, ...]
"""What is passed by its place: values of the user's own types."""
Kwargs = dict[str, Any]
"""What is passed by its name."""
Arguments = tuple[Args, Kwargs]


class Parameters:
    """What a function takes."""

    def __init__(self, fn: Callable[..., object]) -> None:
        self._fn = fn
        self._signature = inspect.signature(fn)
        self._locals = _locals_around(fn)
        stated = map(inspect.get_annotations(fn).get, self._signature.parameters)
        if not all(_is_unmarked(each) for each in stated):
            _load_forms()  # not at a call: an interrupt may leave an import half done

    def validate(self, args: Args, kwargs: Kwargs) -> Arguments:
        """Return the arguments as the annotations say.

        Raises `TypeError` for arguments that the function does not take, as a call would, and
        pydantic's `ValidationError` for values that do not fit.
        """
        self._signature.bind(*args, **kwargs)
        return self._validated(*args, **kwargs)

    def validate_stored(self, parameters: Mapping[str, JSONValue]) -> Arguments:
        """Return the arguments that were stored as JSON; raises as `validate` does."""
        self._signature.bind(**parameters)
        defaults = self._stored_defaults
        given = {
            name: value
            for name, value in parameters.items()
            if to_json(value) != defaults.get(name)
        }
        try:
            return self._stored.validator.validate_json(to_json(given))
        except ValidationError as error:
            # A class that is no JSON type, such as `numbers.Number`, wants the object itself.
            kinds = {each["type"] for each in error.errors(include_url=False)}
            if "needs_python_object" not in kinds:
                raise
        return self._stored.validate_python(ArgsKwargs((), given))

    def named(self, args: Args, kwargs: Kwargs) -> Kwargs:
        """Return arguments by the names of their parameters, defaults included."""
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments

    @cached_property
    def _validated(self) -> Callable[..., Arguments]:
        collect = self._collector(list(self._signature.parameters.values()))
        return validate_call(config=_CONFIG)(collect)

    @cached_property
    def _stored(self) -> TypeAdapter[Arguments]:
        collect: Any = self._collector(list(self._signature.parameters.values()))
        for each in self._signature.parameters.values():
            if each.kind is not each.VAR_KEYWORD:  # of which `Unpack[…]` is none of its own
                annotations = collect.__annotations__
                annotations[each.name] = Annotated[annotations[each.name], ReadAsWritten()]
        return TypeAdapter(collect, config=_STORED)

    @cached_property
    def _stored_defaults(self) -> dict[str, bytes]:
        """The JSON of the function's defaults: what has it stands for the default itself."""
        # Late: a flow that is called directly has no need of it.
        from runbus.forms.defaults import defaults_of

        return {name: to_json(each) for name, each in defaults_of(self.schema).items()}

    @cached_property
    def schema(self) -> JSONObject:
        """The JSON Schema of the arguments by name; what has none is open (`{}`)."""
        from runbus.forms.secrets import without_secret_defaults  # late: only who serves needs it

        # Lists of surplus arguments have no names; the others are all passed by theirs.
        named = [
            each if each.kind is each.VAR_KEYWORD else each.replace(kind=each.KEYWORD_ONLY)
            for each in self._signature.parameters.values()
            if each.kind is not each.VAR_POSITIONAL
        ]
        return without_secret_defaults(self._written(named, by_alias=True))

    @cached_property
    def hidden_names(self) -> frozenset[str]:
        """What is marked as secret in the arguments as `named` returns them, by field names.

        All of them where no schema can be written.
        """
        parameters = self._signature.parameters
        given = map(inspect.get_annotations(self._fn).get, parameters)
        if all(any(self._resolved(each) is plain for plain in _UNMARKED) for each in given):
            return frozenset()  # at once: the call of such a flow is not to wait for the forms
        from runbus.forms.secrets import hidden_names  # late, too

        named = [
            each if _is_unpacked(each) else each.replace(kind=each.KEYWORD_ONLY)
            for each in parameters.values()
        ]
        try:
            return hidden_names(self._written(named, by_alias=False))
        except Exception:  # of the user's own types' code, say
            return frozenset(parameters)

    def _written(self, parameters: list[inspect.Parameter], *, by_alias: bool) -> JSONObject:
        from runbus.execution.lenient_schema import LenientSchema  # late: it loads the forms

        collector: Any = self._collector(parameters)
        adapter: TypeAdapter[object] = TypeAdapter(collector, config=_STORED)
        return adapter.json_schema(by_alias=by_alias, schema_generator=LenientSchema)

    def _collector(self, parameters: list[inspect.Parameter]) -> Callable[..., Arguments]:
        @wraps(self._fn)
        def collect(*args: object, **kwargs: object) -> Arguments:
            return args, kwargs

        annotations = inspect.get_annotations(self._fn)
        collect.__annotations__ = {
            each.name: self._resolved(annotations.get(each.name, Any)) for each in parameters
        }
        collect.__signature__ = self._signature.replace(  # pyright: ignore[reportAttributeAccessIssue]
            parameters=[
                each.replace(annotation=collect.__annotations__[each.name]) for each in parameters
            ]
        )
        return collect

    @cached_property
    def result_type(self) -> object:
        """What the function says that it returns; `Any` if it does not."""
        return self._resolved(inspect.get_annotations(self._fn).get("return", Any))

    def _resolved(self, annotation: object) -> object:
        # A text under `from __future__ import annotations`.
        if not isinstance(annotation, str):
            return annotation
        module = vars(sys.modules[self._fn.__module__])
        scope = {**module, **self._locals, **inspect.getclosurevars(self._fn).nonlocals}
        try:
            return eval(annotation, scope)  # noqa: S307  (the module's own source, not input)
        except NameError:  # its parameter is taken as it comes
            return Any


def _is_unmarked(stated: object) -> bool:
    return any(
        stated is plain or stated == getattr(plain, "__name__", "None") for plain in _UNMARKED
    )


def _load_forms() -> None:
    for name in ("runbus.execution.lenient_schema", "runbus.forms.secrets"):
        import_module(name)


def _locals_around(fn: Callable[..., object]) -> Kwargs:
    """Return what postponed annotations name that only the function around a flow has.

    A module's own is looked up at the first call: it may be defined below the flow.
    """
    texts = [each for each in inspect.get_annotations(fn).values() if isinstance(each, str)]
    code: CodeType | None = getattr(fn, "__code__", None)
    frame = inspect.currentframe() if texts and code is not None else None
    while frame is not None and code not in frame.f_code.co_consts:
        frame = frame.f_back
    if frame is None or code is None or frame.f_locals is frame.f_globals:
        return {}
    names = {name for text in texts for name in _names_in(text)}
    around = dict(frame.f_locals)
    found = {name: around[name] for name in names & around.keys()}
    known = {*found, *frame.f_globals, *vars(builtins), *code.co_freevars}
    if unknown := sorted(names - known):
        _log.warning("%s: not checked, as nothing has this name here: %s", fn.__name__, unknown)
    return found


def _names_in(annotation: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(annotation, mode="eval")):
        if isinstance(node, ast.Name):
            yield node.id


def _is_unpacked(parameter: inspect.Parameter) -> bool:
    return parameter.kind is parameter.VAR_KEYWORD and "Unpack[" in str(parameter.annotation)
