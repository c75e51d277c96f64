"""Finding a session: the list and its groups, the switcher, menus, search, drafts, archive and fork."""

import re
import uuid
from datetime import datetime, timedelta
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from chatapp import listing
from sessions_core.models import By, Chat, Message, User

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}
FRAMES = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE")  # of a transaction: no look at the rows


@pytest.fixture
def ada(client):
    user = User.objects.create_user("ada", time_zone="Europe/Berlin")
    client.force_login(user)
    return user


@pytest.fixture
def chat(ada):
    return Chat.objects.start(ada, title="Work")


@pytest.fixture
def foreign():
    return Chat.objects.start(User.objects.create_user("bob"), title="Secret plans")


def make(user, count, **fields):
    """Chats, the newest first, a minute apart."""
    now = timezone.now()
    chats = [
        Chat(owner=user, title=f"Chat {n}", title_key=f"chat {n}", last_active_at=now - timedelta(minutes=n), **fields)
        for n in range(count)
    ]
    for made in chats:
        made.openclaw_session_key = f"webchat-{made.pk}"
    return Chat.objects.bulk_create(chats)


def at(chat, moment, **fields):
    Chat.objects.filter(pk=chat.pk).update(last_active_at=moment, **fields)
    return chat


def text(response):
    return response.content.decode()


def titles(page):
    return re.findall(r'<bdi class="chat-item__title">(.*?)</bdi>', page)


def page_of(client, chat, **more):
    return client.get("/chat/", {"session": chat.key, **more})


class TestGroups:
    @pytest.fixture
    def noon(self, monkeypatch):
        """Half past midnight in Berlin, when in UTC it is still the day before."""
        now = datetime(2027, 3, 10, 0, 30, tzinfo=ZoneInfo("Europe/Berlin"))
        monkeypatch.setattr(timezone, "now", lambda: now)
        return now

    @pytest.mark.parametrize(
        ("ago", "heading"),
        [
            (timedelta(minutes=10), "Today"),
            (timedelta(minutes=40), "Yesterday"),
            (timedelta(hours=25), "Previous 7 days"),
            (timedelta(days=7), "Previous 7 days"),
            (timedelta(days=8), "March"),
            (timedelta(days=40), "January"),
            (timedelta(days=80), "December 2026"),
            (timedelta(days=-1), "Today"),
        ],
    )
    def test_a_chat_stands_under_its_day_where_the_reader_is(self, noon, client, chat, ago, heading):
        at(chat, noon - ago)
        page = text(client.get("/chats/list/"))
        assert re.findall(r'class="chat-list__group">(.*?)<', page) == [heading]

    def test_pinned_ones_come_first_whatever_their_age(self, noon, client, ada, chat):
        at(Chat.objects.start(ada, title="Old"), noon - timedelta(days=300), pinned=True)
        at(chat, noon)
        page = text(client.get("/chats/list/"))
        assert titles(page) == ["Old", "Work"]
        assert re.findall(r'class="chat-list__group">(.*?)<', page) == ["Pinned", "Today"]


class TestPages:
    def test_fifty_at_a_time_each_once_and_in_order(self, client, ada):
        make(ada, 120)
        Chat.objects.filter(title__in=["Chat 7", "Chat 100"]).update(pinned=True)
        page, seen, headings = text(client.get("/chats/list/")), [], []
        for _ in range(3):
            seen.append(titles(page))
            headings += re.findall(r'class="chat-list__group">(.*?)<', page)
            following = re.search(r'hx-get="(.*?)"', page.split("chat-list__more")[-1])
            page = text(client.get(following[1].replace("&amp;", "&"))) if following else ""
        assert [len(part) for part in seen] == [50, 50, 20]
        assert [title for part in seen for title in part] == [
            "Chat 7",
            "Chat 100",
            *(f"Chat {n}" for n in range(120) if n not in (7, 100)),
        ]
        assert headings[0] == "Pinned" and len(headings) == len(set(headings)), "each heading stands once"
        assert not following

    def test_a_chat_that_moves_up_meanwhile_is_not_listed_twice(self, client, ada):
        chats = make(ada, 60)
        page = text(client.get("/chats/list/"))
        at(chats[49], timezone.now() + timedelta(minutes=1))  # the last of those shown
        following = re.search(r'hx-get="(.*?)"', page.split("chat-list__more")[-1])[1].replace("&amp;", "&")
        assert titles(text(client.get(following))) == [f"Chat {n}" for n in range(50, 60)]

    def test_times_of_the_databases_own_clock_are_in_order_too(self, client, ada):
        for _ in range(60):
            Chat.objects.start(ada)
        page = text(client.get("/chats/list/"))
        following = re.search(r'hx-get="(.*?)"', page.split("chat-list__more")[-1])[1].replace("&amp;", "&")
        seen = re.findall(r'id="item-(.*?)"', page + text(client.get(following)))
        assert seen == [str(pk) for pk in Chat.objects.recent().values_list("pk", flat=True)]

    def test_a_refresh_brings_as_many_as_are_shown(self, client, ada):
        make(ada, 120)
        assert len(titles(text(client.get("/chats/list/?shown=100")))) == 100

    @pytest.mark.parametrize("shown", ["", "0", "-1", "x", "9" * 9, "²"])
    def test_a_senseless_number_is_the_usual_one(self, client, ada, shown):
        make(ada, 60)
        assert len(titles(text(client.get("/chats/list/", {"shown": shown})))) == 50

    @pytest.mark.parametrize("place", ["x", "1__", "1_2026-01-01_x", "a_b_c_d"])
    def test_a_place_that_is_none_is_not_found(self, client, ada, place):
        assert client.get("/chats/list/", {"after": place}).status_code == 404

    def test_without_javascript_a_link_leads_to_more_and_stays_in_the_chat(self, client, ada):
        chats = make(ada, 120)
        link = re.search(r'chat-list__more"><a href="(.*?)"', text(page_of(client, chats[3])))[1].replace("&amp;", "&")
        page = client.get(link)
        assert page.context["chat"] == chats[3]
        assert len(titles(text(page))) == 100

    def test_the_open_chat_is_marked_and_the_main_one_is_not_on_the_empty_page(self, client, ada, chat):
        Chat.objects.create(owner=ada)
        assert text(client.get("/chats/list/?session=")).count("aria-current") == 0
        assert text(client.get("/chats/list/?session=main")).count("aria-current") == 1
        assert text(client.get("/chats/list/", {"session": chat.key})).count("aria-current") == 1


class TestMarks:
    def test_what_a_chat_is_and_does_shows_in_the_list(self, client, ada):
        one = Chat.objects.start(ada, title="Work")
        assert "Protected: cannot be reset." in text(client.get("/chats/list/"))
        question = one.receive("Hello")
        assert "A reply is being written" in text(client.get("/chats/list/"))
        question.versions.get().settle("done")
        assert 'aria-label="Unread"' in text(client.get("/chats/list/"))
        one.keep_draft("Half a")
        page = text(client.get("/chats/list/"))
        assert 'aria-label="Draft"' in page and "Half a" not in page

    def test_the_chat_that_is_open_is_neither_unread_nor_a_draft(self, client, chat):
        chat.receive("Hello").versions.get().settle("done")
        chat.keep_draft("Half a")
        page = text(client.get("/chats/list/", {"session": chat.key}))
        assert 'aria-label="Unread"' not in page and 'aria-label="Draft"' not in page


class TestSwitcher:
    def test_the_open_chat_is_marked_and_five_others_follow(self, client, ada):
        chats = make(ada, 8)
        page = text(page_of(client, chats[4]))
        switcher = page.split('id="switcher"')[1].split("</arrow-keys>")[0]
        assert re.findall(r"<bdi>(.*?)</bdi>", switcher) == ["Chat 4", *(f"Chat {n}" for n in (0, 1, 2, 3, 5))]
        assert switcher.count("aria-current") == 1
        assert "New session…" in switcher and 'href="/sessions/"' in switcher

    def test_each_says_how_long_ago_it_was_used_or_that_it_runs(self, client, ada, chat):
        at(Chat.objects.start(ada, title="Hours"), timezone.now() - timedelta(hours=3, minutes=2))
        Chat.objects.start(ada, title="Busy").receive("Hello")
        switcher = text(page_of(client, chat)).split('id="switcher"')[1].split("</arrow-keys>")[0]
        assert re.findall(r"menu__aside\">(.*?)<", switcher) == ["running", "3 h"]

    def test_what_comes_with_news_is_the_same_as_on_the_page(self, client, ada, chat):
        make(ada, 3)
        news = text(client.get(f"/chats/{chat.pk}/messages/?after=0", headers=HTMX))
        pages = (news, text(page_of(client, chat)))
        one, other = (re.search(r'<arrow-keys id="switcher".*?</arrow-keys>', page, re.S)[0] for page in pages)
        assert one == other

    def test_opened_it_is_asked_for_what_is_so_now(self, client, ada, chat):
        page_of(client, chat)
        make(ada, 5)
        switcher = text(client.get(f"/chats/switcher/?session={chat.key}"))
        assert re.findall(r"<bdi>(.*?)</bdi>", switcher) == [chat.name, *(f"Chat {n}" for n in range(5))]
        of_the_empty_page = text(client.get("/chats/switcher/"))
        assert of_the_empty_page.count("<bdi>") == 5
        assert "aria-current" not in of_the_empty_page

    def test_of_another_person_there_is_nothing(self, client, ada, bob):
        theirs = Chat.objects.start(bob, title="Secret")
        assert client.get(f"/chats/switcher/?session={theirs.key}").status_code == 404
        assert "Secret" not in text(client.get("/chats/switcher/"))


class TestMenu:
    def test_the_menu_is_a_fragment_and_a_page(self, client, chat):
        here = "/chat/?session=webchat-x"
        for headers in ({}, HTMX):
            answer = text(client.get(f"/chats/{chat.pk}/menu/", {"next": here}, headers=headers))
            assert f'name="next" value="{here}"' in answer
            assert ("<main" in answer) is (not headers)
            for action in ("rename", "pin", "persist", "fork", "archive", "export", "history", "delete"):
                assert f"/chats/{chat.pk}/{action}/" in answer, action

    @pytest.mark.parametrize(("action", "fields"), [("pin", {"on": 1}), ("persist", {"on": 0}), ("archive", {"on": 1})])
    def test_an_action_leads_back_to_where_it_was_used(self, client, ada, chat, action, fields):
        other = f"/chat/?session={Chat.objects.start(ada).key}"
        address = f"/chats/{chat.pk}/{action}/"
        assert client.post(address, fields | {"next": other}).url == other
        assert client.post(address, fields | {"next": "https://elsewhere.example/"}).url == f"/chat/?session={chat.key}"
        assert client.post(address, fields).url == f"/chat/?session={chat.key}"
        assert client.post(address, fields, headers=HTMX).status_code == 204

    def test_what_is_refused_is_said_in_words(self, client, ada, chat):
        other = Chat.objects.start(ada, title="Home")
        answer = client.post(f"/chats/{other.pk}/rename/", {"title": "WORK"}, headers=HTMX)
        assert answer.status_code == 409 and answer["Content-Type"].startswith("text/plain")
        assert text(answer) == "You have a session named “WORK” already. Choose another name."
        page = client.post(f"/chats/{other.pk}/rename/", {"title": "WORK"})
        assert page.status_code == 409 and "You have a session named" in text(page)

    def test_a_fork_is_gone_to(self, client, chat):
        chat.receive("Hello").versions.get().settle("done")
        answer = client.post(f"/chats/{chat.pk}/fork/")
        made = Chat.objects.get(based_on=chat)
        assert answer.url == f"/chat/?session={made.key}"
        assert "Hello" in text(client.get(answer.url))
        again = client.post(f"/chats/{chat.pk}/fork/", headers=HTMX)
        assert again["HX-Redirect"].startswith("/chat/?session=webchat-")


class TestArchive:
    def test_an_archived_chat_is_not_listed_and_says_so_where_it_is_opened(self, client, ada, chat):
        client.post(f"/chats/{chat.pk}/archive/", {"on": 1})
        assert titles(text(client.get("/chats/list/"))) == []
        page = text(page_of(client, chat))
        assert "Archived" in page and "Back to the list" in page
        client.post(f"/chats/{chat.pk}/archive/", {"on": 0})
        assert titles(text(client.get("/chats/list/"))) == ["Work"]
        assert "Archived" not in text(page_of(client, chat))


class TestDelete:
    def delete(self, client, chat, here, headers=None):
        return client.post(f"/chats/{chat.pk}/delete/", {"next": here}, headers=headers)

    def test_the_open_chat_stays_and_offers_the_way_back(self, client, ada, chat):
        here = f"/chat/?session={Chat.objects.start(ada, title='Home').key}"
        answer = self.delete(client, chat, here, HTMX)
        assert answer.status_code == 200 and "HX-Redirect" not in answer
        assert f'hx-post="/chats/{chat.pk}/restore/"' in text(answer)
        assert client.post(f"/chats/{chat.pk}/restore/", headers=HTMX).status_code == 204
        assert self.delete(client, chat, here).url == here
        assert "is in the trash" in text(client.get(here))

    def test_one_that_is_open_is_left_for_the_empty_page(self, client, ada, chat):
        here = f"/chat/?session={chat.key}"
        assert self.delete(client, chat, here, HTMX)["HX-Redirect"] == "/chat/"
        chat.refresh_from_db()
        assert chat.deleted_at
        other = Chat.objects.start(ada)
        assert self.delete(client, other, f"/chat/?session={other.key}").url == "/chat/"

    def test_it_counts_what_was_said(self, client, chat):
        chat.receive("Hello").versions.get().settle("done")
        chat.receive("/help")
        chat.notice("Told")
        answer = text(client.get(f"/chats/{chat.pk}/delete/", headers=HTMX))
        assert "with its 2 messages" in answer
        client.post(f"/chats/{chat.pk}/delete/")
        assert "with its 2 messages" in text(client.get(f"/chats/{chat.pk}/purge/", headers=HTMX))

    def test_it_asks_and_keeps_where_it_was_asked(self, client, chat):
        answer = client.get(f"/chats/{chat.pk}/delete/?{urlencode({'next': '/chat/?session=x'})}", headers=HTMX)
        assert 'name="next" value="/chat/?session=x"' in text(answer)


@pytest.mark.thorough
class TestSearch:
    @pytest.fixture
    def said(self, chat):
        for n in range(40):
            chat._place(Message(role="assistant", text=f"Line {n}"), "done")
        question = chat.receive("When does the <b>Train</b> leave?")
        question.versions.get().settle("done")
        return question

    def test_names_first_then_what_was_said_with_the_words_marked(self, client, ada, said):
        Chat.objects.start(ada, title="Trains")
        answer = text(client.get("/chats/search/?q=train", headers=HTMX))
        assert answer.index("Trains") < answer.index("<mark>Train</mark>")
        assert "&lt;b&gt;<mark>Train</mark>&lt;/b&gt;" in answer and "<b>" not in answer
        assert "<html" not in answer

    def test_a_hit_leads_to_the_page_of_the_conversation_that_has_it(self, client, chat, said):
        answer = text(client.get("/chats/search/?q=leave", headers=HTMX))
        link = re.search(r'class="hit" href="(/chat/[^"]*)"', answer)[1].replace("&amp;", "&")
        assert link == f"/chat/?session={chat.key}&before={said.seq + 25}#message-{said.pk}"
        assert f'id="message-{said.pk}"' in text(client.get(link.split("#")[0]))

    def test_on_a_page_of_long_ago_the_latest_can_be_reached(self, client, chat, said):
        for n in range(60):
            chat._place(Message(role="assistant", text=f"Later {n}"), "done")
        assert "Later messages" in text(page_of(client, chat, before=66))
        assert "Later messages" not in text(page_of(client, chat, before=666))
        assert "Later messages" not in text(page_of(client, chat))

    def test_nothing_typed_offers_the_last_sessions(self, client, ada):
        make(ada, 12)
        answer = text(client.get("/chats/search/", headers=HTMX))
        assert re.findall(r'hit__name">(.*?)<', answer) == [f"Chat {n}" for n in range(8)]

    def test_nothing_found_says_so(self, client, chat):
        assert "Nothing found for “<bdi>&lt;q&gt;</bdi>”" in text(client.get("/chats/search/?q=<q>", headers=HTMX))

    def test_it_is_a_page_too(self, client, said):
        answer = text(client.get("/chats/search/?q=train"))
        assert "<html" in answer and "<mark>Train</mark>" in answer and 'value="train"' in answer

    def test_what_others_say_is_not_found(self, client, ada, foreign):
        foreign.receive("Secret words")
        for q in ("secret", foreign.key):
            assert "Nothing found" in text(client.get("/chats/search/", {"q": q}, headers=HTMX))

    def test_an_archived_session_is_found(self, client, ada, chat):
        Chat.objects.filter(pk=chat.pk).update(archived_at=timezone.now())
        assert "archived" in text(client.get("/chats/search/?q=work", headers=HTMX))


class TestDrafts:
    def keep(self, client, chat, words, **fields):
        return client.post(f"/chats/{chat.pk}/draft/", {"text": words, **fields})

    def test_a_draft_is_in_the_box_on_another_device(self, client, chat):
        assert self.keep(client, chat, "Half a <thought>").status_code == 204
        assert ">Half a &lt;thought&gt;</textarea>" in text(page_of(client, chat))

    def test_an_empty_one_takes_it_away(self, client, chat):
        self.keep(client, chat, "Half")
        self.keep(client, chat, "")
        assert Chat.objects.get(pk=chat.pk).draft == ""

    def test_one_that_comes_after_its_message_is_none(self, client, chat):
        sent = uuid.uuid4()
        self.keep(client, chat, "Hello", client_id=sent)
        chat.receive("Hello there", sent, draft="Hello")
        self.keep(client, chat, "Hello", client_id=sent)
        assert Chat.objects.get(pk=chat.pk).draft == ""
        self.keep(client, chat, "The next", client_id=uuid.uuid4())
        assert Chat.objects.get(pk=chat.pk).draft == "The next"

    def test_keeping_it_disturbs_no_page_but_the_list(self, client, ada, chat):
        before = Chat.objects.get(pk=chat.pk)
        self.keep(client, chat, "Half")
        after, listed = Chat.objects.get(pk=chat.pk), User.objects.get(pk=ada.pk).rev
        assert (after.rev, after.last_active_at) == (before.rev, before.last_active_at)
        self.keep(client, chat, "Half a thought")
        assert User.objects.get(pk=ada.pk).rev == listed, "only its coming and going is told"

    def test_one_that_is_too_long_is_not_said_to_be_kept(self, client, chat):
        self.keep(client, chat, "Half")
        answer = self.keep(client, chat, "x" * 100_001)
        assert answer.status_code == 400 and "100,000 is the most" in text(answer)
        assert Chat.objects.get(pk=chat.pk).draft == "Half"

    def test_stopping_without_javascript_keeps_what_is_in_the_box_and_says_what_it_cannot(self, client, chat):
        chat.receive("Hello")
        client.post(f"/chats/{chat.pk}/stop/", {"text": "And"})
        assert Chat.objects.get(pk=chat.pk).draft == "And"
        answer = client.post(f"/chats/{chat.pk}/stop/", {"text": "x" * 100_001})
        assert answer.status_code == 400 and f">{'x' * 100_001}</textarea>" in text(answer)

    def test_nonsense_is_refused(self, client, chat):
        assert self.keep(client, chat, "Half", client_id="x").status_code == 400


@pytest.mark.parametrize("action", ["menu", "draft", "archive", "fork", "rename", "delete"])
def test_a_foreign_chat_is_not_found(client, ada, foreign, action):
    before = Chat.objects.values().get(pk=foreign.pk)
    ask = client.get if action == "menu" else client.post
    assert ask(f"/chats/{foreign.pk}/{action}/", {"on": 1, "title": "x", "text": "x"}).status_code == 404
    assert Chat.objects.values().get(pk=foreign.pk) == before


class TestCost:
    @pytest.fixture
    def many(self, ada, chat):
        make(ada, 300)
        for n in range(60):
            chat._place(Message(role="assistant", text=str(n)), "done")
        at(chat, timezone.now())

    def test_the_list_costs_three_queries_however_long_it_is(self, client, many, django_assert_max_num_queries):
        with django_assert_max_num_queries(3):
            page = text(client.get("/chats/list/?shown=300"))
        following = re.search(r'hx-get="(.*?)"', page.split("chat-list__more")[-1])[1].replace("&amp;", "&")
        with django_assert_max_num_queries(3):
            client.get(following)

    def test_a_chat_page_costs_eight(self, client, chat, many, django_assert_max_num_queries):
        with django_assert_max_num_queries(8):
            page_of(client, chat)

    def test_a_message_costs_eight_with_all_limits_on(self, client, chat, many, settings):
        settings.MESSAGE_RATE = [(30, 60), (2000, 86_400)]
        for _ in range(2):  # also the first in a minute
            fields = {"text": "Hello", "client_id": uuid.uuid4(), "after": chat.last_seq(), "face": listing.face(chat)}
            with CaptureQueriesContext(connection) as queries:
                answer = client.post(f"/chats/{chat.pk}/messages/", fields, headers=HTMX)
            assert answer.status_code == 200
            looks = [query["sql"] for query in queries if not query["sql"].startswith(FRAMES)]
            assert len(looks) == 8
            chat.messages.running().get().settle("done")

    def test_a_page_that_shows_the_same_header_is_not_sent_it(self, client, chat):
        def sent(face):
            fields = {"text": "Hello", "client_id": uuid.uuid4(), "after": chat.last_seq(), "face": face}
            answer = text(client.post(f"/chats/{chat.pk}/messages/", fields, headers=HTMX))
            Chat.objects.get(pk=chat.pk).stop()
            return 'id="chat-header"' in answer

        def told(face):
            news = client.get(f"/chats/{chat.pk}/messages/", {"after": 0, "face": face}, headers=HTMX)
            return 'id="chat-header"' in text(news)

        before = listing.face(Chat.objects.get(pk=chat.pk))
        assert not sent(before) and not told(before)
        chat.pin(True, By(chat.owner))
        assert sent(before) and told(before)
        assert not sent(listing.face(Chat.objects.get(pk=chat.pk)))

    def test_news_of_a_chat_cost_six(self, client, chat, many, django_assert_max_num_queries):
        with django_assert_max_num_queries(6):
            client.get(f"/chats/{chat.pk}/messages/?after=50", headers=HTMX)

    def test_a_search_costs_six(self, client, many, django_assert_max_num_queries):
        with django_assert_max_num_queries(6):
            client.get("/chats/search/?q=chat", headers=HTMX)
