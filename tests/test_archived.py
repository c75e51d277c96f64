"""A session that the gateway has put into its archive: it answers again, and what was asked is heard once."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from asgiref.sync import sync_to_async as db

from sessions_core.gateway import Gateway
from sessions_core.hub import hub
from sessions_core.models import Chat
from sessions_core.relay import Relay
from tests.fake_gateway import TOOLS, delta, done, error, role, status, tool_refused
from tests.loops import run

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.thorough]


@pytest.fixture
def gateway(fake_gateway, settings):
    settings.OPENCLAW_GATEWAY_URL = fake_gateway.url
    settings.OPENCLAW_GATEWAY_TOKEN = fake_gateway.token
    return fake_gateway


@asynccontextmanager
async def working(gateway):
    relay = Relay(Gateway(gateway.url, gateway.token), hub)
    relay.start()
    try:
        yield relay
    finally:
        await relay.drain(0)


def said(chat, gateway, text):
    """The reply to it, when it has ended."""

    async def scenario():
        async with working(gateway), asyncio.timeout(20):
            message = await db(chat.receive)(text)
            while (reply := await message.versions.aget()).running:
                await asyncio.sleep(0.02)
            return reply

    return run(scenario())


@pytest.fixture
def chat(gateway, ada):
    chat = Chat.objects.start(ada)
    said(chat, gateway, "remember teal")
    return chat


def archive(gateway, chat):
    gateway.sessions.rows[f"agent:main:{chat.key}"]["archived"] = True


def test_it_is_taken_out_and_asked_again(chat, gateway):
    archive(gateway, chat)
    reply = said(chat, gateway, "recall")
    assert (reply.state, reply.text) == ("done", "You told me: teal.")
    assert gateway.turns[chat.key] == ["remember teal", "recall"], "heard once"
    assert gateway.sessions.rows[f"agent:main:{chat.key}"]["archived"] is False


def test_a_gateway_that_fails_before_it_streams_is_understood_too(chat, gateway):
    archive(gateway, chat)
    gateway.archived = [status(500, body={"error": {"message": "internal error"}})]
    assert said(chat, gateway, "recall").text == "You told me: teal."


def test_another_failure_is_not_asked_again(chat, gateway):
    gateway.script(chat.key, [role(), error("internal error"), done()])
    before = len(gateway.requests_of(chat.key))
    assert said(chat, gateway, "recall").error_code == "upstream_error"
    assert len(gateway.requests_of(chat.key)) == before + 1


def test_after_text_it_is_never_asked_again(chat, gateway):
    key = f"agent:main:{chat.key}"
    gateway.script(chat.key, [role(), delta("Half "), lambda _: archived_meanwhile(), error("gone"), done()])

    async def archived_meanwhile():
        gateway.sessions.rows[key]["archived"] = True

    before = len(gateway.requests_of(chat.key))
    reply = said(chat, gateway, "recall")
    assert (reply.state, reply.text) == ("failed", "Half ")
    assert len(gateway.requests_of(chat.key)) == before + 1


def test_it_is_tried_exactly_once(chat, gateway):
    archive(gateway, chat)
    gateway.script(chat.key, [status(500, body={"error": {"message": "internal error"}})])
    gateway.sessions.tool = lambda tool, args: {"sessions": [dict(gateway.sessions.rows[f"agent:main:{chat.key}"])]}
    before = len(gateway.requests_of(chat.key))
    assert said(chat, gateway, "recall").state == "failed"
    assert len(gateway.requests_of(chat.key)) == before + 2


@pytest.mark.parametrize("code", [404, 403, 500])
def test_a_gateway_without_the_tools_leaves_the_failure_as_it_is(chat, gateway, code):
    archive(gateway, chat)
    gateway.instead[TOOLS] = [tool_refused(code, "no")]
    before = len(gateway.requests_of(chat.key))
    reply = said(chat, gateway, "recall")
    assert (reply.state, reply.error_code) == ("failed", "upstream_error")
    assert len(gateway.requests_of(chat.key)) == before + 1
