"""How a session's transcript and its live feed are read, whatever the gateway makes of them."""

import asyncio
import json

import pytest

from sessions_core.gateway import AuthRefused, BadReply, Down, Failed, NotOffered, Unreachable, feed, transcript
from sessions_core.gateway.transcript import MOST_PAGES, PAGE, parsed
from tests.fake_gateway import status
from tests.loops import run
from tests.transcripts import answered, asked, entry, turn, typed, was_reset

pytestmark = pytest.mark.thorough

KEY = "agent:main:webchat-1"


@pytest.fixture
def gateway(fake_gateway, settings):
    settings.OPENCLAW_GATEWAY_URL = fake_gateway.url
    settings.OPENCLAW_GATEWAY_TOKEN = fake_gateway.token
    fake_gateway.transcripts = {}
    return fake_gateway


def read(known=()):
    return transcript.read("webchat-1", "main", known)


class TestReading:
    def test_gives_what_was_said_oldest_first(self, gateway):
        gateway.transcripts[KEY] = turn("Hello", "Fine.", "chatcmpl_1")
        found = read()
        assert [(e.role, e.text, e.run, e.whole, e.final) for e in found.entries][1] == (
            *("assistant", "Fine.", "chatcmpl_1"),
            *(True, True),
        )
        assert found.entries[0].text == "Hello" and found.complete and found.exists and found.memory

    def test_a_session_that_is_not_there_is_an_empty_transcript(self, gateway):
        found = read()
        assert (found.entries, found.complete, found.exists) == ((), True, False)

    def test_a_gateway_without_transcripts_is_another_matter(self, gateway):
        gateway.transcripts = None
        gateway.turns["webchat-1"].append("Hello")
        with pytest.raises(NotOffered):
            read()

    def test_it_goes_back_to_what_is_known_and_no_further(self, gateway):
        gateway.transcripts[KEY] = told = [asked(f"number {n}") for n in range(60)]
        found = read({told[45]["__openclaw"]["id"]})
        assert [e.text for e in found.entries] == [f"number {n}" for n in range(40, 60)]
        assert not found.complete and len(gateway.looks) == 1
        assert len(read({told[5]["__openclaw"]["id"]}).entries) == 60

    def test_it_goes_back_only_so_far(self, gateway):
        gateway.transcripts[KEY] = [asked("x") for _ in range(PAGE * MOST_PAGES + 5)]
        found = read()
        assert len(found.entries) == PAGE * MOST_PAGES and not found.complete

    @pytest.mark.parametrize("body", [[], {"messages": 1}, {}, "words"])
    def test_another_answer_is_refused(self, gateway, body, monkeypatch):
        monkeypatch.setattr(gateway, "_history", lambda request: [status(200, body=body)])
        with pytest.raises(BadReply):
            read()

    @pytest.mark.parametrize(("code", "error"), [(401, AuthRefused), (403, AuthRefused), (500, Failed), (503, Down)])
    def test_a_refusal_says_which(self, gateway, code, error, monkeypatch):
        monkeypatch.setattr(gateway, "_history", lambda request: [status(code, body={"error": {"message": "no"}})])
        with pytest.raises(error):
            read()

    def test_a_key_that_is_the_gateways_own_is_asked_for_as_it_is(self, gateway):
        gateway.transcripts["agent:work:telegram:direct:ü/1"] = []
        path = transcript.path_of("agent:work:telegram:direct:1/2?", "main")
        assert path == "/sessions/agent%3Awork%3Atelegram%3Adirect%3A1%2F2%3F/history?"


class TestWhatAnEntryIs:
    def texts(self, *entries):
        return [(e.role, e.text, e.origin) for e in parsed(list(entries), complete=True).entries]

    def test_without_what_the_gateway_put_around_it(self):
        folded = (
            "[Chat messages since your last reply - for context]\nUser: a\n\n"
            "[Current message - respond to this]\nUser: "
        )
        stamped = "[Sun 2026-11-22 02:16 UTC] "
        assert self.texts(asked(folded + "b"), asked(stamped + "c")) == [("user", "b", ""), ("user", "c", "")]

    @pytest.mark.parametrize(
        ("meta", "origin"),
        [
            ({"senderIdentity": {"pluginId": "telegram"}}, "Telegram"),
            ({"senderIdentity": {"pluginId": "zalo"}}, "zalo"),
            ({"transport": {"clients": [{"id": "openclaw-control-ui"}]}}, "OpenClaw"),
            ({"transport": {"clients": [{"id": "gateway-client"}]}}, "the gateway"),
            ({"provenance": {"kind": "external_user", "sourceChannel": "whatsapp"}}, "WhatsApp"),
            ({"provenance": {"kind": "inter_session", "sourceTool": "sessions_send"}}, "another agent"),
            ({"provenance": {"kind": "internal_system", "sourceTool": "cron"}}, "a scheduled task"),
            ({"senderName": "Bob\n"}, "Bob"),
            ({}, ""),
        ],
    )
    def test_with_where_it_was_said(self, meta, origin):
        assert self.texts(asked("Hi", **meta)) == [("user", "Hi", origin)]

    def test_also_as_earlier_releases_wrote_that(self):
        assert self.texts(asked("[Telegram Ada id:1 2026-06-11 09:30] Hi")) == [("user", "Hi", "Telegram")]
        assert self.texts(asked("[Telegraphy] Hi")) == [("user", "[Telegraphy] Hi", "")]

    def test_begins_after_the_last_reset(self):
        found = parsed([asked("old"), was_reset(), asked("new")], complete=False)
        assert [e.text for e in found.entries if e.role == "user"] == ["new"] and found.complete

    @pytest.mark.parametrize(
        "odd",
        [
            *({}, {"role": "user"}, {"role": "user", "content": "x", "__openclaw": 5}),
            {"role": None, "content": None, "__openclaw": {"id": "1"}},
            {"role": "assistant", "content": [None, {"type": "text"}, {"type": "toolCall"}], "__openclaw": {"id": "1"}},
            {"role": "system", "content": "x", "__openclaw": {"id": "1", "kind": "other"}},
            {"role": "toolResult", "content": "x", "__openclaw": {"id": "1"}},
        ],
    )
    def test_or_nothing_where_it_makes_no_sense(self, odd):
        assert parsed([odd, asked("Hi")], complete=True).entries[-1].text == "Hi"
        assert len(parsed([odd], complete=True).entries) == 0

    @pytest.mark.parametrize("moment", [None, "x", -1, 1e300, True])
    def test_a_time_that_is_none_is_left_out(self, moment):
        odd = asked("Hi") | {"timestamp": moment}
        assert parsed([odd], complete=True).entries[0].at is None

    def test_one_that_comes_in_parts_is_one(self):
        parts = [entry("assistant", "a", id="1"), entry("assistant", "b", id="1")]
        assert self.texts(*parts) == [("assistant", "a\nb", "")]

    def test_what_cannot_be_stored_is_gone(self):
        assert self.texts(typed("a\x00b\ud800"))[0][1] == "ab�"


class TestTheFeed:
    def events(self, number):
        async def some():
            client, heard = feed.client(), 0
            try:
                async with asyncio.timeout(10):
                    async for _ in feed.events(client, "webchat-1", "main"):
                        heard += 1
                        if heard == 1:
                            self.gateway.transcripts[KEY].append(answered("News."))
                        if heard == number:
                            break
            finally:
                await client.aclose()
            return heard

        return run(some())

    @pytest.fixture(autouse=True)
    def _gateway(self, gateway):
        self.gateway = gateway

    def test_tells_at_once_and_when_there_is_more(self):
        self.gateway.transcripts[KEY] = [asked("Hello")]
        assert self.events(2) == 2

    def test_ends_with_the_session(self):
        with pytest.raises(feed.Gone):
            self.events(1)

    @pytest.mark.parametrize(
        ("steps", "error"),
        [
            ([status(404, body="Not Found")], NotOffered),
            ([status(403, body={"error": {"message": "missing scope"}})], AuthRefused),
            ([status(200, body={"messages": []})], BadReply),
            ([status(503, body={"error": {"message": "later"}})], Down),
        ],
    )
    def test_says_why_there_is_none(self, steps, error, monkeypatch):
        monkeypatch.setattr(self.gateway, "_history", lambda request: steps)
        with pytest.raises(error):
            self.events(1)

    def test_and_where_nobody_listens(self):
        self.gateway.stop()
        with pytest.raises(Unreachable):
            self.events(1)


def test_the_scripted_gateway_pages_as_the_real_one(gateway):
    gateway.transcripts[KEY] = [asked("a"), asked("b"), asked("c")]
    page = json.loads(json.dumps(gateway._page(KEY, 2)))
    assert [m["content"] for m in page["messages"]] == ["b", "c"] and page["hasMore"] and page["nextCursor"]
