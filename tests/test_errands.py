"""What the relay does on the gateway that nobody waits for, against the scripted gateway."""

import asyncio
from datetime import timedelta

import pytest
from django.utils import timezone

from sessions_core.doctor import openclaw
from sessions_core.models import By, Chat, Leftover
from sessions_core.models.leftover import MOST_FAILURES
from sessions_core.relay.errands import AT_ONCE, Errands
from sessions_core.relay.tasks import close_connection
from tests.fake_gateway import TOOLS, tool_refused
from tests.loops import run

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.thorough]
BY = By(None, "cli")


@pytest.fixture
def gateway(fake_gateway, settings):
    settings.OPENCLAW_GATEWAY_URL = fake_gateway.url
    settings.OPENCLAW_GATEWAY_TOKEN = fake_gateway.token
    return fake_gateway


@pytest.fixture
def errands():
    errands = Errands()
    yield errands
    errands.thread.end()


def answered(chat, text="Hello"):
    message = chat.receive(text)
    message.versions.get().settle("done", text="Yes.")
    return message


def gone(chat):
    chat.trash(BY)
    chat.purge(BY)


def left():
    return sorted(Leftover.objects.values_list("key", flat=True))


# --- what is left of a chat


def test_every_memory_that_was_asked_for_something_is_left(gateway, ada):
    chat = Chat.objects.start(ada)
    answered(chat)
    chat.reset(BY)
    answered(chat)
    chat.regenerate(chat.messages.replies().last())
    chat.stop()
    key = chat.key
    gone(chat)
    assert left() == [key, f"{key}-c2", f"{key}-c3"]


def test_of_a_chat_in_the_trash_nothing_is_left_yet(gateway, ada):
    chat = Chat.objects.start(ada)
    answered(chat)
    chat.trash(BY)
    assert left() == []


def test_what_was_carried_over_is_the_other_chats_memory(gateway, ada):
    source = Chat.objects.start(ada)
    answered(source)
    gone(source.fork(BY))
    assert left() == []


def test_a_session_that_is_not_ours_alone_stays_on_the_gateway(gateway, ada, django_user_model):
    adopted = Chat.objects.create(owner=ada, agent="main", openclaw_session_key="agent:main:telegram:direct:1")
    main = Chat.objects.create(owner=ada, agent="main")
    ada.is_superuser = True
    ada.save()
    for chat in (adopted, Chat.objects.get(pk=main.pk)):
        answered(chat)
        gone(chat)
    assert left() == []


@pytest.mark.parametrize("changed", [{"OPENCLAW_GATEWAY_URL": ""}, {"GATEWAY_KIND": "openai"}])
def test_where_no_gateway_keeps_sessions_nothing_is_left(gateway, ada, settings, changed):
    chat = Chat.objects.start(ada)
    answered(chat)
    for name, value in changed.items():
        setattr(settings, name, value)
    gone(chat)
    assert left() == []


# --- and is deleted


def test_the_gateway_forgets_it_archived_or_not_and_nothing_else(gateway, errands):
    for key in ("webchat-1", "webchat-1-c2", "webchat-2"):
        gateway.sessions.add(f"agent:main:{key}", archived=key == "webchat-1-c2")
    for key in ("webchat-1", "webchat-1-c2", "webchat-unknown"):
        Leftover.objects.create(key=key, agent="main")
    errands.forget()
    assert list(gateway.sessions.rows) == ["agent:main:webchat-2"]
    assert left() == []


def test_one_that_the_gateway_has_and_does_not_list_is_not_taken_for_deleted(gateway, errands):
    whole = "agent:main:webchat-1"
    gateway.sessions.add(whole)
    gateway.sessions.told[whole] = [("user", "Hello")]
    gateway.sessions.unseen = {whole}
    Leftover.objects.create(key="webchat-1", agent="main")
    errands.forget()
    assert Leftover.objects.get().failures == 1 and whole in gateway.sessions.rows
    found = openclaw.forgets([("webchat-1", "main")])
    assert found.state == "bad" and "a newer OpenClaw" in found.remedy


def test_it_is_found_on_whatever_page_it_is_listed(gateway, errands):
    gateway.sessions.page = 2
    for number in range(2, 9):
        gateway.sessions.add(f"agent:main:webchat-1-c{number}")
    gateway.sessions.add("agent:main:webchat-1")
    Leftover.objects.create(key="webchat-1", agent="main")
    errands.forget()
    assert "agent:main:webchat-1" not in gateway.sessions.rows and len(gateway.sessions.rows) == 7


def test_it_is_asked_of_the_agent_that_had_it(gateway, errands):
    gateway.sessions.add("agent:work:webchat-1")
    Leftover.objects.create(key="webchat-1", agent="work")
    errands.forget()
    assert gateway.sessions.rows == {}
    assert {call["agentId"] for call in gateway.tool_calls} == {"work"}


def test_a_few_are_taken_at_a_time(gateway, errands):
    Leftover.objects.bulk_create(Leftover(key=f"webchat-{n}", agent="main") for n in range(AT_ONCE + 2))
    errands.forget()
    assert Leftover.objects.count() == 2


def test_what_one_relay_has_taken_no_other_takes(gateway):
    Leftover.objects.create(key="webchat-1", agent="main")
    found = Leftover.objects.all()
    assert [one.key for one in Leftover.objects.take(5)] == ["webchat-1"]
    assert Leftover.objects.take(5) == [] and found.count() == 1


def test_what_fails_is_tried_again_later_and_later(gateway, errands):
    gateway.sessions.add("agent:main:webchat-1")
    Leftover.objects.create(key="webchat-1", agent="main")
    pauses = []
    gateway.instead[TOOLS] = [tool_refused(500, "no")]
    for _ in range(3):
        errands.forget()
        pauses.append((Leftover.objects.get().not_before - timezone.now()).total_seconds())
        Leftover.objects.update(not_before=timezone.now() - timedelta(seconds=1))
    assert Leftover.objects.get().failures == 3
    assert [round(pause / 60) for pause in pauses] == [1, 2, 4]
    del gateway.instead[TOOLS]
    errands.forget()
    assert left() == [] and gateway.sessions.rows == {}


def test_after_a_week_it_is_given_up_and_the_log_says_which(gateway, errands, caplog):
    gateway.instead[TOOLS] = [tool_refused(403, "not visible from here")]
    Leftover.objects.create(key="webchat-1", agent="main", failures=MOST_FAILURES - 1)
    errands.forget()
    assert left() == []
    assert "webchat-1" in caplog.text and "not visible from here" in caplog.text


def test_a_relay_does_it_by_itself(gateway, errands, monkeypatch):
    monkeypatch.setattr("sessions_core.relay.errands.PAUSE", 0.01)
    gateway.sessions.add("agent:main:webchat-1")
    Leftover.objects.create(key="webchat-1", agent="main")

    async def scenario():
        working = asyncio.create_task(errands.run_for_ever())
        async with asyncio.timeout(10):
            while gateway.sessions.rows:
                await asyncio.sleep(0.01)
        errands.over = True
        await working
        await errands.thread.run(close_connection)

    run(scenario())
    assert left() == []


# --- labels


@pytest.fixture
def labels(gateway, settings):
    settings.GATEWAY_LABELS = True
    return lambda: {key.split(":", 2)[2]: row.get("label") for key, row in gateway.sessions.rows.items()}


def test_an_answered_chat_is_labelled_as_it_is_called(labels, errands, ada):
    chat = Chat.objects.start(ada, title="Holiday")
    answered(chat)
    errands.answered(chat.pk)
    errands.label()
    assert labels() == {chat.key: "Holiday"}


def test_a_renamed_one_too_wherever_that_was(labels, errands, ada, gateway):
    chat = Chat.objects.start(ada, title="Holiday")
    answered(chat)
    errands.label()
    chat.rename("Norway", BY)
    errands.label()
    assert labels() == {chat.key: "Norway"}
    before = len(gateway.tool_calls)
    errands.answered(chat.pk)
    errands.label()
    assert len(gateway.tool_calls) == before, "it is called that already"


def test_one_that_was_never_answered_is_not_made_on_the_gateway(labels, errands, ada):
    errands.label()
    Chat.objects.start(ada, title="Holiday").rename("Norway", BY)
    errands.label()
    assert labels() == {}


def test_a_label_that_is_taken_there_gets_a_number_or_a_part_of_the_key(labels, errands, ada, gateway, caplog):
    caplog.set_level("INFO")
    for number, taken in enumerate(["Holiday", "Work", "Work (2)", "Work (3)"]):
        gateway.sessions.add(f"agent:main:irc:{number}", label=taken)
    chats = [Chat.objects.start(ada, title=title) for title in ("Holiday", "Work")]
    for chat in chats:
        answered(chat)
        errands.answered(chat.pk)
    errands.label()
    assert [labels().get(chat.key) for chat in chats] == ["Holiday (2)", f"Work ({chats[1].pk.hex[:6]})"]
    assert "Work" not in caplog.text, "a title may be the beginning of a message"


def test_without_the_setting_nothing_is_labelled(gateway, errands, ada):
    chat = Chat.objects.start(ada, title="Holiday")
    answered(chat)
    errands.answered(chat.pk)
    errands.label()
    assert gateway.tool_calls == []


def test_the_main_session_and_what_is_called_there_stays_so(labels, errands, ada, gateway):
    ada.is_superuser = True
    ada.save()
    main = Chat.objects.create(owner=ada, agent="main", title="My own")
    adopted = Chat.objects.create(owner=ada, agent="main", openclaw_session_key="agent:main:irc:1", title="derived")
    for chat in (main, adopted):
        answered(Chat.objects.get(pk=chat.pk))
        errands.answered(chat.pk)
    errands.label()
    assert labels() == {}
    adopted = Chat.objects.get(pk=adopted.pk)
    adopted.rename("Family", BY)
    errands.label()
    assert labels() == {"irc:1": "Family"}


def test_a_gateway_that_does_not_label_is_left_in_peace(labels, errands, ada, gateway):
    gateway.instead[TOOLS] = [tool_refused(404, "Tool not available")]
    chat = Chat.objects.start(ada, title="Holiday")
    answered(chat)
    errands.answered(chat.pk)
    errands.label()
    errands.label()
    assert len(gateway.tool_calls) == 1
