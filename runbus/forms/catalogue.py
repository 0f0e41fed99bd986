"""The catalogue: what people are told of a value, and of one that does not fit, in English.

A sentence is as of something ("the age: it must be …"). `{is_}` stands for the value itself, left
out where it is a secret or long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

IS: Final = "{is_}"
AND_IS: Final = ", and is {}"

REQUIRED: Final = "it is required"
REQUIRED_ONE_OF: Final = "it is required, one of {options}"
UNKNOWN: Final = "there is no such field: the fields are {fields}"
UNKNOWN_ALONE: Final = "there is no such field"
UNKNOWN_PARAMETER: Final = "there is no such parameter: the parameters are {fields}"
UNKNOWN_PARAMETER_ALONE: Final = "there is no such parameter"
TWICE: Final = "{name} is there twice"
KEY_WANTED: Final = "it needs a key"
SAME_KEY: Final = "its keys {first} and {second} are the same"
NOT_FITTING: Final = "it does not fit the form" + IS
OF_A_KEY: Final = "its key {key} does not fit: {words}"
MORE: Final = "there are more problems"
TOO_LONG_FOR_PATTERNS: Final = "it is too long to be matched with the patterns of this form"
HALF_A_CHARACTER: Final = "it has half a character, which cannot be stored"
UNUSABLE: Final = "the form itself cannot be used: {flaw}"
TOO_MUCH: Final = "to check the parts of the answer takes too long"

MUST_BE: Final = "it must be {what}" + IS
MUST_MATCH: Final = "it must match {pattern}" + IS
MUST_BE_ONE_OF: Final = "it must be one of {options}" + IS
AT_LEAST: Final = "it must be at least {bound}" + IS
AT_MOST: Final = "it must be at most {bound}" + IS
MORE_THAN: Final = "it must be more than {bound}" + IS
LESS_THAN: Final = "it must be less than {bound}" + IS
MULTIPLE_OF: Final = "it must be a multiple of {bound}" + IS
COUNT_AT_LEAST: Final = "it must have at least {bound} {things}, and has {count}"
COUNT_AT_MOST: Final = "it must have at most {bound} {things}, and has {count}"
ALIKE: Final = "no two of its items may be alike"
NOTHING_HERE: Final = "nothing may be here"

JSON_WANTED: Final = "it is not JSON: {why}"
JSON_QUOTES: Final = 'it is not JSON: texts stand in double quotes, such as "yes"'
NUMBER_WANTED: Final = "it is not a number, such as 1.5"
WHOLE_NUMBER_WANTED: Final = "it is not a whole number, such as 3"
POINT_WANTED: Final = "it has a comma: write {}"
OR: Final = " or "
PAIR_WANTED: Final = "type name=value"
YES_OR_NO_WANTED: Final = "type y or n"
OPTION_WANTED: Final = "it is not one of {options}"
NUMBERED_OPTION_WANTED: Final = "type a number from 1 to {count}"
OR_AN_EMPTY_TEXT: Final = '; type "" for an empty text'
OBJECT_WANTED: Final = 'write an object, such as {"value": …}'
FIELDS_WANTED: Final = 'it must be an object with the fields of the form: {"field": value}'
QUOTES_WANTED: Final = "A text is written in quotes."

THINGS: Final = {
    "Length": ("character", "characters"),
    "Items": ("item", "items"),
    "Properties": ("entry", "entries"),
}

BYTES: Final = "bytes in base64"
NOUNS: Final = {
    "base64": BYTES,
    "base64url": BYTES,
    "date": "date",
    "date-time": "date and time",
    "time": "time of day",
    "duration": "duration",
    "email": "e-mail address",
    "uri": "URL",
    "uuid": "UUID",
    "password": "secret",
}
"""What a text of a format is called."""
NOUNS_OF_TYPES: Final = {
    "array": "list",
    "boolean": "yes or no",
    "integer": "whole number",
    "null": "null",
    "number": "number",
    "object": "fields",
    "string": "text",
}
ANY_JSON: Final = "JSON"
WITHOUT_ARTICLE: Final = {"yes or no", "fields", "null", BYTES, ANY_JSON}
COUNTED: Final = {
    **{noun: f"{noun}s" for noun in (*NOUNS.values(), "number", "text", "whole number")},
    BYTES: BYTES,
}
"""What a list is told to be of, and several of it."""
ONE_OF: Final = "one of {options}"
LIST_OF: Final = "list of {several}"
A_LIST: Final = "a list"
PAIRS: Final = "names with values"

SPELLINGS: Final = {
    "date": "YYYY-MM-DD",
    "date-time": "YYYY-MM-DDTHH:MM:SS+00:00",
    "time": "HH:MM:SS",
    "duration": "such as P1DT2H or PT30S",
    "password": "not shown",
}
"""How a text of a format is written."""
LIKE: Final = "like {pattern}"
OPTIONAL: Final = "optional"
BETWEEN: Final = "{least} to {most}"
LEAST: Final = "at least {}"
MOST: Final = "at most {}"
CHARACTERS: Final = (" character", " characters")
OF_THEM: Final = (" of them", " of them")
NO_TWO_ALIKE: Final = "no two alike"
MOMENTS: Final = {"past": "in the past", "future": "in the future"}
"""When a time is to be."""
LIMITS: Final = {
    "exclusiveMinimum": "more than {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
}

FORMATS: Final = {
    "base64": f"{BYTES}, such as aGVsbG8=",
    "base64url": f"{BYTES}, such as aGVsbG8=",
    "date": "a date, such as 2026-11-25",
    "date-time": "a date and time, such as 2026-11-25T19:00",
    "duration": "a duration, such as P1DT2H or PT30S",
    "email": "an e-mail address, such as ada@example.org",
    "ipv4": "an IPv4 address, such as 192.0.2.1",
    "ipv4interface": "an IPv4 address with a network, such as 192.0.2.1/24",
    "ipv4network": "an IPv4 network, such as 192.0.2.0/24",
    "ipv6": "an IPv6 address, such as 2001:db8::1",
    "ipv6interface": "an IPv6 address with a network, such as 2001:db8::1/64",
    "ipv6network": "an IPv6 network, such as 2001:db8::/32",
    "ipvanyaddress": "an IP address, such as 192.0.2.1",
    "ipvanyinterface": "an IP address with a network, such as 192.0.2.1/24",
    "ipvanynetwork": "an IP network, such as 192.0.2.0/24",
    "multi-host-uri": "a URL, such as scheme://host/path",
    "name-email": "an e-mail address, such as Ada <ada@example.org>",
    "time": "a time of day, such as 19:00",
    "uri": "a URL, such as https://example.org/",
    "uuid": "a UUID, such as 0f0e0d0c-0b0a-4908-8706-050403020100",
}
"""What a text of a format must be."""

NUMBER: Final = "a number, such as 1.5"
JSON_TEXT: Final = 'JSON, such as {"a": 1}'
CONTENT: Final = "its JSON does not fit: {why}"

_CORE_TYPES = {
    "bytes": "base64url",
    "date": "date",
    "datetime": "date-time",
    "multi-host-url": "multi-host-uri",
    "time": "time",
    "timedelta": "duration",
    "url": "uri",
    "uuid": "uuid",
}
_CORE_NAMES = {
    "bool": "yes or no",
    "decimal": "a number, such as 12.50",
    "float": NUMBER,
    "int": "a whole number, such as 3",
    "json": JSON_TEXT,
}
_CORE_ERRORS = {
    "bytes_too_long": "it must have at most {max_length} bytes",
    "bytes_too_short": "it must have at least {min_length} bytes",
    "date_from_datetime_inexact": "it must be a date without a time" + IS,
    **{
        f"{kind}_{when}": f"it must be {words}{IS}"
        for kind in ("date", "datetime")
        for when, words in MOMENTS.items()
    },
    "decimal_max_digits": "it must have at most {max_digits} digits" + IS,
    "decimal_max_places": "it must have at most {decimal_places} digits after the point" + IS,
    "decimal_whole_digits": "it must have at most {whole_digits} digits before the point" + IS,
    "finite_number": "it must be a finite number" + IS,
    "greater_than": MORE_THAN.replace("bound", "gt"),
    "greater_than_equal": AT_LEAST.replace("bound", "ge"),
    "less_than": LESS_THAN.replace("bound", "lt"),
    "less_than_equal": AT_MOST.replace("bound", "le"),
    "multiple_of": MULTIPLE_OF.replace("bound", "multiple_of"),
    "timezone_aware": "it must say its time zone, as in 2026-11-25T19:00+01:00, or Z for UTC" + IS,
    "timezone_naive": "it must have no time zone" + IS,
    "timezone_offset": "it must have another time zone" + IS,
    "url_scheme": "it must be a URL that begins with {expected_schemes}" + IS,
    "url_too_long": "it must have at most {max_length} characters",
    "uuid_version": "it must be a UUID of version {expected_version}" + IS,
}
"""By the types of pydantic's errors; what is not here is not of its type at all."""


def core_words(description: Mapping[str, Any], error: Mapping[str, Any]) -> str:
    """Return what is wrong with a value of a described type, of which pydantic found an error."""
    kind, found = description["type"], error["type"]
    if found in _CORE_ERRORS:
        # The bounds as they stand in the form: pydantic's own may have lost their last zeros.
        return _CORE_ERRORS[found].format(**{**error.get("ctx", {}), **description, "is_": IS})
    what = _CORE_NAMES.get(kind) or FORMATS[_CORE_TYPES[kind]]
    return MUST_BE.format(what=what, is_=IS)


_MODEL_TYPES = {
    "bool": NOUNS_OF_TYPES["boolean"],
    "dataclass": NOUNS_OF_TYPES["object"],
    "date": FORMATS["date"],
    "datetime": FORMATS["date-time"],
    "decimal": _CORE_NAMES["decimal"],
    "dict": NOUNS_OF_TYPES["object"],
    "float": _CORE_NAMES["float"],
    "frozen_set": A_LIST,
    "int": _CORE_NAMES["int"],
    "list": A_LIST,
    "model": NOUNS_OF_TYPES["object"],
    "set": A_LIST,
    "string": "a text",
    "time": FORMATS["time"],
    "time_delta": FORMATS["duration"],
    "tuple": A_LIST,
    "url": FORMATS["uri"],
    "uuid": FORMATS["uuid"],
}
_MODEL_ERRORS = {
    **_CORE_ERRORS,
    "enum": MUST_BE.replace("what", "expected"),
    "extra_forbidden": UNKNOWN_ALONE,
    "int_from_float": MUST_BE.format(what=_CORE_NAMES["int"], is_=IS),
    "literal_error": MUST_BE.replace("what", "expected"),
    "missing": REQUIRED,
    "none_required": MUST_BE.format(what=NOUNS_OF_TYPES["null"], is_=IS),
    "string_pattern_mismatch": MUST_MATCH,
    "string_too_long": "it must have at most {max_length} characters",
    "string_too_short": "it must have at least {min_length} characters",
    "too_long": "it must have at most {max_length} items",
    "too_short": "it must have at least {min_length} items",
    "union_tag_invalid": NOT_FITTING,
    "union_tag_not_found": NOT_FITTING,
}
"""By the types of pydantic's errors, as they are of a model."""


def model_words(error: Mapping[str, Any]) -> str:
    """Return what pydantic itself found wrong, in these words where there are any for it."""
    kind = error["type"].removesuffix("_type").removesuffix("_parsing")
    what = _MODEL_TYPES.get(kind) if kind != error["type"] else None
    words = MUST_BE.format(what=what, is_=IS) if what else _MODEL_ERRORS.get(error["type"])
    return words.format(**{**error.get("ctx", {}), "is_": ""}) if words else error["msg"]


IN_A_BROWSER: Final = {
    name: words.replace(IS, "")
    for name, words in {
        "atLeast": AT_LEAST,
        "atMost": AT_MOST,
        "moreThan": MORE_THAN,
        "lessThan": LESS_THAN,
        "mustMatch": MUST_MATCH,
        "required": REQUIRED,
        "shortest": COUNT_AT_LEAST,
        "longest": COUNT_AT_MOST,
        "character": THINGS["Length"][0],
        "characters": THINGS["Length"][1],
        "json": JSON_WANTED,
    }.items()
}
"""What the page's script says of a field before it is sent."""
