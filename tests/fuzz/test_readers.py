"""Whatever stands in a hash or on a stream, it is read, passed over, or a documented error."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from fuzz import foreign
from runbus.forms.answers import schema_error, validate_answer, validation_errors
from runbus.forms.defaults import with_defaults
from runbus.forms.fingerprint import fingerprint
from runbus.protocol.deployment_info import read_deployment, read_worker
from runbus.protocol.entries import Entry, fields_by_name, read_entry, time_of
from runbus.protocol.event import read_event
from runbus.protocol.fields import read_fields
from runbus.protocol.ids import read_run_ids
from runbus.protocol.log_line import read_log_line
from runbus.protocol.records import FlowRun, read_flow_run, read_pause, read_state_change
from runbus.protocol.stored_input import read_stored_input
from runbus.protocol.values import decoder
from runbus.store.admin.report import (
    judge_eviction,
    judge_memory,
    judge_persistence,
    judge_server,
    read_info,
)

RUN_ID = UUID("3fa85f64-5717-4562-b3fc-2c963f66afb7")
some = settings(max_examples=150, deadline=None)


class Order(BaseModel):
    item: str
    count: int = 1


DECODERS = [decoder(each) for each in (int, str, bytes, bool, float, list[int], dict, Order)]


@some
@given(foreign.entry_ids, foreign.entry_fields())
def test_entries(entry_id: bytes, fields: list[bytes]) -> None:
    """An entry has an id and a key, and a time that a `datetime` can be."""
    entry = read_entry(entry_id, fields)
    assert isinstance(entry, Entry)
    assert entry.id == entry_id.decode()
    assert entry.key
    assert isinstance(time_of(entry_id), datetime)
    assert read_stored_input("str", entry_id, fields).key == entry.key
    assert isinstance(read_log_line(entry_id, fields).message, str)
    assert all(isinstance(each, str) for each in fields_by_name(fields).values())
    event = read_event(entry_id, fields)
    assert event is None or isinstance(event.flow_run_id, UUID)


@some
@given(foreign.hashes(foreign.RUN_FIELDS))
def test_runs(reply: dict[bytes, bytes]) -> None:
    """A run's hash is a run or none."""
    run = read_flow_run(RUN_ID, read_fields(reply))
    if run is not None:
        assert isinstance(run, FlowRun)
        assert isinstance(run.parameters, dict)
        assert isinstance(run.epoch, str)
        assert all(isinstance(each, str) for each in run.tags)
        assert isinstance(run.state.is_final(), bool)
        assert "id" in repr(run)


@some
@given(
    foreign.hashes(foreign.PAUSE_FIELDS),
    st.none() | st.tuples(foreign.entry_ids, foreign.entry_fields()),
)
def test_pauses(reply: dict[bytes, bytes], entry: tuple[bytes, list[bytes]] | None) -> None:
    """A pause's hash is a pause or none, whatever entry it names."""
    pause = read_pause("key", read_fields(reply), entry)
    if pause is not None:
        assert pause.schema is None or isinstance(pause.schema, dict)
        assert isinstance(pause.generation, int)
        assert isinstance(schema_error(pause.schema or {}), str)


@some
@given(foreign.hashes(foreign.OTHER_FIELDS), st.binary(max_size=40))
def test_the_rest(reply: dict[bytes, bytes], item: bytes) -> None:
    """Deployments, workers, histories and indexes."""
    deployment = read_deployment("flow/x", read_fields(reply), 1)
    assert deployment is None or isinstance(deployment.parameters, dict)
    worker = read_worker("process", read_fields(reply), 1)
    assert worker is None or all(isinstance(each, str) for each in worker.deployments)
    assert isinstance(read_state_change(item).state, str)
    assert read_run_ids([item, str(RUN_ID).encode()])[-1] == RUN_ID


@some
@given(foreign.values | foreign.json_values.map(foreign.plain))
def test_values(data: bytes) -> None:
    """A value is of the type, or raises pydantic's error."""
    for decode in DECODERS:
        try:
            decode(data)
        except ValidationError:
            continue


@some
@given(foreign.schemas, foreign.json_values.map(foreign.plain) | foreign.values)
def test_answers(schema: object, data: bytes) -> None:
    """An answer to any form is good, or has problems that can be told."""
    answer, problems = validate_answer(schema, data)  # pyright: ignore[reportArgumentType]
    assert isinstance(answer, bytes)
    assert all(isinstance(each, str) for each in problems.values())
    assert isinstance(schema_error(schema), str)
    fingerprint(schema)


@some
@given(foreign.schemas, foreign.json_values)
def test_forms(schema: object, answer: object) -> None:
    """A form that nobody of ours has made does no more than not fit."""
    assert isinstance(validation_errors(schema, with_defaults(schema, answer)), dict)


@some
@given(st.binary(max_size=80) | st.text(max_size=80).map(str.encode))
def test_the_servers_report(data: bytes) -> None:
    """What INFO says is read by `server_report`, from a server of any kind."""
    info = read_info(data)
    for judged in (judge_server(info, "x"), judge_eviction(info), judge_persistence(info)):
        assert judged.ok in (True, False, None)
    assert judge_memory({"used_memory": "1", **info}) is not None
