"""What nobody uses: announced, to the trash, gone for good; and whatever is used meanwhile stays."""

import asyncio
import threading
from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.utils import timezone

from sessions_core import retention
from sessions_core.models import By, Chat, ChatEvent, Message, Throttle, User
from sessions_core.relay import tidying
from sessions_core.retention import ANNOUNCED, database_time, goes_at, prune
from tests.loops import run
from tests.test_relay import working
from tests.test_session_verbs import allow_main
from tests.test_sessions import answered

pytestmark = [pytest.mark.django_db, pytest.mark.thorough]

NOW = timezone.now()
WEEK = timedelta(days=7)


def days(number):
    return timedelta(days=number)


@pytest.fixture(autouse=True)
def after_a_month(settings):
    settings.SESSION_TTL_DAYS, settings.SESSION_TTL_PERSISTENT_DAYS, settings.SESSION_TRASH_DAYS = 30, 0, 10


@pytest.fixture
def ada():
    return User.objects.create_user("ada")


@pytest.fixture
def by(ada):
    return By(ada)


def chat_of(owner, unused=0, **fields):
    """A chat that was last used so many days before NOW."""
    chat = Chat.objects.start(owner)
    Chat.objects.filter(pk=chat.pk).update(last_active_at=NOW - days(unused), **fields)
    return now(chat)


def now(chat):
    return Chat.objects.get(pk=chat.pk)


def there(chat):
    return Chat.objects.filter(pk=chat.pk, deleted_at=None).exists()


class TestAnnounced:
    def test_what_is_used_too_long_ago_goes_a_week_after_the_first_look_and_not_at_once(self, ada):
        chat = chat_of(ada, unused=400)
        assert not prune(now=NOW).trashed
        assert not prune(now=NOW + WEEK - timedelta(minutes=1)).trashed
        assert [gone.pk for gone in prune(now=NOW + WEEK).trashed] == [chat.pk]
        event = ChatEvent.objects.get(chat=chat, verb="deleted")
        assert (event.actor, event.source) == (None, "retention")

    def test_looked_at_daily_it_goes_on_the_day_it_was_said_to(self, ada):
        chat = chat_of(ada)
        for day in range(31):
            said = goes_at(now(chat)) if day else None
            prune(now=NOW + days(day))
            assert there(chat) == (day < 30)
        assert said == NOW + days(30)

    def test_using_it_makes_it_stay_and_it_is_announced_anew(self, ada):
        chat = chat_of(ada, unused=29)
        prune(now=NOW)
        Chat.objects.filter(pk=chat.pk).update(last_active_at=NOW + days(3))
        prune(now=NOW + days(50))
        assert there(chat) and now(chat).announced_at == NOW + days(50)
        prune(now=NOW + days(57))
        assert not there(chat)

    def test_an_announcement_ends_with_the_setting_and_does_not_count_when_it_comes_back(self, ada, settings):
        chat = chat_of(ada, unused=60)
        prune(now=NOW)
        settings.SESSION_TTL_DAYS = 0
        prune(now=NOW + days(1))
        assert now(chat).announced_at is None
        settings.SESSION_TTL_DAYS = 30
        prune(now=NOW + days(100))
        assert there(chat)

    def test_restored_it_has_another_week(self, ada, by):
        chat = chat_of(ada, unused=60)
        prune(now=NOW)
        prune(now=NOW + WEEK)
        now(chat).restore(by)
        prune(now=NOW + WEEK + days(1))
        assert there(chat)

    def test_a_time_shorter_than_a_week_is_announced_for_a_week_all_the_same(self, ada, settings):
        settings.SESSION_TTL_DAYS = 1
        chat = chat_of(ada, unused=2)
        for day in range(7):
            prune(now=NOW + days(day))
        assert there(chat)
        prune(now=NOW + WEEK)
        assert not there(chat)


class TestWhatStays:
    @pytest.mark.parametrize("fields", [{"pinned": True}, {"persistent": True, "title": "Work"}])
    def test_pinned_and_protected(self, ada, fields):
        chat = chat_of(ada, unused=400, **fields)
        prune(now=NOW)
        prune(now=NOW + days(100))
        assert there(chat) and goes_at(chat) is None

    def test_protected_ones_have_a_time_of_their_own(self, ada, settings):
        settings.SESSION_TTL_DAYS, settings.SESSION_TTL_PERSISTENT_DAYS = 0, 300
        plain, kept = chat_of(ada, unused=400), chat_of(ada, unused=400, persistent=True, title="Work")
        prune(now=NOW)
        prune(now=NOW + WEEK)
        assert there(plain) and not there(kept)

    def test_main_and_everything_where_nothing_is_set(self, ada, by, settings):
        main = Chat.objects.main_of(allow_main(ada), by)
        Chat.objects.update(last_active_at=NOW - days(400))
        prune(now=NOW)
        prune(now=NOW + WEEK)
        assert there(main) and goes_at(now(main)) is None
        settings.SESSION_TTL_DAYS = 0
        assert goes_at(chat_of(ada, unused=400)) is None

    @pytest.mark.parametrize(
        "meanwhile",
        [
            lambda chat: chat.receive("Hello"),
            lambda chat: chat.pin(True, By(None)),
            lambda chat: chat.trash(By(None)),
            lambda chat: chat.delete(),
        ],
    )
    def test_what_is_used_between_look_and_act(self, ada, monkeypatch, meanwhile):
        first, second = sorted((chat_of(ada, unused=60) for _ in range(2)), key=lambda chat: chat.pk)
        prune(now=NOW)
        real = Chat.trash

        def trash(chat, by):
            monkeypatch.setattr(Chat, "trash", real)
            meanwhile(now(second))
            real(chat, by)

        monkeypatch.setattr(Chat, "trash", trash)
        assert [chat.pk for chat in prune(now=NOW + WEEK).trashed] == [first.pk]
        assert not ChatEvent.objects.filter(chat=second, source="retention").exists()

    def test_a_chat_restored_between_look_and_act_is_not_deleted_for_good(self, ada, monkeypatch):
        fields = {"deleted_at": NOW - days(20)}
        first, second = sorted((chat_of(ada, **fields) for _ in range(2)), key=lambda chat: chat.pk)
        real = Chat.purge

        def purge(chat, by):
            monkeypatch.setattr(Chat, "purge", real)
            now(second).restore(By(ada))
            real(chat, by)

        monkeypatch.setattr(Chat, "purge", purge)
        prune(now=NOW)
        assert there(second) and not Chat.objects.filter(pk=first.pk).exists()

    @pytest.mark.parametrize("fields", [{}, {"deleted_at": NOW - days(20)}])
    def test_what_a_reply_is_written_in(self, ada, fields):
        chat = chat_of(ada)
        chat.receive("Hello")
        Message.objects.claim("p", 1)
        Chat.objects.filter(pk=chat.pk).update(last_active_at=NOW - days(60), announced_at=NOW - days(8), **fields)
        pruned = prune(now=NOW)
        assert not pruned.trashed and not pruned.purged
        assert chat.messages.running().exists()


class TestForGood:
    def test_after_its_days_in_the_trash_nothing_is_left_but_that_it_was(self, ada, by):
        chat = chat_of(ada)
        answered(chat)
        chat.rename("Work", by)
        chat.rename("Job", by)
        fork = chat.fork(by)
        chat.trash(by)
        Chat.objects.filter(pk=chat.pk).update(deleted_at=NOW)
        assert not prune(now=NOW + days(9)).purged
        assert [gone.key for gone in prune(now=NOW + days(10)).purged] == [chat.key]
        assert not Chat.objects.filter(pk=chat.pk).exists()
        assert not Message.objects.filter(chat_id=chat.pk).exists()
        assert fork.messages.said().count() == 2
        event = ChatEvent.objects.get(verb="deleted for good")
        assert (event.chat, event.source, event.detail["key"]) == (None, "retention", chat.key)

    def test_never_where_that_is_set(self, ada, settings):
        settings.SESSION_TRASH_DAYS = 0
        chat_of(ada, deleted_at=NOW - days(9999))
        assert not prune(now=NOW).purged

    def test_purging_is_for_the_trash_only(self, ada, by):
        chat = chat_of(ada)
        with pytest.raises(Chat.DoesNotExist):
            chat.purge(by)
        assert there(chat)

    def test_more_than_a_portion_goes_too(self, ada, monkeypatch):
        monkeypatch.setattr(retention, "PORTION", 2)
        for _ in range(5):
            chat_of(ada, unused=60)
            chat_of(ada, deleted_at=NOW - days(60))
        assert len(prune(now=NOW).purged) == 5
        assert len(prune(now=NOW + WEEK).trashed) == 5


def test_a_dry_run_tells_and_changes_nothing(ada):
    due = chat_of(ada, unused=60, announced_at=NOW - WEEK)
    chat_of(ada, unused=40, announced_at=NOW - days(50))  # used since it was announced
    gone = chat_of(ada, deleted_at=NOW - days(60))
    chat_of(ada, unused=60)
    before = list(Chat.objects.order_by("pk").values())
    pruned = prune(dry_run=True, now=NOW)
    assert (pruned.trashed, pruned.purged) == ([due], [gone])
    assert list(Chat.objects.order_by("pk").values()) == before


def test_the_date_that_is_told_is_never_earlier_than_it_goes(ada):
    chat = chat_of(ada)
    Chat.objects.filter(pk=chat.pk).update(last_active_at=timezone.now() - days(60))
    told = goes_at(now(chat))
    assert told - timezone.now() > WEEK - timedelta(minutes=1)
    prune()
    assert abs(goes_at(now(chat)) - told) < timedelta(minutes=1)
    assert now(chat).announced_at + ANNOUNCED == goes_at(now(chat))


def test_the_clock_is_the_databases(ada):
    chat_of(ada)
    assert abs(database_time() - timezone.now()) < timedelta(minutes=1)
    assert database_time().tzinfo


class TestDaily:
    def test_counters_and_sign_ins_that_are_over_are_cleared_and_others_kept(self, client, ada):
        client.force_login(ada)
        Session.objects.create(session_key="old", session_data="", expire_date=timezone.now() - days(1))
        for seconds in (60, 3600, 86_400):
            Throttle.objects.create(key=f"old/60/{seconds}", window=1, used=3)
            Throttle.objects.take("new", 1, seconds)
        retention.tidy()
        assert not Throttle.objects.filter(key__startswith="old").exists()
        assert Throttle.objects.filter(key__startswith="new").count() == 3
        assert Session.objects.count() == 1

    def test_once_a_day_is_enough(self, ada):
        gone = chat_of(ada, deleted_at="2020-01-01T00:00Z")
        retention.tidy()
        assert not Chat.objects.filter(pk=gone.pk).exists()
        later = chat_of(ada, deleted_at="2020-01-01T00:00Z")
        retention.tidy()
        assert Chat.objects.filter(pk=later.pk).exists()

    @pytest.mark.django_db(transaction=True)
    def test_the_relay_does_it_in_a_thread_of_its_own_and_survives_its_failures(self, ada, fake_gateway, monkeypatch):
        gone = chat_of(ada, deleted_at="2020-01-01T00:00Z")
        monkeypatch.setattr(tidying, "TIDY_FIRST", 0.0)
        monkeypatch.setattr(tidying, "TIDY", 0.01)
        threads, real = [], retention.tidy

        def tidy(stopped):
            threads.append(threading.current_thread().name)
            if len(threads) == 1:
                raise ValueError("nobody thought of this")
            real(stopped)

        monkeypatch.setattr(retention, "tidy", tidy)

        async def scenario():
            async with working(fake_gateway):
                async with asyncio.timeout(5):
                    while await Chat.objects.filter(pk=gone.pk).aexists():
                        await asyncio.sleep(0.01)

        run(scenario())
        assert len(threads) > 1
        assert not any(name.startswith("relay-writer") for name in threads)

    @pytest.mark.django_db(transaction=True)
    def test_of_two_processes_one_does_it(self, ada, fake_gateway, monkeypatch):
        monkeypatch.setattr(tidying, "TIDY_FIRST", 0.0)
        monkeypatch.setattr(tidying, "TIDY", 0.01)
        looks, prunings = [], []
        real, steps = retention.tidy, retention.pruning
        monkeypatch.setattr(retention, "tidy", lambda stopped: (looks.append(1), real(stopped)))
        monkeypatch.setattr(retention, "pruning", lambda pruned: (prunings.append(1), steps(pruned))[1])

        async def scenario():
            async with working(fake_gateway), working(fake_gateway):
                async with asyncio.timeout(5):
                    while len(looks) < 6:
                        await asyncio.sleep(0.01)

        run(scenario())
        assert len(prunings) == 1

    def test_a_drain_ends_it_after_the_step_it_is_at(self, ada):
        for _ in range(3):
            chat_of(ada, deleted_at="2020-01-01T00:00Z")
        retention.tidy(stopped=lambda: True)
        assert Chat.objects.count() == 2
