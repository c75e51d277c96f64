"""Server-sent events out of bytes: the same events however the network cuts them."""

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sessions_core.sse import EventDecoder, LineTooLong

MAX_LINE = 1_000_000  # bytes

BOM = b"\xef\xbb\xbf"
# What streams are made of, in proportions in which it gets interesting.
TOKENS = st.sampled_from(
    [
        *(b"data:", b"data: ", b"data", b":", b" ", b"\n", b"\r", b"\r\n", b"\n\n", b"\r\r", BOM, b"\xef", b"\xbb\xbf"),
        *(b"event: x", b"id: 1", b"retry: 5", b"x", "ä".encode(), "👍".encode(), b"\xff", b"\0", b"[DONE]", b"{}"),
    ]
)
STREAMS = st.lists(TOKENS, max_size=30).map(b"".join)
more = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def decoded(*pieces):
    decoder = EventDecoder()
    return [data for piece in pieces for data in decoder.feed(piece)]


def by_the_standard(stream):
    """The HTML standard's "event stream interpretation", word for word, of the stream as a whole."""
    text = stream.removeprefix(BOM)
    *lines, _incomplete = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    events, buffer = [], ""
    for line in lines:
        if not line:
            if buffer:
                events.append(buffer.removesuffix("\n"))
            buffer = ""
        elif not line.startswith(b":"):
            field, _, value = line.partition(b":")
            if field == b"data":
                buffer += value.removeprefix(b" ").decode(errors="replace") + "\n"
    return events


def split(stream, places):
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[start:end] for start, end in pairwise(edges)]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: one\n\ndata: two\n\n", ["one", "two"]),
        (b"data: one\r\n\r\ndata: two\r\n\r\n", ["one", "two"]),
        (b"data: one\r\rdata: two\r\r", ["one", "two"]),
        (b"data: one\r\n\rdata: two\n\r", ["one", "two"]),
        (BOM + b"data: one\n\n", ["one"]),
        (b"data:one\n\n", ["one"]),
        (b"data:  two spaces\n\n", [" two spaces"]),
        (b"data\n\n", [""]),
        (b"data: a\ndata: b\ndata\ndata:c\n\n", ["a\nb\n\nc"]),
        (b": a comment\n\ndata: one\n: another\n\n", ["one"]),
        (b"event: x\nid: 1\nretry: 2\nunknown\n\ndata: one\n\n", ["one"]),
        (b"database: x\n data: x\nDATA: x\n\n", []),
        (b"data: no blank line follows\n", []),
        ("data: ä 👍\n\n".encode(), ["ä 👍"]),
        (b"data: \xff\n\n", ["\ufffd"]),
        (b'data: {"a": "b: c"}\n\n', ['{"a": "b: c"}']),
    ],
)
def test_streams_are_read_as_the_standard_says(stream, events):
    assert decoded(stream) == events == by_the_standard(stream)


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_an_event_split_at_any_byte_is_the_same_event(end):
    lines = [BOM + "data: ein Bär 👍".encode(), b": ping", b"data:two", b"", b"data: next", b"", b""]
    stream = end.join(lines)
    for place in range(len(stream) + 1):
        assert decoded(stream[:place], stream[place:]) == ["ein Bär 👍\ntwo", "next"], place
    assert decoded(*(bytes([byte]) for byte in stream)) == ["ein Bär 👍\ntwo", "next"]


def test_an_event_is_there_with_its_last_byte_whatever_ends_its_lines():
    assert decoded(b"data: one\r\r") == ["one"]
    assert decoded(b"data: one\r\n\r") == ["one"]


def test_only_the_very_start_may_carry_a_byte_order_mark():
    assert decoded(b"\n", BOM + b"data: one\n\n") == []
    assert decoded(BOM, BOM + b"data: one\n\n") == []


@more
@given(STREAMS, st.lists(st.integers(0, 200), max_size=8))
@example(b"\n" + BOM + b"data: x\n\n", [1])
@example(b"data: x\r\ndata: y\r\n\r\n", [8, 8, 18])
def test_any_split_gives_the_events_of_the_whole_stream(stream, places):
    assert decoded(*split(stream, places)) == by_the_standard(stream)


@more
@given(st.lists(st.binary(max_size=60) | STREAMS, max_size=6))
def test_random_bytes_are_never_an_error(pieces):
    decoded(*pieces)


@pytest.mark.parametrize("begin", [b"data: ", b"", b": ", b"data"])
def test_a_line_of_more_than_a_megabyte_is_refused_before_it_ends(begin):
    decoder = EventDecoder()
    with pytest.raises(LineTooLong):
        for piece in [begin, *[b"x" * 100_000] * 11]:
            list(decoder.feed(piece))
    assert len(decoder.rest) <= MAX_LINE + 100_000


@pytest.mark.parametrize("begin", [b"data: ", b": "])
def test_a_line_of_more_than_a_megabyte_is_refused_when_it_comes_whole(begin):
    with pytest.raises(LineTooLong):
        decoded(begin + b"x" * MAX_LINE + b"\n\n")


def test_a_line_of_a_megabyte_passes():
    assert decoded(b"data: " + b"x" * (MAX_LINE - 6) + b"\n\n") == ["x" * (MAX_LINE - 6)]


def test_an_event_of_many_lines_is_bounded_too():
    decoder = EventDecoder()
    with pytest.raises(LineTooLong):
        for _ in range(12):
            list(decoder.feed((b"data: " + b"x" * 993 + b"\n") * 100))
    assert sum(map(len, decoder.data)) <= MAX_LINE


def test_events_before_a_line_too_long_still_come():
    decoder, events = EventDecoder(), []
    with suppress(LineTooLong):
        for data in decoder.feed(b"data: one\n\n" + b"x" * 2 * MAX_LINE + b"\n"):
            events.append(data)
    assert events == ["one"]
