"""The table of states, and the table of streams."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.http import streams as s
from protocols.http.streams import INPUTS, STATES, Stream, StreamTable, next_state


@pytest.mark.parametrize(
    ("state", "said", "becomes"),
    [
        (s.IDLE, s.SEND_HEADERS, s.OPEN),
        (s.IDLE, s.RECV_HEADERS, s.OPEN),
        (s.IDLE, s.RECV_DATA, s.BROKEN),
        (s.OPEN, s.SEND_END, s.HALF_CLOSED_LOCAL),
        (s.OPEN, s.RECV_END, s.HALF_CLOSED_REMOTE),
        (s.HALF_CLOSED_LOCAL, s.RECV_END, s.CLOSED),
        (s.HALF_CLOSED_REMOTE, s.SEND_END, s.CLOSED),
        (s.HALF_CLOSED_LOCAL, s.SEND_END, s.MISUSE),
        (s.HALF_CLOSED_REMOTE, s.RECV_DATA, s.STREAM_ERROR),
        (s.HALF_CLOSED_LOCAL, s.RECV_DATA, s.HALF_CLOSED_LOCAL),
        (s.HALF_CLOSED_REMOTE, s.SEND_HEADERS, s.HALF_CLOSED_REMOTE),
    ],
)
def test_transitions(state: int, said: int, becomes: int) -> None:
    assert next_state(state, said) == becomes


def test_every_state_knows_every_input() -> None:
    known = {*range(len(STATES)), s.MISUSE, s.IGNORED, s.STREAM_ERROR, s.BROKEN}
    for state in range(len(STATES)):
        for said in range(len(INPUTS)):
            assert next_state(state, said) in known
    for state in (s.OPEN, s.HALF_CLOSED_LOCAL, s.HALF_CLOSED_REMOTE):
        assert next_state(state, s.SEND_RESET) == next_state(state, s.RECV_RESET) == s.CLOSED


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 400)), max_size=80))
def test_the_table_is_a_dict(steps: list[tuple[bool, int]]) -> None:
    table, model = StreamTable(), dict[int, Stream]()
    for adds, stream_id in steps:
        if adds and stream_id not in model:
            model[stream_id] = Stream(stream_id, 0, 0)
            table.add(model[stream_id])
        elif not adds and stream_id in model:
            table.remove(model.pop(stream_id))
        assert table.count == len(model)
        assert table.all() == [model[key] for key in sorted(model)]
        for key in range(1, 401, 7):
            assert table.find(key) is model.get(key)
    table.remove(Stream(5, 0, 0))
    assert table.count == len(model)
