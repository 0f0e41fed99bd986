"""Types and the names of their streams.

A sender holds a value and a receiver holds an annotation, and both have to arrive at the same
stream. The class of a value is not always the type that the receiver names (a `Path` is a
`PosixPath` at run time, a `TypedDict` a `dict`), so both sides look the class up in one table.
An annotation may stand for several classes (`int | None`, `Sequence[int]`, a `Literal`); its
receiver reads one stream for each and validates every stream as its own part of the annotation.
"""

from __future__ import annotations

import os
from collections import abc, deque
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import cache, lru_cache
from ipaddress import IPv4Address, IPv6Address
from pathlib import PurePath
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    NewType,
    TypeVar,
    Union,
    get_args,
    get_origin,
)
from unicodedata import category
from uuid import UUID

import pydantic

from runbus.errors import InvalidKeyPrefix, UnnamedType

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# fmt: off
_NAMES: dict[type, str] = {
    **{cls: cls.__name__ for cls in (
        bool, int, float, complex, str, bytes, list, tuple, set, frozenset, dict, deque,
        datetime, date, time, timedelta, UUID, Decimal, Fraction,
    )},
    bytearray: "bytes",
    PurePath: "Path",
    os.PathLike: "Path",
}
"""The classes whose subclasses go by their name. A class that is not here goes by its own."""

_CONTAINERS: dict[type, tuple[Any, ...]] = {
    abc.Sequence: (list, tuple), abc.MutableSequence: (list,),
    abc.Set: (set, frozenset), abc.MutableSet: (set,),
    abc.Mapping: (dict,), abc.MutableMapping: (dict,),
}
"""Which classes the values of an abstract container have."""

# fmt: on

_NEVER_A_VALUES_CLASS = {"typing", "typing_extensions", "collections.abc", "numbers"}

_LONGEST_KEY_PREFIX = 255


def name_of_value(value: object) -> str:
    """Return the name of the stream that a value is sent on."""
    return _name_of_class(type(value))


def types_by_name(annotation: Any) -> dict[str, Any]:
    """Return the streams that a receiver reads: name → the type that its entries must have.

    Raises `UnnamedType` for what no value's class could be, such as `Any` or a type variable.
    """
    try:
        return _types_by_name(annotation)
    except RecursionError:  # an alias whose members are that alias: `type Loop = Loop | int`
        raise UnnamedType(annotation) from None


def _types_by_name(annotation: Any) -> dict[str, Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _types_of_annotated(*get_args(annotation))
    if origin is Union or origin is UnionType:
        return _merged([_types_by_name(member) for member in get_args(annotation)])
    if origin is Literal:
        return _types_of_literal(get_args(annotation))
    beneath = _beneath_alias(annotation, origin)
    if beneath is not annotation:
        return _types_by_name(beneath)
    return _types_of_class(annotation, origin or annotation)


def check_key_prefix(prefix: object) -> str:
    """Return a `key_prefix` that can name a stream; raise `InvalidKeyPrefix` for any other."""
    if not isinstance(prefix, str):
        raise InvalidKeyPrefix(prefix, f"it is a {type(prefix).__name__}, not a str")
    if not prefix.strip():
        raise InvalidKeyPrefix(prefix, "it is empty")
    if any(category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in prefix):
        raise InvalidKeyPrefix(prefix, "it has control characters, line breaks or lone surrogates")
    if len(prefix.encode()) > _LONGEST_KEY_PREFIX:
        raise InvalidKeyPrefix(prefix, f"it is longer than {_LONGEST_KEY_PREFIX} bytes of UTF-8")
    return str.__str__(prefix)  # a member of a str enum would print as its name


@lru_cache(maxsize=1024)
def _name_of_class(cls: type[Any]) -> str:
    for base in cls.__mro__:  # Box[int] is a class, and a Box; a class made of it is one too
        generic = vars(base).get("__pydantic_generic_metadata__", {})
        if generic.get("origin") is not None and base.__name__ == cls.__name__:
            return _name_in_table(generic["origin"])
    return _name_in_table(cls)


def _name_in_table(cls: type[Any]) -> str:
    if issubclass(cls, Enum) or hasattr(cls, "_fields"):  # a StrEnum or NamedTuple is not its base
        return cls.__name__
    for base in cls.__mro__:
        if "__get_pydantic_core_schema__" in vars(base):
            break  # pydantic knows it as a type of its own, not as the built-in that it extends
        if base in _NAMES:
            return _NAMES[base]
    return cls.__name__


def _types_of_annotated(inner: Any, *metadata: Any) -> dict[str, Any]:
    # The stream has told the members of a union apart, so nothing is left to discriminate.
    kept = [m for m in metadata if getattr(m, "discriminator", None) is None]
    # None has nothing to constrain: pydantic, too, applies the bounds of an Optional to the rest.
    return {
        name: Annotated[(type_, *kept)] if kept and type_ is not NoneType else type_
        for name, type_ in _types_by_name(inner).items()
    }


def _types_of_literal(values: tuple[Any, ...]) -> dict[str, Any]:
    alike: dict[str, list[Any]] = {}
    for value in _without_aliases(values):
        alike.setdefault(name_of_value(value), []).append(value)
    return {name: Literal[tuple(values)] for name, values in alike.items()}


def _without_aliases(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        if _is_alias(value):  # of another literal
            yield from _without_aliases(get_args(value.__value__))
        else:
            yield value


def _merged(members: list[dict[str, Any]]) -> dict[str, Any]:
    types: dict[str, Any] = {}
    for member in members:
        for name, type_ in member.items():
            types[name] = Union[types[name], type_] if name in types else type_  # noqa: UP007
    return types


def _beneath_alias(annotation: Any, origin: Any) -> Any:
    if annotation is None:
        return NoneType
    if isinstance(annotation, NewType):
        return annotation.__supertype__
    if annotation is pydantic.JsonValue:  # recursive: its parts only make sense inside it
        return annotation
    if _is_alias(origin):
        return _applied(origin, get_args(annotation))
    return annotation.__value__ if _is_alias(annotation) else annotation


def _is_alias(annotation: Any) -> bool:
    # By name, because `typing` and `typing_extensions` each have a class of their own for it.
    return type(annotation).__name__ == "TypeAliasType"


def _applied(alias: Any, args: tuple[Any, ...]) -> Any:
    """Return what a generic alias stands for, whose value has the parameters in its own order."""
    value, parameters = alias.__value__, alias.__type_params__
    by_parameter = dict(zip(parameters, args, strict=False))
    if isinstance(value, TypeVar):
        return by_parameter.get(value, value)
    named = _parameters_of(value)
    if not all(isinstance(each, TypeVar) for each in named):
        return value[args]
    return value[tuple(by_parameter.get(each, each) for each in named)] if named else value


def _parameters_of(generic: Any) -> tuple[Any, ...]:
    of_model = (
        vars(generic).get("__pydantic_generic_metadata__") if isinstance(generic, type) else None
    )
    return of_model["parameters"] if of_model else getattr(generic, "__parameters__", ())


def _types_of_class(annotation: Any, cls: Any) -> dict[str, Any]:
    if isinstance(cls, abc.Hashable) and cls in (stand_ins := _stand_ins()):
        return {_name_of_class(each): annotation for each in stand_ins[cls]}
    if not isinstance(cls, type) or cls in {object, type}:
        raise UnnamedType(annotation)
    if cls in _CONTAINERS:
        return {each.__name__: _filled(each, get_args(annotation)) for each in _CONTAINERS[cls]}
    if cls.__module__ in _NEVER_A_VALUES_CLASS:
        raise UnnamedType(annotation)
    return {_name_of_class(cls): annotation}


@cache
def _stand_ins() -> dict[Any, tuple[type, ...]]:
    """Return pydantic's types whose values have other classes. They validate themselves."""
    # At the first use: many programs never ask.
    # fmt: off
    return {
        pydantic.EmailStr: (str,),
        pydantic.AwareDatetime: (datetime,), pydantic.NaiveDatetime: (datetime,),
        pydantic.PastDatetime: (datetime,), pydantic.FutureDatetime: (datetime,),
        pydantic.PastDate: (date,), pydantic.FutureDate: (date,),
        pydantic.IPvAnyAddress: (IPv4Address, IPv6Address),
        pydantic.JsonValue: (dict, list, str, bool, int, float, NoneType),
    }
    # fmt: on


def _filled(container: Any, args: tuple[Any, ...]) -> Any:
    if not args:
        return container
    return container[(*args, ...) if issubclass(container, tuple) else args]
