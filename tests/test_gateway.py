"""Every answer a gateway can give, and what the person who waits is told."""

import asyncio
import gzip
import json
import socket
import threading
import traceback
from contextlib import aclosing, closing
from dataclasses import dataclass
from functools import cache, cached_property
from time import monotonic

import httpx2
import pytest

from sessions_core import gateway as wire
from tests.conftest import LeavesTheMachine
from tests.fake_gateway import (
    FakeGateway,
    answer,
    completion,
    cut,
    delta,
    done,
    echo,
    eof,
    error,
    event,
    eventually,
    finish,
    hang,
    head,
    ping,
    raw,
    reset,
    role,
    sleep,
    status,
    usage,
    wait,
    words,
)
from tests.fake_gateway import wire as bare

KEY = "webchat-1"
HI = b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n'
DONE = b"data: [DONE]\n\n"


@pytest.fixture(scope="module", autouse=True)
def certificates_read_once():
    """Every client reads them anew, which is half the time of these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpx2, "create_ssl_context", cache(httpx2.create_ssl_context))
        yield


@dataclass
class Outcome:
    text: str
    error: wire.GatewayError | None
    reply: wire.Reply
    pieces: list[str]

    @property
    def told(self):
        """What is stored and shown: state, code and whether it may be tried again by itself."""
        return self.error and (self.error.state, self.error.code, self.error.safe_to_repeat)


async def collect(client, message="hello", key=KEY):
    reply, pieces = wire.Reply(), []
    try:
        async for text in client.stream([{"role": "user", "content": message}], key, "main", reply):
            pieces.append(text)
    except wire.GatewayError as problem:
        return Outcome("".join(pieces), problem, reply, pieces)
    return Outcome("".join(pieces), None, reply, pieces)


def ask(gateway, *messages, url=None, key=KEY, **options):
    """The outcome of one turn, or of several with one client."""

    async def conversation():
        client = wire.Gateway(url or gateway.url, gateway.token, **options)
        try:
            async with asyncio.timeout(10):
                return [await collect(client, message, key) for message in messages or ["hello"]]
        finally:
            await client.close()

    outcomes = asyncio.run(conversation())
    return outcomes if len(messages) > 1 else outcomes[0]


def after(gateway, *steps, **options):
    """The outcome of a turn that the gateway answers with these steps."""
    gateway.script(KEY, list(steps))
    return ask(gateway, **options)


# --- a good answer


def test_a_reply_arrives_whole_with_what_is_known_about_it(fake_gateway):
    outcome = ask(fake_gateway)
    assert (outcome.text, outcome.error) == (echo("hello", 20), None)
    assert outcome.reply.upstream_id == "chatcmpl-fake"
    assert outcome.reply.usage == {"prompt_tokens": 1, "completion_tokens": 23, "total_tokens": 24}
    assert outcome.reply.characters == len(outcome.text)


def test_text_comes_as_it_is_sent(fake_gateway):
    go_on = threading.Event()
    fake_gateway.script(KEY, [delta("Hel"), wait(go_on), delta("lo"), done()])

    async def reading():
        client = wire.Gateway(fake_gateway.url, fake_gateway.token)
        pieces = []
        async for text in client.stream([{"role": "user", "content": "hello"}], KEY, "main", wire.Reply()):
            pieces.append(text)
            go_on.set()
        await client.close()
        return pieces

    assert asyncio.run(reading()) == ["Hel", "lo"]


def test_the_loop_goes_on_while_the_sdk_is_imported(fake_gateway):
    """On a slow machine that takes longer than another process believes that this one lives."""
    went_on = threading.Event()

    class Slow(wire.Gateway):
        @cached_property
        def client(self):
            assert went_on.wait(5), "it stood still"
            return super().client

    async def reading():
        asyncio.get_running_loop().call_later(0.05, went_on.set)
        client = Slow(fake_gateway.url, fake_gateway.token)
        try:
            return await collect(client)
        finally:
            await client.close()

    assert asyncio.run(reading()).text == echo("hello", 20)


def test_two_sessions_have_two_memories(fake_gateway):
    ask(fake_gateway, "remember tea", key="webchat-1")
    ask(fake_gateway, "remember cake", key="webchat-2")
    assert ask(fake_gateway, "recall", key="webchat-1").text == "You told me: tea."
    assert ask(fake_gateway, "recall", key="webchat-2").text == "You told me: cake."


def test_the_request_names_session_agent_and_nobody_else(fake_gateway):
    ask(fake_gateway)
    (request,) = fake_gateway.requests
    assert (request.method, request.path) == ("POST", "/v1/chat/completions")
    assert request.body == {
        "model": f"openclaw:{KEY}",
        "messages": [{"role": "user", "content": "hello"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert request.headers["authorization"] == f"Bearer {fake_gateway.token}"
    assert request.headers["x-openclaw-agent-id"] == "main"
    assert request.headers["x-openclaw-session-key"] == f"agent:main:{KEY}"
    assert request.headers["accept-encoding"] == "identity"
    assert not {"cookie", "forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip"} & request.headers.keys()


@pytest.mark.parametrize("message", ["a\r\nx-evil: 1\r\n\r\n", "\0", "💬" * 1000, "ä\u2028\u202e", '"}]}'])
def test_a_message_reaches_the_gateway_as_it_is_and_never_as_a_header(fake_gateway, message):
    ask(fake_gateway, message)
    (request,) = fake_gateway.requests
    assert request.message == message
    assert "x-evil" not in request.headers


@pytest.mark.parametrize("key", ["", "a b", "a\r\nx-evil: 1", "Ä", "-a", "a:b", "a" * 65])
def test_a_key_that_does_not_fit_is_refused_before_anything_is_sent(fake_gateway, key):
    assert ask(fake_gateway, key=key).told == ("failed", "rejected", False)
    assert fake_gateway.requests == []


@pytest.mark.parametrize(
    "steps",
    [
        [head(connection=None), delta("Hi"), bare(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"), hang()],
        [bare(b"HTTP/1.1 429 Busy\r\ncontent-length: 0\r\n\r\n"), hang()],
    ],
    ids=["reply", "refusal"],
)
def test_a_connection_that_the_gateway_keeps_open_is_not_used_again(fake_gateway, steps):
    fake_gateway.script(KEY, steps)
    one, two = ask(fake_gateway, "one", "two")
    assert (one.text, one.told) == (two.text, two.told)
    assert [request.message for request in fake_gateway.requests] == ["one", "two"]
    assert eventually(lambda: all(request.closed_at for request in fake_gateway.requests))


def test_a_server_that_does_not_stream_is_understood(fake_gateway):
    outcome = after(fake_gateway, completion("Hi\r\nthere", usage={"total_tokens": 3}))
    assert (outcome.text, outcome.error, outcome.reply.usage) == ("Hi\nthere", None, {"total_tokens": 3})


def test_a_body_that_ends_with_its_connection_is_understood(fake_gateway):
    assert after(fake_gateway, head(transfer_encoding=None), *answer("Hi there")).text == "Hi there"


def test_a_finish_reason_ends_a_reply_as_well_as_a_done(fake_gateway):
    assert after(fake_gateway, delta("Hi"), finish("stop"), eof()).told is None


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_an_answer_that_the_model_may_not_finish_says_so(fake_gateway, reason):
    outcome = after(fake_gateway, delta("Half"), finish(reason), done())
    assert (outcome.text, outcome.told) == ("Half", None)
    code, words = outcome.reply.trouble
    assert reason in code and words.startswith("The answer was cut short: ")
    nothing = after(fake_gateway, role(), finish(reason), done())
    assert nothing.told == ("failed", "empty", False)
    assert str(nothing.error).startswith("The assistant sent no answer: ")


@pytest.mark.parametrize("reason", ["stop", "tool_calls", "", None, 7, ["length"], {"length": 1}])
def test_any_other_end_of_an_answer_is_its_end(fake_gateway, reason):
    outcome = after(fake_gateway, delta("Hi"), finish(reason), done())
    assert (outcome.told, outcome.reply.trouble) == (None, ("", ""))


@pytest.mark.parametrize("form", ["text/event-stream", "Text/Event-Stream;Charset=UTF-8", "text/event-stream ; a=b"])
def test_the_form_of_an_answer_is_read_in_any_spelling(fake_gateway, form):
    assert after(fake_gateway, head(content_type=form), delta("Hi"), done()).told is None


@pytest.mark.parametrize("coding", ["identity", "Identity", ""])
def test_an_answer_that_says_it_is_not_compressed_is_read(fake_gateway, coding):
    assert after(fake_gateway, head(content_encoding=coding), delta("Hi"), done()).told is None


# --- no connection: safe to repeat


def test_a_refused_connection_is_unreachable_and_safe_to_repeat(fake_gateway):
    fake_gateway.stop()
    outcome = ask(fake_gateway)
    assert outcome.told == ("failed", "gateway_unreachable", True)
    assert str(outcome.error) == "The assistant's gateway cannot be reached."


def test_a_gateway_that_comes_back_is_reached_again(fake_gateway):
    fake_gateway.stop()
    ask(fake_gateway)
    fake_gateway.start()
    assert ask(fake_gateway).told is None


def test_a_name_that_is_not_known_is_unreachable(fake_gateway, monkeypatch):
    def unknown(*args, **options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert ask(fake_gateway, url="http://gateway.invalid").told == ("failed", "gateway_unreachable", True)


def test_a_failed_tls_handshake_is_unreachable(fake_gateway):
    with socket.create_server(("127.0.0.1", 0)) as plain:

        def answer_in_plain():
            connection, _ = plain.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer_in_plain)
        thread.start()
        url = f"https://127.0.0.1:{plain.getsockname()[1]}"
        assert ask(fake_gateway, url=url).told == ("failed", "gateway_unreachable", True)
        thread.join()


def test_a_connection_that_nobody_accepts_is_unreachable_in_time(fake_gateway, settings):
    settings.GATEWAY_CONNECT_SECONDS = 0.2
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        with closing(socket.create_connection(address)):  # the only place in the queue
            url = f"http://127.0.0.1:{address[1]}"
            assert ask(fake_gateway, url=url).told == ("failed", "gateway_unreachable", True)


# --- a connection, and no answer


@pytest.mark.parametrize("leave", [cut(), reset()], ids=["closed", "reset"])
def test_a_gateway_that_reads_and_leaves_may_have_seen_the_message(fake_gateway, leave):
    outcome = after(fake_gateway, leave)
    assert outcome.told == ("failed", "gateway_error", False)
    assert "may have seen your message" in str(outcome.error)
    assert len(fake_gateway.requests) == 1


def test_a_gateway_that_leaves_within_the_head_may_have_seen_the_message(fake_gateway):
    assert after(fake_gateway, bare(b"HTTP/1.1 200 O"), cut()).told == ("failed", "gateway_error", False)


def test_silence_before_the_head_ends_at_the_start_timeout_and_the_connection_with_it(fake_gateway):
    began = monotonic()
    outcome = after(fake_gateway, hang(), start_timeout=0.3)
    assert outcome.told == ("failed", "timeout_start", False)
    assert 0.3 <= monotonic() - began < 5
    assert eventually(lambda: fake_gateway.requests and fake_gateway.requests[0].client_left)


@pytest.mark.thorough
def test_silence_after_the_head_is_patience(fake_gateway):
    outcome = after(fake_gateway, role(), sleep(0.4), ping(), sleep(0.1), delta("Hi"), done(), start_timeout=0.3)
    assert (outcome.text, outcome.error) == ("Hi", None)


# --- refused by status


@pytest.mark.parametrize(
    ("code", "told", "words_of_it"),
    [
        (400, ("failed", "rejected", False), "did not accept this message"),
        (401, ("failed", "gateway_auth", False), "refused our credentials"),
        (403, ("failed", "gateway_auth", False), "refused our credentials"),
        (404, ("failed", "gateway_config", False), "does not offer this service"),
        (405, ("failed", "gateway_config", False), "does not offer this service"),
        (409, ("failed", "rejected", False), "did not accept this message"),
        (413, ("failed", "rejected", False), "did not accept this message"),
        (422, ("failed", "rejected", False), "did not accept this message"),
        (429, ("failed", "busy", True), "is busy"),
        (500, ("failed", "gateway_error", False), "may have seen your message"),
        (502, ("failed", "gateway_error", False), "may have seen your message"),
        (503, ("failed", "gateway_down", True), "starting or stopping"),
        (504, ("failed", "gateway_error", False), "may have seen your message"),
    ],
)
def test_a_status_says_what_happened_and_is_asked_for_once(fake_gateway, code, told, words_of_it):
    for body in ("", "<html>no</html>", {"error": {"message": "no", "type": "x"}}):
        fake_gateway.script(KEY, [status(code, body=body)], times=1)
    outcomes = ask(fake_gateway, "empty", "html", "json")
    assert {outcome.told for outcome in outcomes} == {told}
    assert all(words_of_it in str(outcome.error) for outcome in outcomes)
    assert len(fake_gateway.requests) == 3


def test_a_wrong_token_is_refused(fake_gateway):
    client_token, fake_gateway.token = fake_gateway.token, "another"
    outcome = ask(FakeGatewayAddress(fake_gateway.url, client_token))
    assert outcome.told == ("failed", "gateway_auth", False)


@dataclass
class FakeGatewayAddress:
    url: str
    token: str


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        *(
            ("2", 2.0),
            ("0", 0.0),
            ("0.5", 0.5),
            ("3600", 30.0),
            ("", None),
            ("soon", None),
            ("nan", None),
            ("-1", None),
        ),
        *(("1e999", None), ("inf", None), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("9" * 5000, None)),
    ],
)
def test_retry_after_is_taken_up_to_half_a_minute(fake_gateway, value, seconds):
    for code in (429, 503):
        fake_gateway.script(KEY, [status(code, {"retry-after": value})], times=1)
    assert [outcome.error.retry_after for outcome in ask(fake_gateway, "busy", "down")] == [seconds, seconds]


def test_a_busy_assistant_says_for_how_long(fake_gateway):
    outcome = after(fake_gateway, status(429, {"retry-after": "2"}))
    assert str(outcome.error) == "The assistant is busy. Try again in 2 s."


def test_a_refusal_quotes_the_gateway_but_not_at_length(fake_gateway):
    outcome = after(fake_gateway, status(400, body={"error": {"message": "Unknown agent. " + "x" * 5000}}))
    assert "It says: Unknown agent." in str(outcome.error)
    assert len(str(outcome.error)) < 400


# --- an answer that is no reply


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_is_refused_and_not_followed(fake_gateway, code):
    with FakeGateway() as elsewhere:
        outcome = after(fake_gateway, status(code, {"location": f"{elsewhere.url}/v1/chat/completions"}))
        assert outcome.told == ("failed", "bad_reply", False)
        assert "redirect" in str(outcome.error)
        assert (len(fake_gateway.requests), elsewhere.requests) == (1, [])


@pytest.mark.parametrize("form", ["text/html", "text/plain", "application/octet-stream", "text/event-streams", None])
def test_an_answer_of_another_form_is_refused(fake_gateway, form):
    outcome = after(fake_gateway, head(content_type=form), raw(HI), raw(DONE))
    assert (outcome.text, outcome.told) == ("", ("failed", "bad_reply", False))


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, identity"])
def test_a_compressed_answer_is_refused_before_it_is_decoded(fake_gateway, coding):
    bomb = gzip.compress(b"x" * 1_000_000)
    for code in (200, 500):
        fake_gateway.script(KEY, [head(code, content_encoding=coding), raw(bomb), hang()], times=1)
    for outcome in ask(fake_gateway, "good", "bad"):
        assert outcome.told == ("failed", "bad_reply", False)
        assert "compressed" in str(outcome.error)


@pytest.mark.parametrize(
    "nonsense",
    [
        b"hello\r\n\r\n",
        b"HTTP/9 what\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"a" * 20_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 500 Oh\r\ncontent-length: 100\r\n\r\n{",
    ],
)
def test_an_answer_that_is_not_http_is_no_reply(fake_gateway, nonsense):
    assert after(fake_gateway, bare(nonsense), cut()).told == ("failed", "bad_reply", False)


@pytest.mark.parametrize("body", ["", "[]", "no json", "[" * 100_000, '"text"', "null"])
def test_a_json_answer_that_is_no_completion_is_refused(fake_gateway, body):
    outcome = after(fake_gateway, status(200, {"content-type": "application/json"}, body))
    assert outcome.told == ("failed", "bad_reply", False)


def test_a_json_answer_without_text_is_empty(fake_gateway):
    assert after(fake_gateway, completion("")).told == ("failed", "empty", False)


def test_a_json_answer_that_breaks_off_is_no_answer(fake_gateway):
    outcome = after(fake_gateway, head(content_type="application/json"), raw(b'{"choices": ['), cut())
    assert outcome.told == ("failed", "empty", False)


def test_more_than_twenty_malformed_events_are_no_reply(fake_gateway):
    good = [delta(f"{n} ") for n in range(30)]
    outcome = after(fake_gateway, *good, *[raw(b"data: {no json\n\n")] * 20, delta("still here"), done())
    assert (outcome.told, outcome.reply.malformed) == (None, 20)
    assert outcome.text.endswith("29 still here")
    outcome = after(fake_gateway, *good, *[raw(b"data: {no json\n\n")] * 21, delta("never"), done())
    assert outcome.told == ("failed", "bad_reply", False)
    assert outcome.text.endswith("29 ")


def test_mostly_malformed_events_are_no_reply(fake_gateway):
    bad = raw(b"data: nonsense\n\n")
    assert after(fake_gateway, delta("a"), bad, bad, bad, delta("b"), done()).told == ("failed", "bad_reply", False)
    assert after(fake_gateway, delta("a"), bad, delta("b"), bad, done()).told is None


@pytest.mark.parametrize(
    "data",
    [b"[" * 100_000, b'{"a":' * 50_000, b'{"x": ' + b"1" * 5000 + b"}", b"[]", b"null", b"3", b"NaN", b"\xff", b""],
)
def test_an_odd_event_between_good_ones_is_skipped(fake_gateway, data):
    outcome = after(fake_gateway, delta("a"), raw(b"data: " + data + b"\n\n"), delta("b"), done())
    assert (outcome.text, outcome.error) == ("ab", None)


@pytest.mark.parametrize("data", [b"data: ", b": ", b""])
def test_a_line_of_more_than_a_megabyte_is_no_reply(fake_gateway, data):
    outcome = after(fake_gateway, delta("Hi"), raw(data + b"x" * 1_000_100), hang())
    assert (outcome.text, outcome.told) == ("Hi", ("failed", "bad_reply", False))


# --- an answer that ends too early


def test_a_done_without_text_is_empty_and_never_done(fake_gateway):
    outcome = after(fake_gateway, done())
    assert outcome.told == ("failed", "empty", False)
    assert str(outcome.error) == "The assistant sent no answer."


@pytest.mark.parametrize(
    "steps",
    [[eof()], [role(), eof()], [role(), finish(), usage(), done()], [ping(), cut()], [delta(""), done()], [reset()]],
)
def test_an_end_without_any_text_is_never_a_reply(fake_gateway, steps):
    assert after(fake_gateway, head(), ping(), *steps).told == ("failed", "empty", False)


@pytest.mark.parametrize(
    "end",
    [
        [eof()],
        [cut()],
        [reset()],
        [usage(), eof()],
        [bare(b"ff\r\ndata: {"), cut()],
        [raw(b'data: {"choices":[{"delta":{"cont'), eof()],
        [raw(b'data: {"choices":[{"delta":{"content":" \xf0\x9f'), cut()],
        [raw(b"data: [DONE]\n"), eof()],
        [sleep(0.02), bare(b"zz\r\nnot a chunk\r\n"), cut()],
        [sleep(0.02), bare(b"5\r\ntoo long for five\r\n"), hang()],
    ],
    ids=["eof", "cut", "reset", "usage", "in-chunk", "in-json", "in-utf-8", "in-done", "no-chunk", "wrong-chunk"],
)
def test_a_reply_that_ends_before_its_end_is_cut_off_and_what_arrived_is_kept(fake_gateway, end):
    outcome = after(fake_gateway, role(), delta("What "), delta("arrived"), *end)
    assert (outcome.text, outcome.told) == ("What arrived", ("interrupted", "cut_off", False))
    assert str(outcome.error) == "The reply was cut off; what arrived is kept."


def test_a_body_without_chunks_that_breaks_is_cut_off(fake_gateway):
    outcome = after(fake_gateway, head(transfer_encoding=None), delta("Hi"), reset())
    assert (outcome.text, outcome.told) == ("Hi", ("interrupted", "cut_off", False))


def test_a_body_shorter_than_it_said_is_cut_off(fake_gateway):
    outcome = after(fake_gateway, head(transfer_encoding=None, content_length="1000"), delta("Hi"), cut())
    assert (outcome.text, outcome.told) == ("Hi", ("interrupted", "cut_off", False))


def test_a_gateway_that_stops_in_the_middle_cuts_off(fake_gateway):
    fake_gateway.script(KEY, [delta("Hi"), hang()])
    stopping = threading.Thread(
        target=lambda: (
            eventually(lambda: fake_gateway.requests and fake_gateway.requests[0].sent) and fake_gateway.stop()
        )
    )
    stopping.start()
    outcome = ask(fake_gateway)
    stopping.join()
    assert (outcome.text, outcome.told) == ("Hi", ("interrupted", "cut_off", False))


def test_an_error_event_ends_the_reply_with_the_gateways_words(fake_gateway):
    outcome = after(fake_gateway, delta("Hi"), error("The model is <overloaded>. " + "x" * 5000), delta("no"), done())
    assert (outcome.text, outcome.told) == ("Hi", ("failed", "upstream_error", False))
    assert str(outcome.error).startswith("The assistant reported an error. It says: The model is <overloaded>.")
    assert len(str(outcome.error)) < 400


@pytest.mark.parametrize("problem", ["text", ["a", 1], {"message": {"a": 1}}, {"message": None}, {"code": 5}, 5, True])
def test_an_error_event_of_any_shape_is_an_error(fake_gateway, problem):
    assert after(fake_gateway, event({"error": problem}), done()).told == ("failed", "upstream_error", False)


def test_a_json_answer_that_is_an_error_is_one(fake_gateway):
    outcome = after(fake_gateway, status(200, body={"error": {"message": "No model."}}))
    assert outcome.told == ("failed", "upstream_error", False)


def test_a_reply_that_grows_too_large_is_stopped_and_what_fits_is_kept(fake_gateway, settings):
    settings.REPLY_MAX_LENGTH = 1000
    text = words("large", 200)
    outcome = after(fake_gateway, *answer(text)[:-3], hang())
    assert (outcome.text, outcome.told) == (text[:1000], ("interrupted", "too_large", False))
    assert eventually(lambda: fake_gateway.requests[0].client_left)
    outcome = after(fake_gateway, completion(text))
    assert (outcome.text, outcome.told) == (text[:1000], ("interrupted", "too_large", False))


def test_a_reply_of_just_the_largest_size_is_whole(fake_gateway, settings):
    settings.REPLY_MAX_LENGTH = 5
    assert after(fake_gateway, delta("12345"), done()).told is None


def test_a_stream_of_too_many_events_is_stopped(fake_gateway, settings):
    settings.REPLY_MAX_EVENTS = 50
    outcome = after(fake_gateway, delta("Hi"), *[role()] * 60, hang())
    assert (outcome.text, outcome.told) == ("Hi", ("interrupted", "too_large", False))


# --- the stream's own forms


@pytest.mark.thorough
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
def test_an_event_split_at_any_byte_is_the_same_event(fake_gateway, end):
    stream = end.join([b"\xef\xbb\xbf: hello", b"event: x", b'data: {"choices":', b'data:[{"delta":{"content":'])
    stream += end + 'data: "ä 👍"}}]}'.encode() + end * 2 + b"data:[DONE]" + end * 2
    places = range(1, len(stream))
    for place in places:
        fake_gateway.script(KEY, [raw(stream[:place]), sleep(0), raw(stream[place:])], times=1)
    outcomes = ask(fake_gateway, *["hello"] * len(places))
    assert {(outcome.text, outcome.error) for outcome in outcomes} == {("ä 👍", None)}


def test_a_stream_that_drips_byte_by_byte_is_read(fake_gateway):
    stream = "".join(f'data: {{"choices":[{{"delta":{{"content":"{c}"}}}}]}}\n\n' for c in "ä👍ש").encode() + DONE
    outcome = after(fake_gateway, *[raw(bytes([byte])) for byte in stream])
    assert (outcome.text, outcome.error) == ("ä👍ש", None)


def test_what_follows_a_done_is_ignored_and_the_connection_closed(fake_gateway):
    outcome = after(fake_gateway, delta("Hi"), done(), delta("no"), raw(DONE), error("no"), hang())
    assert (outcome.text, outcome.error) == ("Hi", None)
    assert eventually(lambda: fake_gateway.requests[0].closed_at)


def test_halves_of_a_character_in_two_events_are_joined(fake_gateway):
    outcome = after(fake_gateway, delta("so \ud83d"), delta("\ude00!"), done())
    assert (outcome.text, outcome.error) == ("so 😀!", None)


def test_half_a_character_alone_becomes_a_replacement(fake_gateway):
    assert (
        after(fake_gateway, delta("a\ud83d"), delta("b\ude00"), delta("\ud83d"), done()).text == "a\ufffdb\ufffd\ufffd"
    )


def test_control_characters_are_removed_and_line_ends_made_one(fake_gateway):
    written = "".join(map(chr, range(32))) + "\x7f\x85" + "a\r"
    assert after(fake_gateway, delta(written), delta("\nb\r"), done()).text == "\t\n\na\nb\n"


def test_only_the_text_of_the_first_choice_is_text(fake_gateway):
    def chunk(**more):
        return event({"object": "chat.completion.chunk", **more})

    outcome = after(
        fake_gateway,
        chunk(choices=[{"index": 0, "delta": {"tool_calls": [{"function": {"name": "x", "arguments": "{}"}}]}}]),
        chunk(choices=[{"index": 1, "delta": {"content": "second"}}]),
        chunk(choices=[{"index": 1, "delta": {"content": "no"}}, {"index": 0, "delta": {"content": "a"}}]),
        chunk(choices=[{"delta": {"content": "b", "reasoning_content": "no", "refusal": "no"}}], unknown=[1]),
        chunk(choices=[{"index": 0, "delta": {"content": None}}]),
        chunk(choices=[{"index": 0, "delta": {"content": ["no"]}}]),
        chunk(choices=[{"index": 0, "delta": None}]),
        chunk(choices=[None]),
        chunk(choices={"0": 1}),
        chunk(choices=None, usage=[], id=None, error=None),
        delta("c"),
        done(),
    )
    assert (outcome.text, outcome.error, outcome.reply.usage) == ("abc", None, None)


# --- stop


def test_closing_the_iterator_closes_the_connection(fake_gateway):
    fake_gateway.script(KEY, [delta("Hi"), hang()])

    async def reading():
        client = wire.Gateway(fake_gateway.url, fake_gateway.token)
        async with aclosing(client.stream([], KEY, "main", wire.Reply())) as stream:
            assert await anext(stream) == "Hi"
            assert not fake_gateway.requests[0].client_left
        left = await asyncio.to_thread(eventually, lambda: fake_gateway.requests[0].client_left, 1)
        await client.close()
        return left

    assert asyncio.run(reading())


@pytest.mark.parametrize("steps", [[hang()], [delta("Hi"), hang()]], ids=["before the head", "in the stream"])
def test_cancelling_the_reader_closes_the_connection(fake_gateway, steps):
    fake_gateway.script(KEY, steps)

    async def reading():
        client = wire.Gateway(fake_gateway.url, fake_gateway.token)
        task = asyncio.create_task(collect(client))
        await asyncio.to_thread(eventually, lambda: fake_gateway.requests)
        await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.wait([task])
        left = await asyncio.to_thread(eventually, lambda: fake_gateway.requests[0].client_left, 1)
        await client.close()
        return task.cancelled(), left

    assert asyncio.run(reading()) == (True, True)


def test_many_replies_run_side_by_side(fake_gateway):
    async def crowd():
        client = wire.Gateway(fake_gateway.url, fake_gateway.token)
        outcomes = await asyncio.gather(*(collect(client, f"m{n}", f"webchat-{n}") for n in range(50)))
        await client.close()
        return [outcome.text for outcome in outcomes]

    fake_gateway.pace = 0.005
    began = monotonic()
    assert asyncio.run(crowd()) == [echo(f"m{n}", 20) for n in range(50)]
    assert monotonic() - began < 50 * 20 * 0.005


# --- what must not leak


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY"])
def test_a_proxy_of_the_environment_is_not_used(fake_gateway, monkeypatch, name):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        monkeypatch.setenv(name, f"http://127.0.0.1:{probe.getsockname()[1]}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert ask(fake_gateway).told is None


@pytest.mark.parametrize(
    "steps",
    [
        [status(400, body={"error": {"message": "Bearer CANARY and CANARY"}})],
        [status(401, body={"error": {"message": "CANARY is wrong"}})],
        [status(500, body="CANARY")],
        [error("Token CANARY, authorization: Bearer CANARY")],
        [delta("Hi"), error("CANARY")],
        [bare(b"HTTP/9 CANARY\r\n\r\n"), cut()],
        [head(content_type="CANARY/x")],
        [cut()],
        [delta("Hi"), reset()],
    ],
    ids=range(9),
)
def test_the_token_is_in_no_text_of_an_error(fake_gateway, settings, steps):
    settings.OPENCLAW_GATEWAY_TOKEN = fake_gateway.token = "CANARY"
    problem = after(fake_gateway, *steps).error
    assert fake_gateway.requests[0].headers["authorization"] == "Bearer CANARY"
    assert "canary" not in f"{problem} {problem!r} {problem.args}".lower()
    assert "CANARY" not in "".join(traceback.format_exception(problem))


# --- the fake gateway itself


def test_scripts_are_taken_in_turn_and_the_last_one_stays(fake_gateway):
    fake_gateway.script(None, answer("everybody else"))
    fake_gateway.script(KEY, [status(429)], times=2)
    fake_gateway.script(KEY, answer("one"), times=1)
    fake_gateway.script(KEY, answer("many"))
    outcomes = ask(fake_gateway, *["hello"] * 5)
    assert [outcome.text for outcome in outcomes] == ["", "", "one", "many", "many"]
    assert ask(fake_gateway, key="webchat-2").text == "everybody else"


def test_the_fake_gateway_tells_who_left_and_who_stayed(fake_gateway):
    fake_gateway.count = 5
    ask(fake_gateway)
    (request,) = fake_gateway.requests_of(KEY)
    assert request.complete and not request.client_left
    assert request.sent == echo("hello", 5)
    assert eventually(lambda: request.closed_at) >= request.opened_at


def test_other_addresses_are_not_found_and_strangers_refused(fake_gateway):
    def post(path, token):
        with socket.create_connection(("127.0.0.1", fake_gateway.port)) as connection:
            body = json.dumps({"messages": []})
            lines = [
                f"POST {path} HTTP/1.1",
                f"authorization: Bearer {token}",
                f"content-length: {len(body)}",
                "",
                body,
            ]
            connection.sendall("\r\n".join(lines).encode())
            return int(connection.makefile().readline().split()[1])

    assert post("/v1/models", fake_gateway.token) == 404
    assert post("/v1/chat/completions", "another") == 401
    assert post("/v1/chat/completions", fake_gateway.token) == 200


def test_the_words_of_a_seed_are_always_the_same():
    assert words("a", 3) == "cedar amber grove"
    assert words("a", 5).startswith(words("a", 3))


@pytest.mark.parametrize("address", [("192.0.2.1", 80), ("203.0.113.5", 443)])
def test_no_test_reaches_beyond_this_machine(address):
    with socket.socket() as beyond:
        for connect in (beyond.connect, beyond.connect_ex):
            with pytest.raises(LeavesTheMachine):
                connect(address)


def test_a_connection_that_breaks_after_the_end_was_said_breaks_nothing(fake_gateway):
    outcome = after(fake_gateway, role(), delta("whole"), finish(), reset())
    assert (outcome.text, outcome.error) == ("whole", None)


def test_empty_events_keep_a_connection_open_and_count_for_nothing(fake_gateway):
    outcome = after(fake_gateway, *[raw(b"data:\n\n")] * 30, role(), delta("whole"), done())
    assert (outcome.text, outcome.error) == ("whole", None)


def test_what_came_before_the_connection_broke_is_kept_though_nobody_had_read_it(fake_gateway):
    fake_gateway.script(KEY, [delta("Hi"), sleep(0.05), delta(" there"), delta(", you"), reset()])

    async def slowly():
        client, reply, pieces = wire.Gateway(fake_gateway.url, fake_gateway.token), wire.Reply(), []
        with pytest.raises(wire.CutOff):
            async for text in client.stream([{"role": "user", "content": "hello"}], KEY, "main", reply):
                pieces.append(text)
                await asyncio.sleep(0.5)
        await client.close()
        return pieces

    assert "".join(asyncio.run(slowly())) == "Hi there, you"


def test_what_came_at_once_is_one_piece_and_what_came_before_an_error_in_it_is_kept(fake_gateway):
    broken = HI + HI + b'data: {"error": {"message": "No money."}}\n\n' + HI
    outcome = after(fake_gateway, raw(broken), done())
    assert (outcome.text, outcome.pieces, outcome.told) == ("HiHi", ["HiHi"], ("failed", "upstream_error", False))
