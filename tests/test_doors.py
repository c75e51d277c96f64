"""Who may come in: proxies, sizes, own addresses."""

import asyncio

import orjson
import pytest
from django.urls import reverse

from chatapp import doors


def request(client="203.0.113.9", headers=(), server=("127.0.0.1", 8000), kind="http"):
    return {"type": kind, "client": [client, 1], "server": list(server), "headers": list(headers), "path": "/"}


def seen(scope, trusted=()):
    """The scope as the app behind the door sees it."""
    found = {}

    async def app(scope, receive, send):
        found.update(scope)

    door = doors.Proxied(app)
    door.trusted = [doors.ip_network(network) for network in trusted]
    asyncio.run(door(scope, None, None))
    return found


FORWARDED = [(b"x-forwarded-for", b"198.51.100.7, 10.0.0.2"), (b"x-forwarded-proto", b"https"), (b"host", b"h")]


def test_forwarded_headers_of_strangers_are_dropped():
    scope = seen(request(headers=FORWARDED))
    assert scope["client"][0] == "203.0.113.9"
    assert scope["headers"] == [(b"host", b"h")]
    assert "scheme" not in scope


def test_a_trusted_proxy_says_who_calls_and_how():
    scope = seen(request("10.0.0.1", FORWARDED), ["10.0.0.0/8"])
    assert (scope["client"][0], scope["scheme"]) == ("198.51.100.7", "https")
    assert scope["headers"] == [(b"host", b"h")]


def test_what_a_caller_wrote_before_the_proxy_is_not_believed():
    headers = [(b"x-forwarded-for", b"127.0.0.1, 198.51.100.7")]
    assert seen(request("10.0.0.1", headers), ["10.0.0.1"])["client"][0] == "198.51.100.7"


def test_a_socket_behind_https_is_secure():
    assert seen(request("10.0.0.1", FORWARDED, kind="websocket"), ["10.0.0.1"])["scheme"] == "wss"


@pytest.mark.parametrize("garbage", [b"", b"nonsense", b",,,", b"[::1"])
def test_garbage_from_a_trusted_proxy_breaks_nothing(garbage):
    assert seen(request("10.0.0.1", [(b"x-forwarded-for", garbage)]), ["10.0.0.1"])["client"][0]


def test_the_address_a_connection_came_in_on_is_allowed_as_host(settings):
    settings.ALLOWED_HOSTS = ["localhost"]
    seen(request(server=("192.0.2.5", 8000)))
    seen(request(server=("2001:db8::5", 8000)))
    assert settings.ALLOWED_HOSTS == ["localhost", "192.0.2.5", "[2001:db8::5]"]


def body(pieces, headers=(), path="/"):
    """Status and what the app got of a body that comes in pieces."""
    sent, got = [], []

    async def app(scope, receive, send):
        got.append((await receive())["body"])
        await send({"type": "http.response.start", "status": 200})

    async def scenario():
        events = iter(
            [{"type": "http.request", "body": p, "more_body": True} for p in pieces] + [{"type": "http.request"}]
        )

        async def receive():
            return next(events)

        async def send(event):
            sent.append(event)

        await doors.BodyLimit(app)(request(headers=headers) | {"path": path}, receive, send)

    asyncio.run(scenario())
    return sent[0]["status"], got


def test_alive_waits_for_nothing_behind_the_door():
    said = []

    async def hanging(scope, receive, send):
        await asyncio.sleep(60)

    async def send(event):
        said.append(event)

    async def scenario():
        async with asyncio.timeout(5):
            await doors.Alive(hanging)(request() | {"path": "/healthz", "method": "GET"}, None, send)

    asyncio.run(scenario())
    assert (said[0]["status"], orjson.loads(said[1]["body"])) == (200, {"alive": True})


def test_a_body_within_the_limit_passes(settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
    assert body([b"12345", b"67890"]) == (200, [b"1234567890"])


def test_a_body_over_the_limit_is_refused_whether_announced_or_not(settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
    assert body([b"12345", b"678901"]) == (413, [])
    assert body([], [(b"content-length", b"11")]) == (413, [])
    assert body([], [(b"content-length", b"nonsense")]) == (413, [])


def test_a_form_in_another_charset_is_refused():
    assert body([], [(b"content-type", b"application/x-www-form-urlencoded; charset=utf-16")])[0] == 415
    assert body([b"x"], [(b"content-type", b"application/x-www-form-urlencoded; charset=UTF-8")])[0] == 200


def test_only_an_import_may_be_larger(settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE, settings.IMPORT_MAX_SIZE = 10, 20
    assert body([b"x" * 20, b"y" * 10], path=doors.IMPORT) == (200, [b"x" * 20 + b"y" * 10])
    assert body([b"x" * 20, b"y" * 11], path=doors.IMPORT) == (413, [])
    assert body([], [(b"content-length", b"31")], path=doors.IMPORT) == (413, [])
    for path in ("/chats/import", "/chats/import/x", "/chats/"):
        assert body([b"x" * 11], [(b"content-type", b"multipart/form-data; boundary=x")], path=path) == (413, [])


def test_the_import_is_at_that_address():
    assert reverse("import") == doors.IMPORT


def test_a_program_is_refused_in_the_form_it_reads(settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
    said = []

    async def send(event):
        said.append(event)

    scope = {"type": "http", "path": "/api/sessions", "headers": [(b"content-length", b"11")]}
    asyncio.run(doors.BodyLimit(None)(scope, None, send))
    assert orjson.loads(said[1]["body"])["error"]["code"] == "too_large"
