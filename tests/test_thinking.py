"""What a model says to itself: kept beside its answer and shown in a fold, never taken for the answer."""

import asyncio
import threading

import pytest
from asgiref.sync import sync_to_async as db

from sessions_core.export import as_data, as_json, as_markdown, load
from sessions_core.gateway import thoughts
from sessions_core.hub import hub
from sessions_core.models import By, Chat, Message
from tests.fake_gateway import completion, delta, done, error, hang, role, usage, wait
from tests.loops import run
from tests.test_gateway_kinds import ask, say
from tests.test_relay import seen, settled, working
from tests.test_sessions import answered

pytestmark = pytest.mark.thorough

THOUGHT = "They greet me & I <b>greet</b> *back*"


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_it_is_collected_beside_the_text(fake_gateway, name):
    steps = [
        say(**{name: "Who "}),
        say(**{name: "is it?\x00", "content": None}),
        say(content="You are ", **{name: "…"}),
    ]
    text, _, reply = ask(fake_gateway, [role(), *steps, delta("Ada."), done()])
    assert (text, str(reply.thinking)) == ("You are Ada.", "Who is it?…")


def test_a_server_that_gives_it_under_both_names_said_it_once(fake_gateway):
    _, _, reply = ask(fake_gateway, [role(), say(reasoning="Hm", reasoning_content="Hm"), delta("Ada."), done()])
    assert str(reply.thinking) == "Hm"


@pytest.mark.parametrize("odd", [7, None, ["Hm"], {"text": "Hm"}, True])
def test_what_is_no_text_is_no_thought(fake_gateway, odd):
    text, _, reply = ask(fake_gateway, [role(), say(content="Ada.", reasoning=odd), done()])
    assert (text, str(reply.thinking)) == ("Ada.", "")


@pytest.mark.parametrize(
    "pieces", [["<think>Who? </thi", "nk>Ada."], list("<think>Who? </think>Ada."), ["<think>Who?</think>\n\nAda."]]
)
def test_a_block_printed_before_the_answer_is_taken_for_it(fake_gateway, pieces):
    text, _, reply = ask(fake_gateway, [role(), *map(delta, pieces), done()])
    assert (text, str(reply.thinking)) == ("Ada.", "Who?")


@pytest.mark.parametrize("pieces", [["<think>Who is Ada?"], list("<think>Who is Ada?")])
def test_a_block_that_never_closes_is_kept_to_its_end(fake_gateway, pieces):
    _, problem, reply = ask(fake_gateway, [role(), *map(delta, pieces), done()])
    assert (problem.code, str(reply.thinking)) == ("empty", "Who is Ada?")


def test_an_answer_that_is_no_stream_has_it_too(fake_gateway):
    message = {"role": "assistant", "content": "Ada.", "reasoning_content": "Who?"}
    whole = completion("", choices=[{"index": 0, "message": message, "finish_reason": "stop"}])
    text, _, reply = ask(fake_gateway, [whole])
    assert (text, str(reply.thinking)) == ("Ada.", "Who?")


@pytest.mark.parametrize("pieces", [["x" * 70] * 20, ["x" * 2000]])
def test_only_so_much_of_it_is_kept(fake_gateway, monkeypatch, pieces):
    monkeypatch.setattr(thoughts, "MOST_KEPT", 1000)
    text, _, reply = ask(fake_gateway, [role(), *(say(reasoning=piece) for piece in pieces), delta("Ada."), done()])
    assert (text, str(reply.thinking)) == ("Ada.", "x" * 1000)


def test_tool_calls_are_neither_text_nor_thought(fake_gateway):
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "exec", "arguments": '{"cmd": "ls"}'}}
    text, _, reply = ask(fake_gateway, [role(), say(tool_calls=[call]), say(content="Ada.", tool_calls=[call]), done()])
    assert (text, str(reply.thinking)) == ("Ada.", "")


class TestKept:
    """Whatever becomes of the reply."""

    pytestmark = pytest.mark.django_db(transaction=True)

    @pytest.fixture
    def chat(self, ada):
        return Chat.objects.start(ada)

    @pytest.mark.parametrize(
        ("rest", "state"),
        [
            ([delta("Hello."), usage(9, 2), done()], "done"),
            ([delta("Hel"), error("no")], "failed"),
            ([done()], "failed"),
        ],
    )
    def test_it_is_stored_when_the_reply_ends(self, chat, fake_gateway, rest, state):
        fake_gateway.script(None, [role(), say(reasoning=THOUGHT), *rest])

        async def scenario():
            async with working(fake_gateway):
                await db(chat.receive)("Hello")
                return await settled(chat)

        reply = run(scenario())
        assert (reply.state, reply.thinking) == (state, THOUGHT)
        assert THOUGHT not in reply.text + reply.html

    def test_also_when_a_person_stops_it(self, chat, fake_gateway):
        fake_gateway.script(None, [role(), say(reasoning=THOUGHT), delta("Hel"), hang()])

        async def scenario():
            async with working(fake_gateway):
                await db(chat.receive)("Hello")
                await seen(chat, "Hel")
                await db(chat.stop)()
                return await settled(chat)

        reply = run(scenario())
        assert (reply.state, reply.text, reply.thinking) == ("stopped", "Hel", THOUGHT)

    def test_open_pages_hear_once_that_it_thinks_and_not_when_there_is_text_already(self, chat, fake_gateway):
        gate, late, heard = threading.Event(), threading.Event(), []
        thought = say(reasoning="Hm")
        fake_gateway.script(None, [role(), thought, thought, wait(gate), delta("one"), thought, done()], 1)
        fake_gateway.script(None, [role(), delta("two"), wait(late), thought, done()], 1)

        async def scenario():
            async with working(fake_gateway):
                hub.subscribe(("chat", chat.pk), heard.append)
                await db(chat.receive)("Hello")
                async with asyncio.timeout(10):
                    while not [event for event in heard if "thinking" in event]:
                        await asyncio.sleep(0.01)
                gate.set()
                await settled(chat)
                await db(chat.receive)("Hello")
                await seen(chat, "two")
                late.set()
                await settled(chat, 2)
            hub.subscribers.clear()

        run(scenario())
        assert [event["type"] for event in heard if "thinking" in event] == ["begun"]


@pytest.mark.django_db
class TestShown:
    @pytest.fixture
    def chat(self, ada):
        chat = Chat.objects.start(ada, title="Work", persistent=False)
        reply = answered(chat, "Hello", "**Hello.**")
        Message.objects.filter(pk=reply.pk).update(thinking=THOUGHT, usage={"total_tokens": 11})
        return chat

    def test_as_plain_text_in_a_closed_fold_above_the_answer(self, client, ada, chat):
        client.force_login(ada)
        page = client.get(f"/chat/?session={chat.key}").content.decode()
        fold = page[page.index('<details class="thinking">') :]
        assert "They greet me &amp; I &lt;b&gt;greet&lt;/b&gt; *back*" in fold[: fold.index("</details>")]
        assert fold.index("</details>") < fold.index("<strong>Hello.</strong>")

    def test_what_has_none_has_no_fold(self, client, ada, chat):
        client.force_login(ada)
        Message.objects.update(thinking="")
        assert 'class="thinking"' not in client.get(f"/chat/?session={chat.key}").content.decode()

    def test_it_is_not_sent_along_nor_told_in_a_document(self, chat):
        chat.receive("Again")
        chat.messages.filter(state="done").update(key_number=0)
        turns = chat.messages.running().get().turns()
        assert [turn["content"] for turn in turns] == ["Hello", "**Hello.**", "Again"]
        assert "greet" not in as_markdown(chat)

    def test_it_goes_into_a_file_and_comes_back(self, chat, bob):
        (copy,) = load(bob, as_json([chat]), By(bob))
        assert [message.thinking for message in copy.messages.order_by("seq")] == ["", THOUGHT]
        assert ["thinking" in message for message in as_data([copy])["chats"][0]["messages"]] == [False, True]

    def test_a_fork_keeps_it(self, chat, ada):
        fork = chat.fork(By(ada))
        assert fork.messages.replies().get().thinking == THOUGHT

    def test_status_tells_the_tokens_of_the_last_reply_and_of_the_chapter(self, chat, ada):
        second = answered(chat, "Again", "Yes.")
        Message.objects.filter(pk=second.pk).update(usage={"total_tokens": 1200})
        asked = chat.receive("/session status")
        told = Message.objects.get(role="notice", parent=asked).text
        assert "Tokens: 1,211 in this chapter, 1,200 of them for the last reply" in told
        chat.reset(By(ada))
        assert "Tokens" not in Message.objects.get(role="notice", parent=chat.receive("/status")).text
