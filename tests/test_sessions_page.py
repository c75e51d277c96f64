"""The sessions page: finding sessions, and what is done with several in one go."""

import json
import re
import uuid
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.core.files.uploadedfile import SimpleUploadedFile

from sessions_core import export
from sessions_core.models import By, Chat, ChatEvent, User

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada(client):
    ada = User.objects.create_user("ada")
    client.force_login(ada)
    return ada


@pytest.fixture
def by(ada):
    return By(ada)


def named(owner, *titles, **options):
    return [Chat.objects.start(owner, title=title, **options) for title in titles]


def page(client, query="", **headers):
    return client.get(f"/sessions/{query}", headers=headers).content.decode()


def listed(client, query="", **headers):
    """The names in the table, in its order."""
    return re.findall(r'id="tick-[0-9a-f-]{36}" aria-label="Select ([^"]+)"', page(client, query, **headers))


def bulk(client, do, chats, **fields):
    return client.post("/chats/bulk/", {"do": do, "ids": [chat.pk for chat in chats]} | fields, follow=True)


def toast(answer):
    found = re.search(r"<passing-toast.*?<span>(.*?)</span>", answer.content.decode(), re.DOTALL)
    return found[1]


@pytest.mark.thorough
class TestFinding:
    def test_the_newest_stand_first_with_what_there_is_to_know(self, client, ada):
        work, home = named(ada, "Work", "Home")
        Chat.objects.filter(pk=home.pk).update(last_active_at=home.created_at - timedelta(hours=1))
        work.receive("Hello").versions.get().settle("done")
        work.notice("Told")
        work.receive("/help")
        assert listed(client) == ["Work", "Home"]
        row = re.search(rf'<tr id="row-{work.pk}".*?</tr>', page(client), re.DOTALL)[0]
        assert f'href="/chat/?session={work.key}"' in row and '<td class="table__count">2</td>' in row
        assert 'role="switch"' in row and 'aria-checked="true"' in row

    @pytest.mark.parametrize("words", ["WOR", "ork", "  work "])
    def test_a_part_of_the_name_is_enough(self, client, ada, words):
        named(ada, "Work", "Home")
        assert listed(client, f"?q={words}") == ["Work"]

    def test_so_is_a_part_of_the_key(self, client, ada):
        work, _ = named(ada, "Work", "Home")
        assert listed(client, f"?q={str(work.pk)[5:20].upper()}") == ["Work"]

    @pytest.mark.parametrize("words", ["%25", "_", "zzz", "%00x"])
    def test_signs_with_a_meaning_elsewhere_mean_themselves(self, client, ada, words):
        named(ada, "Work")
        assert listed(client, f"?q={words}") == []
        assert "Nothing found" in page(client, f"?q={words}")

    def test_only_the_persistent_or_those_in_the_archive(self, client, ada, by):
        _, home, old = named(ada, "Work", "Home", "Old")
        home.protect(False, by)
        old.archive(True, by)
        assert listed(client, "?persistent=1") == ["Work"]
        assert listed(client, "?show=archived") == ["Old"]
        assert "Archived · 1" in page(client)

    def test_the_trash_says_until_when_and_offers_the_way_back(self, client, ada, by, settings):
        settings.SESSION_TRASH_DAYS = 10
        [work] = named(ada, "Work")
        work.trash(by)
        assert listed(client) == []
        trash = page(client, "?show=trash")
        assert "Trash · 1" in trash and "10 days after" in trash
        assert f"/chats/{work.pk}/restore/" in trash and f"/chats/{work.pk}/purge/" in trash
        settings.SESSION_TRASH_DAYS = 0
        assert "stays until you delete it" in page(client, "?show=trash")

    def test_nothing_of_others(self, client, ada, bob, by):
        for chat, verb in zip(named(bob, "One", "Two", "Three"), ("", "trash", "archive"), strict=True):
            _ = verb == "trash" and chat.trash(by), verb == "archive" and chat.archive(True, by)
        for query in ("", "?show=trash", "?show=archived", "?q=t"):
            assert listed(client, query) == []

    def test_a_name_is_text(self, client, ada):
        named(ada, "<b onclick=x>&")
        assert "<b onclick" not in page(client) and "&lt;b onclick=x&gt;&amp;" in page(client)

    def test_the_limit_in_use(self, client, ada, settings):
        named(ada, "Work", "Home")
        settings.SESSION_MAX_PER_USER = 50
        assert "2 of 50 named" in page(client)
        settings.SESSION_MAX_PER_USER = 0
        assert ">2 named<" in page(client)

    def test_fifty_to_a_page(self, client, ada, settings):
        settings.SESSION_MAX_PER_USER = 0
        named(ada, *(f"Session {n:02}" for n in range(52)))
        first, second = listed(client), listed(client, "?page=2")
        assert (len(first), len(second), len({*first, *second})) == (50, 2, 52)
        assert "1–50 of 52" in page(client) and 'rel="next" href="/sessions/?page=2"' in page(client)
        assert listed(client, "?page=99") == listed(client, "?page=2") and listed(client, "?page=x") == first
        filtered = page(client, "?q=session&page=2")
        assert 'href="/sessions/?q=session&amp;page=1"' in filtered

    def test_many_cost_no_more_queries_than_few(self, client, ada, settings, django_assert_max_num_queries):
        settings.SESSION_MAX_PER_USER = 0
        named(ada, *(f"Session {n:02}" for n in range(50)))
        Chat.objects.create(owner=ada, agent="main")
        with django_assert_max_num_queries(7):
            page(client)

    def test_a_fragment_for_the_page_that_is_open(self, client, ada):
        named(ada, "Work")
        part = page(client, "?q=wo", **{"HX-Request": "true"})
        assert part.lstrip().startswith('<div id="found"') and "<html" not in part
        assert part.count('hx-swap-oob="true"') == 2

    def test_a_page_without_any_says_what_to_do(self, client, ada):
        assert "No sessions yet" in page(client)
        assert "The trash is empty" in page(client, "?show=trash")
        assert "Nothing is archived" in page(client, "?show=archived")

    def test_what_is_about_to_go_is_marked(self, client, ada, settings):
        settings.SESSION_TTL_DAYS = 30
        named(ada, "Work", "Home", persistent=False)
        assert "to the trash on" not in page(client)
        Chat.objects.filter(title="Work").update(last_active_at="2020-01-01T00:00Z")
        assert page(client).count("to the trash on") == 1


class TestSeveral:
    @pytest.mark.parametrize(
        ("do", "words", "found"),
        [
            ("delete", "2 sessions are in the trash.", {"deleted_at__isnull": False}),
            ("archive", "2 sessions are archived.", {"archived_at__isnull": False}),
            ("protect", "2 sessions are persistent now.", {"persistent": True}),
        ],
    )
    def test_each_goes_through_its_verb_and_the_result_is_told(self, client, ada, do, words, found):
        chats = named(ada, "Work", "Home", "Other", persistent=False)
        assert toast(bulk(client, do, chats[:2])) == words
        assert set(Chat.objects.filter(**found)) == set(chats[:2])
        assert ChatEvent.objects.filter(chat=chats[0], actor=ada).count() == 2

    @pytest.mark.parametrize("do", ["delete", "archive"])
    def test_it_can_be_undone_in_one_go(self, client, ada, do):
        chats = named(ada, "Work", "Home")
        page = bulk(client, do, chats).content.decode()
        undo = re.search(r'name="ids" value="([^"]+)"><button[^>]*value="(\w+)">Undo', page)
        client.post("/chats/bulk/", {"ids": undo[1], "do": undo[2]})
        assert Chat.objects.filter(deleted_at=None, archived_at=None).count() == 2

    def test_what_one_refuses_is_named_and_the_others_are_done(self, client, ada):
        [work] = named(ada, "Work", persistent=False)
        blank = Chat.objects.start(ada)
        told = toast(bulk(client, "protect", [work, blank]))
        assert told.startswith("1 session is persistent now. “<bdi>New chat</bdi>”: A persistent session needs a name")
        work.refresh_from_db()
        assert work.persistent

    def test_names_in_what_is_told_are_text(self, client, ada, settings):
        chat = Chat.objects.start(ada)
        chat.receive("<img src=x>")
        named(ada, "<img src=x>")
        assert "“<bdi>&lt;img src=x&gt;</bdi>”" in toast(bulk(client, "protect", [chat]))

    @pytest.mark.parametrize("do", ["delete", "archive", "protect", "export", "restore", "list"])
    def test_a_foreign_or_unknown_one_among_them_and_nothing_is_done(self, client, ada, bob, do):
        [work] = named(ada, "Work", persistent=False)
        [foreign] = named(bob, "Secret")
        before = list(Chat.objects.order_by("pk").values())
        for other in (foreign.pk, uuid.uuid4(), "nonsense"):
            answer = client.post("/chats/bulk/", {"do": do, "ids": [work.pk, other]})
            assert answer.status_code == 404
        assert list(Chat.objects.order_by("pk").values()) == before

    def test_an_unknown_deed_and_an_empty_choice(self, client, ada):
        assert client.post("/chats/bulk/", {"do": "purge"}).status_code == 400
        assert toast(bulk(client, "delete", [])) == "No session was selected."

    def test_it_leads_back_to_where_it_was_done(self, client, ada):
        [work] = named(ada, "Work")
        answer = bulk(client, "archive", [work], next="/sessions/?q=w")
        assert answer.redirect_chain == [("/sessions/?q=w", 302)]
        assert bulk(client, "list", [work], next="https://evil.example/").redirect_chain == [("/sessions/", 302)]


class TestForGood:
    def test_it_asks_then_all_is_gone_but_the_trace(self, client, ada, by):
        [work] = named(ada, "Work")
        work.receive("Hello")
        work.trash(by)
        asked = client.get(f"/chats/{work.pk}/purge/").content.decode()
        assert "2 messages" in asked and Chat.objects.exists()
        answer = client.post(f"/chats/{work.pk}/purge/", follow=True)
        assert answer.redirect_chain == [("/sessions/?show=trash", 302)]
        assert "is deleted for good" in toast(answer)
        assert not Chat.objects.exists()
        trace = ChatEvent.objects.get(verb="deleted for good")
        assert (trace.chat, trace.actor, trace.detail["key"]) == (None, ada, work.key)

    def test_only_ones_own_and_only_from_the_trash(self, client, ada, bob, by):
        [living], [foreign] = named(ada, "Work"), named(bob, "Secret")
        foreign.trash(by)
        for chat in (living, foreign):
            assert client.post(f"/chats/{chat.pk}/purge/").status_code == 404
        with pytest.raises(Chat.DoesNotExist):
            living.purge(by)
        assert Chat.objects.count() == 2

    def test_what_cannot_be_restored_says_why_on_the_page(self, client, ada, by, settings):
        [work] = named(ada, "Work")
        work.trash(by)
        settings.SESSION_MAX_PER_USER = 1
        named(ada, "Other")
        answer = client.post(f"/chats/{work.pk}/restore/", {"next": "/sessions/?show=trash"})
        assert answer.status_code == 409
        assert "1 named session" in answer.content.decode() and "Sessions in the trash" in answer.content.decode()


class TestFiles:
    @pytest.fixture
    def work(self, ada):
        [work] = named(ada, '../Work\r\n"quoted"')
        work.receive("Hello").versions.get().settle("done")
        return work

    @pytest.mark.parametrize(("wanted", "ending"), [("markdown", "md"), ("json", "json")])
    def test_a_session_is_a_download_whose_name_is_no_title(self, client, ada, work, wanted, ending):
        answer = client.post(f"/chats/{work.pk}/export/", {"format": wanted})
        assert answer["Content-Disposition"] == f'attachment; filename="webchat-{work.pk}.{ending}"'
        assert "Hello" in answer.content.decode()
        event = ChatEvent.objects.get(verb="exported")
        assert (event.chat, event.actor, event.detail) == (work, ada, {"format": wanted})

    def test_several_are_one_file(self, client, ada, work):
        [other] = named(ada, "Other")
        answer = client.post("/chats/bulk/", {"do": "export", "ids": [work.pk, other.pk]})
        assert answer["Content-Disposition"].startswith("attachment")
        assert {chat["title"] for chat in json.loads(answer.content)["chats"]} == {work.title, "Other"}
        assert ChatEvent.objects.filter(verb="exported").count() == 2

    def test_main_can_be_exported_too(self, client, ada):
        main = Chat.objects.create(owner=ada, agent="main")
        assert client.post(f"/chats/{main.pk}/export/").status_code == 200

    def bring(self, client, data):
        return client.post("/chats/import/", {"file": SimpleUploadedFile("x.json", data)} if data is not None else {})

    def test_a_file_with_one_session_leads_to_it(self, client, ada, work):
        answer = self.bring(client, export.as_json([work]))
        made = Chat.objects.exclude(pk=work.pk).get()
        assert answer.url == f"/chat/?session={made.key}"
        assert made.owner == ada and made.messages.count() == 2

    def test_one_with_several_leads_to_the_page_of_all(self, client, ada, work):
        [other] = named(ada, "Other")
        answer = self.bring(client, export.as_json([work, other]))
        assert answer.url == "/sessions/"
        assert "2 sessions are imported." in page(client)

    def test_a_file_counts_as_one_session_begun_and_one_too_many_is_refused_in_words(self, client, ada, work, settings):
        settings.SESSION_CREATE_RATE = [(2, 86_400)]
        file = export.as_json([work, *named(ada, "Other", "More")])
        assert [self.bring(client, file).status_code for _ in range(3)] == [302, 302, 429]
        assert Chat.objects.count() == 9
        assert "too many new sessions" in self.bring(client, file).content.decode()

    def test_a_file_that_cannot_be_read_counts_nothing(self, client, ada, work, settings):
        settings.SESSION_CREATE_RATE = [(1, 86_400)]
        self.bring(client, b"nonsense")
        assert self.bring(client, export.as_json([work])).status_code == 302

    @pytest.mark.parametrize("data", [None, b"", b"nonsense", b"{}", b"\xff\xfe", b"[" * 100_000])
    def test_what_is_no_export_is_refused_in_words(self, client, ada, data):
        answer = self.bring(client, data)
        assert answer.status_code == 400
        assert re.search(r'role="alert">[A-Z][^<]{20,}<', answer.content.decode())
        assert not Chat.objects.exists()

    def test_a_file_that_is_too_large_is_refused_in_words(self, client, ada, settings):
        settings.IMPORT_MAX_SIZE = 1_000_000
        answer = self.bring(client, b"x" * 1_000_001)
        assert answer.status_code == 400 and "larger than 1 MB" in answer.content.decode()


class TestMain:
    OFFER = "Open the agent’s main session"

    @pytest.fixture
    def allowed(self, ada):
        ada.user_permissions.add(Permission.objects.get(codename="use_main_session"))

    def test_who_may_is_offered_it_with_a_warning_until_there_is_one(self, client, ada, allowed):
        assert self.OFFER in page(client) and "shared by everybody" in page(client)
        assert client.post("/chats/", {"main": "1"}).url == "/chat/?session=main"
        assert self.OFFER not in page(client)
        assert listed(client) == ["Main"] == listed(client, "?q=mai")

    def test_who_may_not_is_not_and_is_refused(self, client, ada):
        assert self.OFFER not in page(client)
        assert client.post("/chats/", {"main": "1"}).status_code == 403
        assert not Chat.objects.exists()

    def test_its_address_before_there_is_one_is_not_found_but_offers_it(self, client, ada, allowed):
        answer = client.get("/chat/?session=main")
        assert answer.status_code == 404 and self.OFFER in answer.content.decode()
        assert self.OFFER not in client.get("/chat/?session=other").content.decode()

    def test_nor_is_it_offered_there_to_others(self, client, ada):
        assert self.OFFER not in client.get("/chat/?session=main").content.decode()

    def test_it_has_no_switch_for_what_it_cannot_be(self, client, ada):
        main = Chat.objects.create(owner=ada, agent="main")
        assert f"persist-{main.pk}" not in page(client)
