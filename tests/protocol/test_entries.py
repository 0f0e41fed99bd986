"""Entries and keys, without a server."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbus import flow_run_id_for
from runbus.errors import InvalidArgument, InvalidRunId
from runbus.protocol.entries import check_text, new_key, read_entry
from runbus.protocol.ids import parse_run_id
from runbus.protocol.keys import Keys, tag

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


def on_the_wire(fields: list[str | bytes]) -> list[bytes]:
    """The fields as a server returns them."""
    return [field.encode() if isinstance(field, str) else field for field in fields]


@given(key=TEXT, sender=st.none() | TEXT, value=st.binary())
def test_an_entry_is_read_as_it_was_written(key: str, sender: str | None, value: bytes) -> None:
    """Key, sender and value come back, whatever they are."""
    named = [("key", key), ("sender", sender), ("value", value)]
    written = [part for field in named if field[1] is not None for part in field]
    entry = read_entry(b"1-0", on_the_wire(written))
    assert (entry.id, entry.key, entry.sender, entry.value) == ("1-0", key, sender, value)


@given(fields=st.dictionaries(st.binary(), st.binary()))
def test_a_foreign_entry_is_read_for_what_it_has(fields: dict[bytes, bytes]) -> None:
    """Entries of any form are read; the entry id stands in for a missing key."""
    flat = [part for pair in fields.items() for part in pair]
    entry = read_entry(b"5-1", flat)
    assert entry.value == fields.get(b"value")
    assert entry.key == (fields.get(b"key", b"").decode(errors="replace") or "5-1")


@pytest.mark.parametrize("order", [["sender", "key", "value"], ["value", "key", "sender"]])
def test_fields_may_come_in_any_order(order: list[str]) -> None:
    """Someone else's tool may write our fields in its own order."""
    flat = [part for name in order for part in (name.encode(), f"the {name}".encode())]
    entry = read_entry(b"1-0", flat)
    assert (entry.key, entry.sender, entry.value) == ("the key", "the sender", b"the value")


@given(st.text("0123456789abcdef", min_size=32, max_size=32))
def test_a_new_key_ends_with_a_random_uuid(digits: str) -> None:
    """The text is a version-4 UUID's, in the canonical spelling."""
    name, _, text = new_key("my-type", digits).partition("my-type-")
    assert name == ""
    assert str(UUID(text)) == text
    assert UUID(text).version == 4
    assert UUID(text).variant == uuid4().variant


@pytest.mark.parametrize("text", ["", "\ud800", "x" * 1025, 5, None, b"bytes"])
def test_a_text_that_cannot_be_stored(text: object) -> None:
    """A key or sender that cannot be stored is refused, and the error names the argument."""
    with pytest.raises(InvalidArgument, match="sender"):
        check_text("sender", text)


@given(st.uuids())
def test_a_run_id_in_any_spelling(run_id: UUID) -> None:
    """Upper case, braces, a URN or no dashes: the id is the same."""
    text = str(run_id)
    for spelling in (run_id, text, text.upper(), run_id.hex, f"{{{text}}}", run_id.urn):
        assert parse_run_id(spelling) == run_id


@pytest.mark.parametrize("value", ["", "run 7", "3fa85f64-5717-4562-b3fc", 7, None, b"x"])
def test_what_is_no_run_id(value: object) -> None:
    """Anything else is an error that says how to make an id."""
    with pytest.raises(InvalidRunId, match="flow_run_id_for"):
        parse_run_id(value)  # pyright: ignore[reportArgumentType]


def test_ids_for_other_engines() -> None:
    """The same engine and text give the same id, another engine or text another."""
    ids = {flow_run_id_for(engine, text) for engine in "ab" for text in "xy" for _ in range(2)}
    assert len(ids) == 4
    with pytest.raises(InvalidRunId):
        flow_run_id_for("airflow", "")


@given(run_id=st.uuids(), name=TEXT)
def test_all_keys_of_a_run_share_a_slot(run_id: UUID, name: str) -> None:
    """The first braces of each key hold the run's tag, whatever the stream's name is."""
    keys = Keys("runbus")
    for key in (
        keys.run(run_id),
        keys.input(run_id, name),
        keys.streams(run_id),
        keys.retried(run_id),
        keys.here(tag(run_id)),
    ):
        assert key[key.index("{") + 1 : key.index("}")] == run_id.hex[-2:] == tag(run_id)


@given(st.tuples(TEXT, TEXT))
def test_names_do_not_mix(names: tuple[str, str]) -> None:
    """Streams of different names have different keys."""
    keys, run_id = Keys("runbus"), uuid4()
    same = keys.input(run_id, names[0]) == keys.input(run_id, names[1])
    assert same == (names[0] == names[1])
