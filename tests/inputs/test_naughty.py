"""A thousand chats with the worst names there are: every page works, shows them as they are and obeys none."""

import json
import re
import unicodedata
import uuid
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from html.parser import HTMLParser
from urllib.parse import quote, urlencode

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from chatapp import markdown
from sessions_core import export
from sessions_core.errors import BadName
from sessions_core.models import ApiToken, By, Chat, ChatEvent, Message, User
from sessions_core.models.names import checked_name, folded
from sessions_core.text import MAX_NAME, clean_name, clean_text, has_visible
from tests.naughty import STRINGS, as_name, names

pytestmark = pytest.mark.django_db

MANY = 1000
NAMES = names(MANY)
EACH = NAMES[:650]  # every string that can be a name, and a few twice
SOME = STRINGS[::12]  # where one takes milliseconds; which ones is no matter, for every page has seen all of them
HTMX = {"HX-Request": "true"}
VOID = {"br", "hr", "img", "input", "link", "meta"}


class Page(HTMLParser):
    """A page as a browser reads it: each element's tag, attributes and text, in their order."""

    def __init__(self, response):
        super().__init__()
        self.elements, self.open = [], []
        self.feed(response.content.decode(response.charset))
        self.close()
        assert self.open == [], "everything is closed"

    def handle_starttag(self, tag, attrs):
        element = {"tag": tag, "text": ""} | {name: value or "" for name, value in attrs}
        self.elements.append(element)
        self.open += [] if tag in VOID else [element]

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop()["tag"] == tag, "elements are nested"

    def handle_data(self, data):
        for element in self.open:
            element["text"] += data

    def texts(self, css):
        """Of the elements with a class, or of a tag."""
        return [e["text"] for e in self.elements if css in (e["tag"], *e.get("class", "").split())]

    def values(self, attribute, tag=""):
        return [e[attribute] for e in self.elements if attribute in e and tag in ("", e["tag"])]

    @property
    def structure(self):
        """What a name has no part in: the elements, and which attributes they have."""
        return [(e["tag"], *sorted(e.keys() - {"tag", "text"})) for e in self.elements]


@pytest.fixture(autouse=True)
def no_limits(settings):
    settings.SESSION_MAX_PER_USER = 0
    settings.SESSION_CREATE_RATE = settings.MESSAGE_RATE = []


@pytest.fixture
def ada(client):
    user = User.objects.create_superuser("ada")
    client.force_login(user)
    return user


def make(user, titles, **fields):
    """Chats with these names, the first the newest."""
    now = timezone.now()
    chats = [
        Chat(owner=user, title=title, title_key=folded(title), title_source="user", persistent=n % 2 == 0, **fields)
        for n, title in enumerate(titles)
    ]
    for n, chat in enumerate(chats):
        chat.openclaw_session_key = f"webchat-{chat.pk}"
        chat.last_active_at = now - timedelta(minutes=n)
    return Chat.objects.bulk_create(chats)


@pytest.fixture
def chats(ada):
    return make(ada, EACH)


@pytest.fixture
def chat(ada):
    return Chat.objects.start(ada, title="Work", persistent=False)


def test_the_list_is_as_bad_as_it_says():
    assert len(STRINGS) > 600 and len(NAMES) == len(set(map(folded, NAMES))) == MANY
    assert {folded(name) for name in map(as_name, STRINGS) if name} <= set(map(folded, EACH))


# --- names as they are given


def refusal_of(text):
    try:
        checked_name(text)
    except BadName as refusal:
        return str(refusal)


class TestGiven:
    def test_each_is_one_visible_line_and_stays_as_it_is(self):
        for name in EACH:
            assert clean_name(name) == name == " ".join(name.split()) == unicodedata.normalize("NFC", name)
            assert 0 < len(name) <= MAX_NAME and has_visible(name)
            assert not re.search("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]", name)

    def test_by_form_they_are_kept_as_cleaned_or_refused_in_words(self, client, chat):
        """All that are refused; of the rest, whose way through the form is the same, some."""
        accepted = [text for text in STRINGS if as_name(text)]
        for text in (*accepted[::10], *(text for text in STRINGS if not as_name(text))):
            answer = client.post(f"/chats/{chat.pk}/rename/", {"title": text}, headers=HTMX)
            if name := as_name(text):
                assert answer.status_code == 204, text
                assert Chat.objects.values_list("title", flat=True).get() == name
            else:
                assert (answer.status_code, answer.content.decode()) == (400, refusal_of(text))
                assert answer["Content-Type"] == "text/plain; charset=utf-8"

    def test_by_api_it_is_the_same(self, client, ada, chat):
        token = ApiToken.make(ada, "test", By(ada))[1]
        for text in STRINGS:
            if not as_name(text):
                answer = call(client, token, "POST", "/api/sessions", {"name": text})
                assert (answer.status_code, answer.json()["error"]["message"]) == (400, refusal_of(text))
        for name in filter(None, map(as_name, SOME)):
            made = call(client, token, "PATCH", f"/api/sessions/{chat.key}", {"name": name}).json()
            assert made["name"] == made["label"] == name

    def test_a_file_brings_all_of_them_and_takes_them_along_unchanged(self, client, chats):
        bob = User.objects.create_user("bob")
        for first in range(0, 600, 200):
            part = chats[first : first + 200]
            answer = client.post("/chats/bulk/", {"do": "export", "ids": [chat.pk for chat in part]})
            assert [chat["title"] for chat in answer.json()["chats"]] == [chat.title for chat in part]
            assert [chat.title for chat in export.load(bob, answer.content, By(bob))] == [c.title for c in part]
        assert set(bob.chats.values_list("title", flat=True)) == set(EACH[:600])


def call(client, token, method, path, body=None):
    content = ("", "") if body is None else (json.dumps(body), "application/json")
    return client.generic(method, path, *content, headers={"Authorization": f"Bearer {token}"})


# --- names on pages


def page_of(client, address, **headers):
    answer = client.get(address, headers=headers)
    assert answer.status_code == 200, address
    return Page(answer)


class TestShown:
    def test_in_the_list_and_the_labels_of_its_menus(self, client, chats):
        page = page_of(client, f"/chats/list/?shown={len(EACH)}")
        assert page.texts("chat-item__title") == EACH
        assert page.values("aria-label", "button") == [f"Menu of {name}" for name in EACH]

    @pytest.mark.parametrize("show", ["", "archived", "trash"])
    def test_on_the_sessions_page(self, client, chats, show):
        moment = {"archived": "archived_at", "trash": "deleted_at"}.get(show)
        for chat in chats:
            if moment:
                setattr(chat, moment, chat.last_active_at)
        if moment:
            Chat.objects.bulk_update(chats, [moment], batch_size=200)
        pages, shown = range(1, len(EACH) // 50 + 1, 5 if show else 2), []
        for number in pages:
            page = page_of(client, f"/sessions/?show={show}&page={number}", **HTMX)
            shown += page.texts("bdi")
            assert [label.removeprefix("Select ") for label in page.values("aria-label", "input")[1:]] == shown[-50:]
        assert shown == [name for number in pages for name in EACH[50 * (number - 1) : 50 * number]]

    def test_in_the_header_the_switcher_and_the_menu(self, client, chats):
        for chat in chats[::40]:
            page = page_of(client, f"/chats/{chat.pk}/messages/?after=0", **HTMX)
            assert page.texts("title__text") == [chat.name]
            assert page.texts("bdi")[:2] == [chat.name] * 2, "the title, and the first of the switcher"
            assert [e["value"] for e in page.elements if e.get("name") == "title"] == [chat.name] * 2

    def test_in_a_pages_title(self, client, chats):
        for chat in chats[::100]:
            assert page_of(client, f"/chat/?session={chat.key}").texts("title")[0] == f"{chat.name} · WebChat"
            assert page_of(client, f"/chats/{chat.pk}/delete/").texts("title")[0].count(chat.name) <= 1

    def test_in_the_history(self, client, chats, ada):
        for chat, first in zip(chats, range(0, len(EACH), 200), strict=False):
            renamed = [ChatEvent(chat=chat, actor=ada, source="ui", verb="renamed") for _ in range(200)]
            for event, name in zip(renamed, EACH[first:], strict=False):
                event.detail = {"to": name}
            ChatEvent.objects.bulk_create(renamed)
            told = "\0".join(page_of(client, f"/chats/{chat.pk}/history/").texts("li"))
            assert sorted(re.findall("renamed to “([^\0]*)”", told)) == sorted(EACH[first : first + 200])

    def test_in_the_menu_of_commands(self, client, chats):
        moment = timezone.now()
        for first in range(0, len(EACH), 50):  # so many it completes to
            part = chats[first : first + 50]
            Chat.objects.filter(pk__in=[chat.pk for chat in part]).update(last_active_at=moment)
            moment += timedelta(hours=1)
            values = page_of(client, "/chats/commands/").values("data-value")
            assert Counter(values) == Counter(chat.title for chat in part)

    def test_in_the_api(self, client, chats):
        lists = [client.get(f"/api/sessions?limit=200&offset={n}").json()["sessions"] for n in range(0, len(EACH), 200)]
        assert [session["name"] for part in lists for session in part] == EACH

    def test_in_the_administration(self, client, chats):
        for number in range(1, len(EACH) // 50 + 1, 4):
            page = page_of(client, f"/admin/sessions_core/chat/?p={number}")
            listed = {e["text"] for e in page.elements if e["tag"] == "th" and "field-shown_name" in e.get("class", "")}
            wanted = Chat.objects.filter(title__in=listed).count()
            assert len(listed) == wanted == 50

    def test_in_an_export_to_read_each_is_a_heading_and_nothing_else(self, chats):
        for chat in chats[:600:3]:
            written = export.as_markdown(chat)
            heading, *rest = written.split("\n")
            page = Page(HttpResponse(markdown.render(heading)[0]))
            assert page.texts("h1") == [chat.title] and {e["tag"] for e in page.elements} <= {"h1", "a"}
            assert len(rest) == 3, "one line each: the name, and when it was"


# --- what is looked for


class TestLookedFor:
    def test_by_the_search_a_name_finds_its_chat_and_nothing_fails(self, client, chats):
        for text in SOME:
            page = page_of(client, f"/chats/search/?{urlencode({'q': text})}", **HTMX)
            found = page.texts("hit__name")
            assert set(found) <= set(EACH)
            if (name := as_name(text)) and len(found) < 20:
                assert folded(name) in map(folded, found), text
            if page.texts("hits__none"):
                assert page.texts("hits__none") == [f"Nothing found for “{text.strip()}”."]

    def test_by_the_filter_of_the_sessions_page(self, client, chats):
        for text in SOME[::2]:
            name = as_name(text)
            shown = page_of(client, f"/sessions/?{urlencode({'q': text})}", **HTMX).texts("bdi")
            assert not name or len(shown) == 50 or folded(name) in map(folded, shown), text

    def test_as_a_reference_each_name_leads_to_its_chat(self, client, chats, ada):
        by_name = {chat.title_key: chat for chat in chats}
        for text in STRINGS:
            wanted = by_name.get(folded(clean_name(text)))
            found = None
            with suppress(Chat.DoesNotExist):
                found = Chat.objects.for_user(ada).called(text)
            assert found == wanted, text

    def test_as_an_address_it_is_the_chats_page_or_not_found(self, client, chats):
        by_name = {chat.title_key: chat for chat in chats}
        for text in filter(None, SOME[::2]):
            answer = client.get(f"/chat/?{urlencode({'session': text})}")
            wanted = by_name.get(folded(clean_name(text)))
            assert answer.status_code == (200 if wanted else 404), text
            assert not wanted or answer.context["chat"] == wanted
            Page(answer)

    def test_as_an_address_of_the_api(self, client, chats):
        """With a slash or without a letter it is no one part of an address: then only the key leads there."""
        by_name = {chat.title_key: chat for chat in chats}
        for text in SOME:
            answer = client.get(f"/api/sessions/{quote(text, safe='')}")
            wanted = by_name.get(folded(clean_name(text)))
            if wanted and "/" not in text and "\n" not in text:
                assert answer.json()["name"] == wanted.title
            elif text:
                assert answer.status_code == 404 and answer.json()["error"]["code"] == "not_found", text

    def test_by_a_command_each_name_is_switched_to(self, client, chats):
        by_name = {chat.title_key: chat for chat in chats}
        for text in SOME:
            answer = client.post("/chats/", {"text": f"/switch {text}", "client_id": uuid.uuid4()}, headers=HTMX)
            assert answer.status_code == 200
            if wanted := by_name.get(folded(clean_name(text))):
                assert answer["HX-Redirect"] == f"/chat/?session={wanted.key}", text
            elif "HX-Redirect" not in answer:
                assert len(Page(answer).texts("message__body")) == 2
        assert Chat.objects.count() == len(EACH)


# --- what is said


class TestSaid:
    def test_each_message_is_kept_to_the_letter_or_refused_as_empty(self, client, chat):
        for text in (*SOME, "a\0b", "\0"):
            Message.objects.all().delete()
            sent = {"text": text, "client_id": uuid.uuid4()}
            answer = client.post(f"/chats/{chat.pk}/messages/", sent, headers=HTMX)
            if not has_visible(clean_text(text)):
                assert (answer.status_code, answer.content) == (400, b"The message is empty. Type something to send.")
                continue
            kept = Message.objects.get(client_id=sent["client_id"]).text
            assert Page(answer).texts("message__body")[0] == kept
            assert kept == clean_text(text) or text.startswith("/"), text

    def test_on_the_page_what_a_person_wrote_is_text_and_what_a_model_wrote_does_nothing(self, client, chat):
        texts = [clean_text(text) for text in STRINGS]
        asked = [
            Message(chat=chat, chapter=1, key_number=1, role="user", state="sent", seq=2 * n + 1, text=t)
            for n, t in enumerate(texts)
        ]
        Message.objects.bulk_create(asked)
        Message.objects.bulk_create(
            Message(
                chat=chat, chapter=1, key_number=1, role="assistant", state="done", seq=m.seq + 1, text=m.text, parent=m
            )
            for m in asked
        )
        shown = {}
        for before in range(51, 2 * len(texts) + 51, 50):
            page = page_of(client, f"/chats/{chat.pk}/messages/?before={before}", **HTMX)
            shown |= dict(zip(map(int, page.values("data-seq")), page.texts("message__body"), strict=True))
            for element in page.elements:
                assert not [name for name in element if name.startswith(("on", "hx-on", "style"))]
                assert element["tag"] not in {"script", "iframe", "svg", "style", "object", "embed", "base", "meta"}
                assert not element.get("src"), "nothing is loaded"
                assert re.match(r"(https?://|mailto:|/)", element.get("href", "/"))
        assert [shown[message.seq] for message in asked] == texts


# --- a thousand of them


def addresses(chat):
    """Every page that shows chats; with what is looked for first."""
    yield from ("/sessions/?q=e", "/sessions/?q=%25", "/chats/search/?q=a", "/chats/search/?q=%3C")
    yield from ("/api/sessions?q=e", "/admin/sessions_core/chat/?q=script")
    yield from ("/chat/", f"/chat/?session={chat.key}", "/chat/?shown=300", "/chat/?session=nobody", "/account/")
    yield from ("/sessions/", "/sessions/?page=4", "/sessions/?persistent=1", "/sessions/?show=archived")
    yield from ("/sessions/?show=trash", "/chats/list/", "/chats/list/?shown=300", "/chats/new/", "/chats/search/")
    yield from ("/chats/commands/", *(f"/chats/{chat.pk}/{page}/" for page in ("history", "delete", "menu")))
    yield from ("/api/sessions?limit=200", f"/api/sessions/{chat.key}", "/api/docs")
    yield from ("/admin/", "/admin/sessions_core/chat/", "/admin/sessions_core/chat/?p=2")
    yield from (f"/admin/sessions_core/chat/{chat.pk}/change/", "/admin/sessions_core/chatevent/")


def costs(client, chat):
    """Of each page, how many queries it takes."""
    costs = {}
    for address in addresses(chat):
        with CaptureQueriesContext(connection) as queries:
            answer = client.get(address)
        assert answer.status_code == (404 if "nobody" in address else 200), address
        costs[address] = len(queries)
    return costs


class TestAThousand:
    def test_every_page_works_and_takes_as_many_queries_as_with_a_few(self, client, ada):
        moment = timezone.now()
        few = make(ada, NAMES[:250])
        Chat.objects.filter(pk__in=[chat.pk for chat in few[100:160]]).update(archived_at=moment)
        Chat.objects.filter(pk__in=[chat.pk for chat in few[160:220]]).update(deleted_at=moment)
        client.get(f"/admin/sessions_core/chat/{few[3].pk}/change/")  # what a process looks up once is looked up
        expected = costs(client, few[3])
        make(ada, NAMES[250:])
        Chat.objects.filter(title__in=NAMES[300:500]).update(archived_at=moment)
        Chat.objects.filter(title__in=NAMES[500:700]).update(deleted_at=moment)
        assert costs(client, few[3]) == expected
        assert max(expected.values()) <= 12

    def test_no_name_becomes_a_part_of_a_page(self, client, ada):
        tame = [f"Chat {n}" for n in range(MANY)]
        chats = make(ada, tame)
        pages = [address for address in addresses(chats[3]) if not re.search("q=|/api/|shown=", address)]
        before = {address: Page(client.get(address)) for address in pages}
        worst_first = sorted(NAMES, key=lambda name: len(set(name) & set("<>&\"'{}")), reverse=True)
        for chat, name in zip(chats, worst_first, strict=True):
            chat.title, chat.title_key = name, folded(name)
        Chat.objects.bulk_update(chats, ["title", "title_key"], batch_size=200)
        for address in pages:
            assert Page(client.get(address)).structure == before[address].structure, address
