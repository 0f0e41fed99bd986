"""The JSON Schema of a form: pydantic's, with what the check needs and JSON Schema cannot say.

`x-core` describes a standard type (`core_types`), `x-keys` the keys of a dict, `x-regex` the engine
of a pattern, `x-names` by which other names the fields of a model are known, `x-own` stands where
only the user's code can judge, and `x-form` says that all this was looked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import to_json, to_jsonable_python

from runbus.forms.core_types import KEYWORD, MARK, OWN, description_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Written = dict[str, Any]


class FormSchema(GenerateJsonSchema):
    """Writes the JSON Schema of a type for a form."""

    def generate(self, schema: Any, mode: Any = "validation") -> Written:
        """Write a type's schema."""
        return {**super().generate(schema, mode), MARK: 1}

    def bytes_schema(self, schema: Any) -> Written:
        """Write bytes, whose bounds are of the bytes and not of their text."""
        mode = self._config.val_json_bytes
        written = _described(super().bytes_schema, schema, "base64" if mode == "base64" else "utf8")
        return {name: written[name] for name in written if name not in {"minLength", "maxLength"}}

    def date_schema(self, schema: Any) -> Written:
        """Write a date."""
        return _described(super().date_schema, schema)

    def datetime_schema(self, schema: Any) -> Written:
        """Write a date with a time."""
        return _described(super().datetime_schema, schema)

    def decimal_schema(self, schema: Any) -> Written:
        """Write a `Decimal`: a number, or a text that keeps its digits."""
        return _described(super().decimal_schema, schema)

    def dict_schema(self, schema: Any) -> Written:
        """Write a dict, with the type of its keys."""
        written = super().dict_schema(schema)
        keys = description_of(schema.get("keys_schema", {}))
        return written if keys is None else {**written, "x-keys": keys}

    def encode_default(self, dft: Any) -> Any:
        """Write a default; a set's in one order, so that each process writes the same form."""
        written = super().encode_default(dft)
        is_set = isinstance(dft, (set, frozenset))
        return sorted(written, key=to_json) if is_set else written

    def float_schema(self, schema: Any) -> Written:
        """Write a float; what is not finite is a text in JSON."""
        written = super().float_schema(schema)
        is_strict = schema.get("strict", self._config.strict)  # which takes no text at all
        is_finite = is_strict or not schema.get("allow_inf_nan", self._config.allow_inf_nan)
        return written if is_finite else {**written, KEYWORD: description_of(schema)}

    def function_before_schema(self, schema: Any) -> Written:
        """Write what a function of the user's own makes the value of."""
        return _unless_own(schema, super().function_before_schema(schema))

    def function_wrap_schema(self, schema: Any) -> Written:
        """Write what a function of the user's own is wrapped around."""
        return _unless_own(schema, super().function_wrap_schema(schema))

    def json_or_python_schema(self, schema: Any) -> Written:
        """Write a type with its own way for JSON; nobody is shown what is in a `Secret`.

        Of `SecretStr` and `SecretBytes` pydantic says so itself.
        """
        written = super().json_or_python_schema(schema)
        function = schema.get("serialization", {}).get("function")
        is_secret = getattr(function, "__name__", "") == "_serialize_secret"
        return {**written, "writeOnly": True} if is_secret else written

    def json_schema(self, schema: Any) -> Written:
        """Write a text that is JSON."""
        return _described(super().json_schema, schema)

    def literal_schema(self, schema: Any) -> Written:
        """Write a literal, its bytes as JSON has them."""
        mode = self._config.val_json_bytes
        written: Any = {**schema, "expected": [_as_text(each, mode) for each in schema["expected"]]}
        return super().literal_schema(written)

    def model_fields_schema(self, schema: Any) -> Written:
        """Write the fields of a model, which may be given by their own names too."""
        given = {name: field.get("validation_alias") for name, field in schema["fields"].items()}
        names = {alias: name for name, alias in given.items() if isinstance(alias, str)}
        written = super().model_fields_schema(schema)
        return {**written, "x-names": names} if names else written

    def multi_host_url_schema(self, schema: Any) -> Written:
        """Write a URL of several hosts."""
        return _described(super().multi_host_url_schema, schema)

    def str_schema(self, schema: Any) -> Written:
        """Write a text, with the engine of its pattern."""
        written = super().str_schema(schema)
        engine = schema.get("regex_engine") or self._config.regex_engine
        is_other = "pattern" in written and engine == "python-re"
        return {**written, "x-regex": engine} if is_other else written

    def tagged_union_schema(self, schema: Any) -> Written:
        """Write kinds that a tag tells apart; where a function does, one may look like another."""
        written = super().tagged_union_schema(schema)
        if "discriminator" not in written and "oneOf" in written:
            written["anyOf"] = written.pop("oneOf")
        return written

    def time_schema(self, schema: Any) -> Written:
        """Write a time of day."""
        return _described(super().time_schema, schema)

    def timedelta_schema(self, schema: Any) -> Written:
        """Write a duration."""
        return _described(super().timedelta_schema, schema)

    def url_schema(self, schema: Any) -> Written:
        """Write a URL."""
        return _described(super().url_schema, schema)

    def uuid_schema(self, schema: Any) -> Written:
        """Write a UUID."""
        return _described(super().uuid_schema, schema)


def _unless_own(core: Mapping[str, Any], written: Written) -> Written:
    """Mark what only the user's own code can judge: a function that reads values its own way.

    Not a whole model, of which such a function mostly puts some field right.
    """
    module = getattr(core["function"]["function"], "__module__", None) or ""
    is_known = module.startswith("pydantic") or "json_schema_input_schema" in core
    is_model = "$ref" in written or written.get("type") == "object"
    return written if is_known or is_model else {**written, OWN: 1}


def _as_text(value: Any, bytes_mode: Any) -> Any:
    is_text = isinstance(value, bytes)
    return to_jsonable_python(value, bytes_mode=bytes_mode) if is_text else value


def _described(
    write: Callable[[Any], Written], schema: Mapping[str, Any], bytes_mode: str = "utf8"
) -> Written:
    return {**write(schema), KEYWORD: description_of(schema, bytes_mode)}
