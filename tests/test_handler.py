"""How requests are answered: in a few threads, each in one go and for itself."""

import asyncio
import threading
from contextvars import ContextVar

import pytest
from asgiref.testing import ApplicationCommunicator
from django.db import connection, connections
from django.db.backends.signals import connection_created
from django.http import HttpResponse

from chatapp import handler
from chatapp.handler import PageHandler
from sessions_core.models import User
from tests.loops import run

HEADERS = [(b"host", b"127.0.0.1")]
ADDRESS = {"type": "http", "method": "GET", "path": "/login/", "query_string": b"", "headers": HEADERS}


async def answered(pages):
    browser = ApplicationCommunicator(pages, dict(ADDRESS))
    await browser.send_input({"type": "http.request", "body": b""})
    start, _ = await browser.receive_output(10), await browser.receive_output(10)
    await browser.wait(10)
    return start["status"]


def handled(threads, monkeypatch):
    monkeypatch.setattr(handler, "THREADS", threads)
    made = PageHandler()
    yield made
    for _ in range(threads):
        made.threads.submit(connections.close_all).result()
    made.threads.shutdown()


@pytest.fixture
def pages(monkeypatch):
    """With one thread: of several, a second one is made where the first has answered and does not yet say so."""
    yield from handled(1, monkeypatch)


@pytest.fixture
def two_at_once(monkeypatch):
    yield from handled(2, monkeypatch)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="on PostgreSQL each request has a connection of its own")
@pytest.mark.django_db(transaction=True)
def test_requests_that_follow_each_other_share_one_connection_to_the_database(pages, monkeypatch):
    opened = []

    def count(**_):
        opened.append(threading.current_thread().name)

    def read(self, request):
        return HttpResponse(str(User.objects.count()))

    async def scenario():
        return [await answered(pages) for _ in range(4)]

    monkeypatch.setattr(PageHandler, "get_response", read)
    connection_created.connect(count)
    try:
        assert run(scenario()) == [200] * 4
    finally:
        connection_created.disconnect(count)
    assert opened == ["page_0"]


def test_no_more_are_answered_at_once_than_there_are_threads_and_the_others_after_them(two_at_once, monkeypatch):
    begun, gate = threading.Semaphore(0), threading.Event()

    def slow(self, request):
        begun.release()
        gate.wait(10)
        return HttpResponse("there")

    monkeypatch.setattr(PageHandler, "get_response", slow)

    async def scenario():
        three = [asyncio.create_task(answered(two_at_once)) for _ in range(3)]
        took = [await asyncio.to_thread(begun.acquire, timeout=5) for _ in range(2)]
        third = await asyncio.to_thread(begun.acquire, timeout=0.3)
        gate.set()
        return took, third, await asyncio.gather(*three)

    assert run(scenario()) == ([True, True], False, [200, 200, 200])


def test_what_one_request_sets_the_next_in_its_thread_does_not_see(pages, monkeypatch):
    zone, seen = ContextVar("zone", default="none"), []

    def local(self, request):
        seen.append((threading.current_thread().name, zone.get()))
        zone.set("theirs")
        return HttpResponse("there")

    monkeypatch.setattr(PageHandler, "get_response", local)

    async def scenario():
        for _ in range(3):
            await answered(pages)

    run(scenario())
    assert seen == [("page_0", "none")] * 3
