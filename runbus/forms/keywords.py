"""Keywords of a form that JSON Schema has not, as the validator calls them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from pydantic_core import SchemaError, SchemaValidator, core_schema

from runbus.forms.catalogue import IS, MUST_BE, MUST_MATCH, NUMBER, OF_A_KEY, SAME_KEY
from runbus.forms.core_types import KEYWORD, NOT_FINITE, is_float, read_core
from runbus.forms.references import fields_of

if TYPE_CHECKING:
    from runbus.forms.parts import Schema


class CoreType:
    """`x-core`: a standard type, by pydantic's own core. What is no text or number passes."""

    def __init__(self, parent_schema: Schema, value: object, schema_path: object) -> None:
        self._description = value
        self._is_float = is_float(parent_schema)

    def validate(self, instance: object) -> None:
        """Raise `ValueError` for what is not of the type."""
        if isinstance(instance, (dict, list, bool)) or instance is None:
            return
        if self._is_float and instance not in NOT_FINITE:
            if isinstance(instance, str):
                raise ValueError(MUST_BE.format(what=NUMBER, is_=IS))
            return  # a number has the bounds of JSON Schema
        read_core(self._description, instance)


class KeyType:
    """`x-keys`: the type of a dict's keys; two that are written for one key are one too many."""

    def __init__(self, parent_schema: Schema, value: object, schema_path: object) -> None:
        self._description = value

    def validate(self, instance: object) -> None:
        """Raise `ValueError` for an object with a wrong key."""
        read: dict[object, str] = {}
        for key in fields_of(cast("Any", instance)):
            try:
                found = read_core(self._description, key)
            except ValueError as error:
                words = str(error).replace(IS, "")
                raise ValueError(OF_A_KEY.format(key=key, words=words)) from None
            if found in read:
                first, second = sorted((read[found], key), key=len)
                raise ValueError(SAME_KEY.format(first=first, second=second))
            read[found] = key


class RustPattern:
    """`x-pattern`: a pattern that only pydantic's own engine reads as pydantic does."""

    def __init__(self, parent_schema: Schema, value: object, schema_path: object) -> None:
        self._pattern = str(value)
        described = core_schema.str_schema(pattern=self._pattern, regex_engine="rust-regex")
        try:
            self._judge = SchemaValidator(described)
        except SchemaError:
            raise ValueError(f"{value!r} is no pattern") from None

    def validate(self, instance: object) -> None:
        """Raise `ValueError` for a text that does not match."""
        if isinstance(instance, str) and not self._judge.isinstance_python(instance):
            raise ValueError(MUST_MATCH.format(pattern=self._pattern, is_=IS))


KEYWORDS: dict[str, type[Any]] = {KEYWORD: CoreType, "x-keys": KeyType, "x-pattern": RustPattern}
