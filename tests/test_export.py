"""Chats as a file and back: nothing lost, nothing half done, nothing that a file can break."""

import html as entities
import json
from datetime import UTC, datetime

import orjson
import pytest
from comrak import render_markdown
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sessions_core import errors
from sessions_core.export import as_data, as_json, as_markdown, load, reading
from sessions_core.models import By, Chat, ChatEvent, Message, PastTitle, User
from sessions_core.text import clean_text
from tests.test_session_verbs import allow_main
from tests.test_sessions import answered, sent_for
from tests.test_text import TEXTS

pytestmark = [pytest.mark.django_db, pytest.mark.thorough]
PAST = datetime(2026, 3, 4, 5, 6, 7, 89, tzinfo=UTC)


@pytest.fixture(autouse=True)
def as_often_as_one_likes(settings):
    settings.SESSION_CREATE_RATE = []


@pytest.fixture
def by(bob):
    return By(bob)


@pytest.fixture
def work(ada):
    """A chat with a bit of everything."""
    chat = Chat.objects.start(ada, title="Work", persistent=False)
    answered(chat, "My train leaves at 7:42", "**Noted.**")
    chat.rename("Job", By(ada))
    chat.reset(By(ada))
    failed = chat.receive("And back?").versions.get()
    failed.settle("failed", code="busy", error="It is busy.", usage={"total_tokens": 3})
    chat.notice("A notice", {"offer": "new-chat"})
    chat.retry(failed).settle("done")
    chat.pin(True, By(ada))
    chat.protect(True, By(ada))
    chat.archive(True, By(ada))
    chat.keep_draft("Half a thought")
    return Chat.objects.get(pk=chat.pk)


def told(chats):
    """What a file says, but for the keys."""
    return [{name: value for name, value in chat.items() if name != "key"} for chat in as_data(chats)["chats"]]


class TestThereAndBack:
    def test_nothing_is_lost(self, work, bob, by):
        (copy,) = load(bob, as_json([work]), by)
        assert told([copy]) == told([work])
        assert (copy.owner, copy.persistent, copy.user_created) == (bob, True, True)
        assert Chat.objects.for_user(bob).called("work") == copy

    def test_the_keys_are_new_and_nothing_of_the_file_chooses_them(self, work, bob, by):
        (copy,) = load(bob, as_json([work]), by)
        assert copy.key == f"webchat-{copy.pk}" != work.key
        assert copy.key_number == 1
        assert not {m.pk for m in copy.messages.all()} & {m.pk for m in work.messages.all()}

    def test_what_was_said_in_the_present_chapter_goes_along_with_the_first_turn(self, work, bob, by):
        (copy,) = load(bob, as_json([work]), by)
        copy.receive("Go on")
        assert sent_for(copy) == (copy.key, ["And back?", "Go on"])

    def test_nothing_is_unread_and_the_history_says_where_it_is_from(self, work, bob, by):
        (copy,) = load(bob, as_json([work]), by)
        assert ChatEvent.objects.get(chat=copy).verb == "imported"
        copy.archive(False, by)
        assert not Chat.objects.for_user(bob).listed().get().unread
        assert copy.read_seq == copy.last_seq() == copy.messages.count()
        assert User.objects.get(pk=bob.pk).rev > 0

    def test_replies_are_rendered_when_they_are_shown(self, work, bob, by, client):
        (copy,) = load(bob, as_json([work]), by)
        client.force_login(bob)
        assert "<strong>Noted.</strong>" in client.get(f"/chat/?session={copy.key}").content.decode()

    def test_what_was_being_written_is_interrupted_and_what_waited_is_held(self, ada, bob, by):
        chat = Chat.objects.start(ada)
        chat.receive("One")
        chat.receive("Two")
        reply = Message.objects.claim("p", 1)[0]
        reply.deltas.create(seq=1, text="half an ans")
        (copy,) = load(bob, as_json([chat]), by)
        states = copy.messages.order_by("created_at", "pk").values_list("role", "state", "text", "seq")
        assert set(states) == {
            ("user", "sent", "One", 1),
            ("assistant", "interrupted", "half an ans", 2),
            ("user", "held", "Two", None),
        }
        assert "exported" in copy.messages.replies().get().error_text
        assert not Message.objects.filter(chat=copy).running().exists()

    def test_places_with_holes_are_counted_anew(self, work, bob, by):
        work.messages.filter(role="notice").delete()
        (copy,) = load(bob, as_json([work]), by)
        assert list(copy.messages.shown().values_list("seq", flat=True)) == [*range(1, work.messages.count() + 1)]

    def test_a_name_that_is_taken_becomes_another(self, work, ada):
        (copy,) = load(ada, as_json([work]), By(ada))
        assert copy.title == "Job (2)"
        twice = load(ada, as_json([work, copy]), By(ada))
        assert [chat.title for chat in twice] == ["Job (3)", "Job (2) (2)"]

    def test_the_main_session_comes_back_as_a_chat_like_others(self, ada, bob, by):
        main = Chat.objects.main_of(allow_main(ada), By(ada))
        answered(main, "Hello")
        (copy,) = load(bob, as_json([main]), by)
        assert (copy.name, copy.is_main, copy.messages.count()) == ("Main session", False, 2)

    def test_an_agent_that_this_gateway_does_not_have_becomes_the_usual_one(self, work, bob, by):
        Chat.objects.filter(pk=work.pk).update(agent="researcher")
        (copy,) = load(bob, as_json(Chat.objects.filter(pk=work.pk)), by)
        assert copy.agent == "main"

    def test_a_command_and_its_notice_stay_together(self, ada, bob, by):
        chat = Chat.objects.start(ada, title="Work")
        asked = Message(role="user", text="/help")
        with chat.changing():
            chat._place(asked, "sent")
            chat._place(Message(role="notice", parent=asked, text="These are all."), "sent")
        (copy,) = load(bob, as_json([chat]), by)
        assert copy.messages.get(role="notice").parent.text == "/help"


states = st.sampled_from(["done", "stopped", "failed", "interrupted"])
turns = st.lists(st.tuples(TEXTS, st.lists(st.tuples(TEXTS, states), max_size=2)), max_size=3)
more = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))


@more
@given(title=TEXTS, old=TEXTS, draft=TEXTS, chosen=st.booleans(), turns=turns, chapter=st.integers(1, 3))
def test_any_chat_comes_back_as_it_was(db, title, old, draft, chosen, turns, chapter):
    ada, bob = (User.objects.get_or_create(username=name)[0] for name in ("ada", "bob"))
    Chat.objects.all().delete()
    chat = Chat.objects.start(ada)
    try:
        if chosen:
            chat.rename(old, By(ada))
            chat.rename(title, By(ada))
        else:
            chat._title_from(clean_text(title) or "x")
    except errors.BadName:
        pass
    chat.keep_draft(draft)
    Chat.objects.filter(pk=chat.pk).update(chapter=chapter, created_at=PAST)
    chat.refresh_from_db()
    for text, replies in turns:
        try:
            question = chat.receive(text)
        except errors.EmptyMessage:
            continue
        for answer, state in replies:
            for running in chat.messages.running():
                running.settle(state)
                Message.objects.filter(pk=running.pk).update(text=clean_text(answer))
                break
            else:
                chat._ask(question, instead_of=question.versions.current().replies().get())
        for running in chat.messages.running():
            running.settle("done")
    (copy,) = load(bob, as_json([chat]), By(bob))
    assert told([copy]) == told([chat])


# --- files that are none, or wrong


def tampered(chat, change):
    data = as_data([chat])
    change(data)
    return json.dumps(data).encode()


def message(data, number=1):
    return data["chats"][0]["messages"][number - 1]


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"   ", b"hello", b"[]", b"null", b"42", b"\x89PNG\r\n\x1a\n", b"PK\x03\x04", b"{}", b'{"format": "x"}'),
        *(b"\xff\xfe{\x00}\x00", b'"openclaw-webchat"', b'{"format": ["openclaw-webchat"]}', b"\xef\xbb\xbf"),
    ],
)
def test_what_is_no_export_is_told_so(bob, by, data):
    with pytest.raises(errors.BadImport, match="This is no export of this app"):
        load(bob, data, by)


@pytest.mark.parametrize(
    "value",
    [
        *(b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000, b"9" * 5000, b"1e999", b"NaN", b"Infinity", b"-Infinity"),
        *(b'{"a": 1, "a": 2}', b'"\\ud800"', b'"\xff"', b'"\xc0\x80"', b'"\xed\xa0\x80"', b"1,", b"'x'", b'"\x00"'),
    ],
)
def test_what_no_json_may_hold_is_refused(bob, by, value):
    data = b'{"format": "openclaw-webchat", "version": 1, "chats": [], "more": %s}' % value
    with pytest.raises(errors.BadImport, match="damaged"):
        load(bob, data, by)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: message(d, 3).pop("role"), "Message 3 of “Job” has no role."),
        (lambda d: message(d, 3).update(role="system"), "Message 3 of “Job”: its role cannot be “system” here."),
        (lambda d: message(d, 2).update(state="held"), "Message 2 of “Job”: its state cannot be “held” here."),
        (lambda d: message(d, 2).update(answers=3), "message 3 is no question before it"),
        (lambda d: message(d, 2).update(answers=-1), "no question before it"),
        (lambda d: message(d, 4).update(answers=2), "no question before it"),
        (lambda d: message(d, 1).update(answers=1), "no question before it"),
        (lambda d: message(d).update(text=" \n"), "Message 1 of “Job”: The message is empty."),
        (lambda d: message(d).update(text="x" * 100_001), "Message 1 of “Job”: The message has 100,001 characters"),
        (lambda d: message(d, 2).update(text="x" * 2_000_001), "2,000,000 is the most"),
        (lambda d: message(d).update(chapter=9), "its chapter is not from 1 to 2."),
        (lambda d: message(d).update(version=2**40), "its version is not from 1 to 100,000."),
        (lambda d: message(d).update(version=2**80), "its version is not a whole number."),
        (lambda d: message(d).update(created_at="yesterday"), "its created_at is no time such as"),
        (lambda d: message(d).update(created_at="2026-01-01T00:00:00"), "its created_at is no time such as"),
        (lambda d: message(d).update(created_at="0001-01-01T00:00:00+14:00"), "its created_at is no time such as"),
        (lambda d: message(d).update(parts=[[[[[[[]]]]]]]), "its parts is nested too deep"),
        (lambda d: message(d).update(parts=[2**60]), "a number that is too large"),
        (lambda d: message(d).update(parts=["x" * 30_000]), "its parts is too long"),
        (lambda d: message(d).update(error={"code": "x" * 41, "text": ""}), "its error: its code has 41 characters"),
        (lambda d: d["chats"].append(7), "Session 2 is not an object."),
        (lambda d: d["chats"].clear(), "There are no sessions in this file."),
        (lambda d: d.update(version=2), "newer version of this app"),
        (lambda d: d["chats"][0].pop("chosen"), "Session 1 has no chosen."),
        (lambda d: d["chats"][0].update(title="main"), "Session 1: “main” is reserved."),
        (lambda d: d["chats"][0].update(title="x" * 101), "Session 1: The name is 101 characters long"),
        (lambda d: d["chats"][0].update(title="", chosen=False), "Session 1 is persistent but has no name."),
        (lambda d: d["chats"][0].update(old_names=[3]), "its old_names are not"),
        (lambda d: d["chats"][0].update(draft="x" * 100_001), "its draft has 100,001 characters"),
        (lambda d: d["chats"].extend(d["chats"] * 200), "The file has 201 sessions; 200 is the most."),
    ],
)
def test_what_is_wrong_is_said_and_where(work, bob, by, change, words):
    with pytest.raises(errors.BadImport) as refusal:
        load(bob, tampered(work, change), by)
    assert words in str(refusal.value)
    assert not Chat.objects.for_user(bob).exists()


def places(value, path=()):
    """Every place in a file, as the way to it."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in inner:
        yield from places(item, (*path, name))


ODD = [None, True, 0, -1, 1.5, 10**18, 1e300, "", "x", "\u202e\x00\x1b[31m", "x" * 200_000, [], [[]], {}, {"a": [None]}]


def test_any_odd_value_anywhere_is_taken_whole_or_refused_in_words(work, bob, by):
    whole = as_data([work])
    del whole["chats"][0]["messages"][3:]
    for path in list(places(whole))[1:]:
        for odd in ODD:
            data = orjson.loads(orjson.dumps(whole))
            inner = data
            for name in path[:-1]:
                inner = inner[name]
            inner[path[-1]] = odd
            try:
                chats = load(bob, orjson.dumps(data), by)
            except errors.BadImport as refusal:
                assert "\x1b" not in str(refusal) and len(str(refusal)) < 300
                assert not Chat.objects.for_user(bob).exists()
            else:
                as_json(chats), [as_markdown(chat) for chat in chats]
                Chat.objects.filter(owner=bob).delete()


def test_text_and_names_are_cleaned_as_everywhere(work, bob, by):
    def dirty(data):
        data["chats"][0].update(title="J\u202eo\x00b\n2", old_names=["Wo\x1brk\n"], draft="a\x00b\r\n")
        message(data).update(text="a\x1b[31m\r\nb")

    (copy,) = load(bob, tampered(work, dirty), by)
    assert (copy.title, copy.draft) == ("Job 2", "ab\n")
    assert copy.messages.get(seq=1).text == "a[31m\nb"
    assert PastTitle.objects.get(chat=copy).title_key == "work"


def test_a_time_to_come_is_now(work, bob, by):
    (copy,) = load(bob, tampered(work, lambda d: d["chats"][0].update(last_active_at="2999-01-01T00:00:00Z")), by)
    assert copy.last_active_at <= datetime.now(UTC)


class TestNothingHalf:
    def test_no_room_for_all_names_is_no_room_for_any(self, work, ada, bob, by, settings):
        settings.SESSION_MAX_PER_USER = 2
        chats = [work, *(Chat.objects.start(ada, title="Second") for _ in range(1))]
        Chat.objects.start(bob, title="Mine")
        with pytest.raises(errors.NoRoomForNames):
            load(bob, as_json(chats), by)
        assert Chat.objects.for_user(bob).count() == 1
        assert Message.objects.filter(chat__owner=bob).count() == 0

    def test_one_bad_message_at_the_end_and_nothing_is_there(self, work, bob, by):
        with pytest.raises(errors.BadImport):
            load(bob, tampered(work, lambda d: d["chats"][0]["messages"].append({})), by)
        assert not Chat.objects.for_user(bob).exists()

    def test_a_name_taken_in_the_same_moment_is_a_sentence(self, work, bob, by, monkeypatch):
        Chat.objects.start(bob, title="Job")
        monkeypatch.setattr(reading, "free_name", lambda wanted, taken: wanted)
        with pytest.raises(errors.BadImport, match="at the same moment"):
            load(bob, as_json([work]), by)

    def test_the_file_and_its_messages_are_limited(self, work, bob, by, monkeypatch):
        data = as_json([work])
        monkeypatch.setattr(reading, "MOST_MESSAGES", 5)
        with pytest.raises(errors.BadImport, match="has 6 messages; 5 is the most"):
            load(bob, data, by)
        monkeypatch.setattr(reading, "LARGEST", 100)
        with pytest.raises(errors.BadImport, match="larger than"):
            load(bob, data, by)

    def test_the_messages_of_all_chats_together_are_limited(self, work, bob, by, monkeypatch):
        monkeypatch.setattr(reading, "MOST_MESSAGES", 10)
        with pytest.raises(errors.BadImport, match="more than 10 messages"):
            load(bob, as_json([work, work]), by)


# --- to read


class TestMarkdown:
    def test_it_tells_who_said_what_by_chapters(self, work):
        document = as_markdown(work)
        assert document.startswith("# Job\n\n*Begun on ")
        for part in ("## Chapter 1\n\n**ada** · ", "> My train leaves at 7:42\n", "**main** · ", "\n\n**Noted.**\n\n"):
            assert part in document
        assert document.index("## Chapter 1") < document.index("Noted.") < document.index("## Chapter 2")
        assert "\n\n*A notice*\n" in document

    def test_a_single_chapter_needs_no_heading_and_a_failure_is_told(self, ada):
        chat = Chat.objects.start(ada, title="Work")
        chat.receive("Hello").versions.get().settle("failed", error="It *broke*.")
        assert "##" not in as_markdown(chat)
        assert "*Failed: It \\*broke\\*.*" in as_markdown(chat)

    def test_an_answer_that_was_cut_short_says_so(self, ada):
        chat = Chat.objects.start(ada, title="Work")
        chat.receive("Hello").versions.get().settle("done", text="Half", code="length_limit", error="It was cut short.")
        assert as_markdown(chat).endswith("Half\n\n*It was cut short.*\n")

    @pytest.mark.parametrize(
        "name", ["# x", "x](http://e) [", "`code", "<!-- x", "**b", "| a | b |", "<script>", "x #"]
    )
    def test_a_name_stays_a_name(self, ada, name):
        ada.username = name
        ada.save()
        chat = Chat.objects.start(ada, title=name)
        answered(chat, "Hello", "Yes.")
        html = render_markdown(as_markdown(chat))
        heading = html[html.index("<h1>") + 4 : html.index("</h1>")]
        assert entities.unescape(heading) == name
        assert f"<strong>{entities.escape(name)}</strong>" in html.replace("&#x27;", "'")
        assert html.count("<h1>") == 1 and "<a " not in html and "<code>" not in html

    @pytest.mark.parametrize(
        "text",
        ["```\nnever closed", "~~~~\na\n~~~", "- a\n  ```\n  b", "<!-- never closed", "text\n<script>", "<pre>\nx"],
    )
    @pytest.mark.parametrize("who", ["person", "agent"])
    def test_what_a_message_leaves_open_swallows_nothing(self, ada, text, who):
        chat = Chat.objects.start(ada, title="Work")
        answered(chat, text if who == "person" else "Hello", text if who == "agent" else "Yes.")
        answered(chat, "The end", "Indeed.")
        html = render_markdown(as_markdown(chat))
        assert "<p>Indeed.</p>" in html


def test_an_import_is_as_old_as_the_file_says(work, bob, by):
    (copy,) = load(bob, tampered(work, lambda d: d["chats"][0].update(last_active_at=PAST.isoformat())), by)
    assert Chat.objects.get(pk=copy.pk).last_active_at == PAST
