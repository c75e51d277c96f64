"""What was done to a session, in words; and the announcement that an unused one will go."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from chatapp.history import NEWEST
from sessions_core.models import By, Chat, ChatEvent, User

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada(client):
    ada = User.objects.create_user("ada")
    client.force_login(ada)
    return ada


@pytest.fixture
def work(ada):
    return Chat.objects.start(ada, title="Work", persistent=False)


def entries(client, chat):
    page = client.get(f"/chats/{chat.pk}/history/").content.decode()
    found = re.findall(r"</time>(.*?)</li>", page, re.DOTALL)
    return [" ".join(re.sub(r"<[^>]+>", "", entry).split()) for entry in found]


def test_who_did_what_from_where_newest_first(client, ada, work):
    work.rename("Job", By(ada, "slash"))
    work.protect(True, By(User.objects.create_user("bob"), "admin"))
    work.archive(True, By(None, "cli"))
    work.trash(By(None, "retention"))
    work.restore(By(ada, "api"))
    assert entries(client, work) == [
        "You: taken back from the trash, over the API",
        "WebChat, as it was not used: moved to the trash",
        "An operator: archived, on the server",
        "bob: made persistent, in the administration",
        "You: renamed to “Job”, by a command",
        "You: created, in the browser",
    ]


def test_names_are_text_and_an_unknown_entry_breaks_nothing(client, ada, work):
    work.rename("<b>{x}", By(ada))
    ChatEvent.objects.create(chat=work, actor=ada, verb="reset")
    ChatEvent.objects.create(chat=work, verb="something {new}", detail={})
    assert entries(client, work)[:3] == [
        "WebChat: something ?",
        "You: reset: chapter ? began, in the browser",
        "You: renamed to “&lt;b&gt;{x}”, in the browser",
    ]


def test_at_most_so_many_are_shown_and_that_is_said(client, ada, work):
    ChatEvent.objects.bulk_create(ChatEvent(chat=work, verb="pinned") for _ in range(NEWEST))
    assert len(entries(client, work)) == NEWEST
    assert f"newest {NEWEST}" in client.get(f"/chats/{work.pk}/history/").content.decode()


class TestAnnouncement:
    @pytest.fixture(autouse=True)
    def month(self, settings):
        settings.SESSION_TTL_DAYS = 30

    def line(self, client, chat):
        page = client.get(f"/chat/?session={chat.key}").content.decode()
        return re.search(r'<div id="leaving".*?</div>', page, re.DOTALL)[0]

    def unused(self, chat, days):
        Chat.objects.filter(pk=chat.pk).update(last_active_at=timezone.now() - timedelta(days=days))

    def test_it_is_told_in_the_last_week_with_a_way_to_keep_it(self, client, ada, work):
        self.unused(work, 22)
        assert "hidden" in self.line(client, work) and "trash" not in self.line(client, work)
        self.unused(work, 24)
        assert "goes to the trash on" in self.line(client, work)
        client.post(f"/chats/{work.pk}/pin/", {"on": "1"})
        assert "trash" not in self.line(client, work)

    def test_it_goes_away_with_the_next_message(self, client, ada, work):
        self.unused(work, 24)
        answer = client.post(f"/chats/{work.pk}/messages/", {"text": "Hello"}, headers={"HX-Request": "true"})
        assert re.search(r'<div id="leaving"[^>]* hidden>', answer.content.decode())
