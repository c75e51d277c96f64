"""Pages and actions, with and without JavaScript."""

import gzip
import uuid

import pytest
from django.contrib.auth.models import Group
from django.db import OperationalError

from sessions_core.models import AgentGrant, Chat, Message, User
from sessions_core.models.reading import FAR_BEHIND

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada(client):
    user = User.objects.create_user("ada")
    client.force_login(user)
    return user


@pytest.fixture
def chat(ada):
    return Chat.objects.start(ada, title="Work")


HTMX = {"HX-Request": "true"}


def send(client, chat, text, headers=None, **fields):
    return client.post(f"/chats/{chat.pk}/messages/", {"text": text, **fields}, headers=headers)


def test_the_root_leads_to_the_chat(client, ada):
    assert client.get("/").url == "/chat/"


def test_an_empty_page_offers_a_message_box_with_ids_for_what_it_will_make(client, ada):
    page = client.get("/chat/").content.decode()
    assert 'id="composer"' in page and 'name="id"' in page and 'name="client_id"' in page
    assert not Chat.objects.exists()


def test_the_first_message_makes_the_chat_and_its_page_is_shown(client, ada):
    pk = uuid.uuid4()
    fields = {"id": pk, "text": "Hello", "client_id": uuid.uuid4()}
    answers = [client.post("/chats/", fields) for _ in range(2)]
    assert [answer.url for answer in answers] == [f"/chat/?session=webchat-{pk}"] * 2
    assert Chat.objects.get().messages.filter(role="user").count() == 1


def test_with_javascript_the_first_message_answers_where_to_go(client, ada):
    answer = client.post("/chats/", {"id": uuid.uuid4(), "text": "Hello"}, headers=HTMX)
    assert answer["HX-Redirect"] == f"/chat/?session={Chat.objects.get().key}"


def test_pill_title_and_form_of_a_page_belong_to_one_chat(client, chat):
    page = client.get(f"/chat/?session={chat.key}").content.decode()
    assert f"Session: {chat.key}" in page
    assert f'action="/chats/{chat.pk}/messages/"' in page
    assert "<title>Work · WebChat</title>" in page


@pytest.mark.parametrize("reference", ["work", "WORK", "Work"])
def test_a_chat_is_addressed_by_its_name(client, chat, reference):
    assert client.get("/chat/", {"session": reference}).context["chat"] == chat


def test_an_unknown_session_is_a_404_that_lists_ones_own(client, chat):
    answer = client.get("/chat/?session=nothing")
    assert answer.status_code == 404
    assert "Work" in answer.content.decode()


def test_sending_without_javascript_leads_back_to_the_page(client, chat):
    answer = send(client, chat, "Hello", client_id=uuid.uuid4())
    assert answer.url == f"/chat/?session={chat.key}#message-{chat.messages.get(role='user').pk}"
    assert "Hello" in client.get(answer.url).content.decode()


def test_sending_with_javascript_answers_with_what_is_new(client, chat):
    send(client, chat, "one")
    answer = send(client, chat, "two", HTMX, after=0).content.decode()
    assert answer.count('class="message"') == 2
    assert 'data-state="queued"' in answer
    assert 'id="stop"' in answer and 'name="rev"' in answer


def test_what_the_page_s_script_asks_for_comes_compressed_and_nothing_else(client, chat):
    send(client, chat, "word " * 200)
    client.defaults["HTTP_ACCEPT_ENCODING"] = "gzip"
    news = client.get(f"/chats/{chat.pk}/messages/", {"after": 0}, headers=HTMX)
    text = gzip.decompress(news.content)
    assert news["Content-Encoding"] == "gzip" and b"word" in text
    assert int(news["Content-Length"]) == len(news.content) < len(text) / 2
    whole = client.get("/chat/", {"session": chat.key})
    assert "Content-Encoding" not in whole and b"word" in whole.content


def test_the_same_message_twice_is_stored_once_and_answered_alike(client, chat):
    fields = {"client_id": uuid.uuid4()}
    assert {send(client, chat, "Hello", HTMX, **fields).status_code for _ in range(5)} == {200}
    assert chat.messages.filter(role="user").count() == 1


@pytest.mark.parametrize("text", ["", "   ", "\u200b"])
def test_an_empty_message_is_refused_in_words(client, chat, text):
    answer = send(client, chat, text, HTMX)
    assert (answer.status_code, answer.content.decode()) == (400, "The message is empty. Type something to send.")
    assert not chat.messages.exists()


def test_a_refused_text_stays_in_the_box(client, chat):
    text = "x" * 100_001
    answer = send(client, chat, text)
    assert answer.status_code == 400
    assert text in answer.content.decode()
    assert "100,001 characters" in answer.content.decode()
    again = client.post("/chats/", {"text": text, "id": uuid.uuid4()})
    assert again.status_code == 400 and text in again.content.decode()
    assert Chat.objects.count() == 1


def test_a_client_id_that_is_none_is_refused(client, chat):
    assert send(client, chat, "Hello", client_id="nonsense").status_code == 400


def test_a_full_queue_refuses_with_409(client, chat):
    for n in range(6):
        send(client, chat, str(n))
    assert send(client, chat, "7", HTMX).status_code == 409


def test_updates_hold_all_after_a_place(client, chat):
    send(client, chat, "one")
    fragment = client.get(f"/chats/{chat.pk}/messages/?after=1", headers=HTMX).content.decode()
    assert 'data-seq="2"' in fragment and 'data-seq="1"' not in fragment


def test_a_page_that_lacks_very_much_is_led_to_a_new_one(client, chat):
    def said(seq):
        return Message(chat=chat, chapter=1, key_number=1, seq=seq, role="user", state="sent", text=f"number {seq}.")

    Message.objects.bulk_create(said(seq) for seq in range(1, FAR_BEHIND + 12))
    address, here = f"/chats/{chat.pk}/messages/", f"/chat/?session={chat.key}"
    assert client.get(address, {"after": 10}, headers=HTMX).url == here
    assert send(client, chat, "Hello", HTMX, after=10)["HX-Redirect"] == here
    news = client.get(address, {"after": 20}, headers=HTMX).content.decode()
    assert "number 20." not in news and "number 21." in news and f"number {FAR_BEHIND + 11}." in news


def test_an_address_that_is_no_page_leads_to_one(client, chat):
    """After signing in again, or by a reload after a refusal."""
    assert client.get(f"/chats/{chat.pk}/messages/").url == f"/chat/?session={chat.key}"
    assert client.get("/chats/").url == "/chat/"


def test_copying_a_reply_means_this_version_of_it(client, chat):
    chat.receive("one")
    chat.stop()
    old = chat.messages.replies().get()
    Message.objects.filter(pk=old.pk).update(text="the earlier one")
    new = chat.retry(old)
    chat.stop()
    Message.objects.filter(pk=new.pk).update(text="the later one")
    page = client.get(f"/chat/?session={chat.key}").content.decode()
    assert f'data-from="/chats/{chat.pk}/source/?message={new.pk}"' in page
    answer = client.get(f"/chats/{chat.pk}/source/", {"message": new.pk})
    assert answer["Content-Type"] == "text/plain; charset=utf-8" and answer.content == b"the later one"


def test_a_message_of_another_chat_is_no_source(client, ada, chat):
    message = Chat.objects.start(ada).receive("elsewhere")
    for wanted in (message.pk, "x", ""):
        assert client.get(f"/chats/{chat.pk}/source/", {"message": wanted}).status_code == 404


def test_a_nul_in_an_address_is_just_unknown(client, chat):
    assert client.get("/chat/", {"session": "webchat-\x00"}).status_code == 404


@pytest.mark.parametrize("place", ["-1", "10000000000000000000", "x", "", "1e3", "٣٣٣٣٣٣٣٣٣٣٣"])
def test_a_senseless_place_is_the_beginning(client, chat, place):
    assert client.get(f"/chats/{chat.pk}/messages/", {"after": place}, headers=HTMX).status_code == 200
    assert client.get("/chat/", {"session": chat.key, "before": place}).status_code == 200


def test_earlier_messages_are_a_page_of_their_own(client, chat):
    for n in range(120):
        chat._place(Message(role="notice", text=f"note {n}."), "sent")
    page = client.get(f"/chat/?session={chat.key}").content.decode()
    assert "note 119." in page and "note 69." not in page and "before=71" in page
    older = client.get(f"/chats/{chat.pk}/messages/?before=71", headers=HTMX).content.decode()
    assert "note 69." in older and "note 20." in older and "note 19." not in older and "before=21" in older
    assert "note 69." in client.get(f"/chat/?session={chat.key}&before=71").content.decode()


def test_stop_is_for_the_reply_that_was_seen(client, chat):
    send(client, chat, "one")
    send(client, chat, "two")
    first = chat.messages.get(role="assistant")
    first.settle("done")
    second = chat.messages.running().get()
    client.post(f"/chats/{chat.pk}/stop/", {"reply": first.pk}, headers=HTMX)
    assert chat.messages.running().get() == second
    shown = client.get(f"/chat/?session={chat.key}").content.decode()
    assert f'name="reply" value="{second.pk}"' in shown
    client.post(f"/chats/{chat.pk}/stop/", {"reply": second.pk}, headers=HTMX)
    assert not chat.messages.running().exists()


def test_stop_retry_and_queue_are_plain_forms(client, chat):
    send(client, chat, "one")
    back = f"/chat/?session={chat.key}"
    assert client.post(f"/chats/{chat.pk}/stop/").url == back
    reply = chat.messages.get(role="assistant")
    assert reply.state == "stopped"
    again = client.post(f"/chats/{chat.pk}/retry/", {"message": reply.pk})
    assert again.url == f"{back}#message-{chat.messages.running().get().pk}"
    send(client, chat, "two")
    queued = chat.messages.get(state="queued")
    assert client.post(f"/chats/{chat.pk}/queue/", {"cancel": queued.pk}).url == back
    assert chat.messages.get(pk=queued.pk).state == "cancelled"


def test_a_waiting_message_comes_back_into_the_box_to_be_edited(client, chat):
    for text in ("one", "two <b>", "three"):
        send(client, chat, text)
    two, three = chat.messages.filter(state="queued").order_by("pk")
    page = client.post(f"/chats/{chat.pk}/queue/", {"edit": two.pk}).content.decode()
    assert "two &lt;b&gt;</textarea>" in page
    answer = client.post(f"/chats/{chat.pk}/queue/", {"edit": three.pk}, headers=HTMX)
    assert (answer.content, answer["Content-Type"]) == (b"three", "text/plain; charset=utf-8")
    assert not chat.messages.pending().exists()
    again = client.post(f"/chats/{chat.pk}/queue/", {"edit": three.pk}, headers=HTMX)
    assert again.content == b"three", "the first answer may not have arrived"
    sent = chat.messages.get(text="one")
    assert client.post(f"/chats/{chat.pk}/queue/", {"edit": sent.pk}, headers=HTMX).status_code == 204


def test_what_was_held_is_not_sent_on_by_who_has_lost_the_right(client, chat):
    send(client, chat, "one")
    send(client, chat, "two")
    chat.messages.running().get().settle("failed")
    AgentGrant.objects.create(group=Group.objects.create(name="ops"), agent=chat.agent or "main")
    answer = client.post(f"/chats/{chat.pk}/queue/", {"resume": 1}, headers=HTMX)
    assert answer.status_code == 403 and "agent" in answer.content.decode()
    assert chat.messages.get(text="two").state == "held"


def test_an_answer_that_was_cut_short_says_so_and_can_be_asked_for_anew(client, chat):
    send(client, chat, "Tell me all")
    Message.objects.replies().get().settle("done", text="Half", code="length_limit", error="It was cut short.")
    page = client.get(f"/chat/?session={chat.key}").content.decode()
    assert "It was cut short." in page and ">Regenerate</button>" in page


def test_a_retry_that_cannot_be_says_so(client, chat):
    send(client, chat, "one")
    reply = chat.messages.get(role="assistant")
    answer = client.post(f"/chats/{chat.pk}/retry/", {"message": reply.pk}, headers=HTMX)
    assert answer.status_code == 409


def test_held_messages_are_sent_on(client, chat):
    question = chat.receive("one")
    Message.objects.create(chat=chat, role="user", state="held", text="two", chapter=1, key_number=1)
    question.versions.get().settle("failed")
    assert "Send the rest" in client.get(f"/chat/?session={chat.key}").content.decode()
    client.post(f"/chats/{chat.pk}/queue/", {"resume": "1", "text": "being typed"})
    assert chat.messages.get(text="two").state == "sent"
    assert Chat.objects.get(pk=chat.pk).draft == "being typed"


def test_reading_is_told_by_a_post(client, chat):
    chat.receive("one").versions.get().settle("done")
    assert client.post(f"/chats/{chat.pk}/read/", {"seq": 2}).status_code == 204
    assert Chat.objects.get().read_seq == 2


class TestCreateSession:
    def test_the_dialog_comes_as_a_fragment_and_as_a_page(self, client, ada):
        assert "<dialog" in client.get("/chats/new/", headers=HTMX).content.decode()
        page = client.get("/chats/new/").content.decode()
        assert "<dialog" not in page and 'name="title"' in page

    def test_a_named_session_is_persistent_unless_unticked(self, client, ada):
        client.post("/chats/", {"title": "Garden", "persistent": "on"})
        client.post("/chats/", {"title": "Scratch"})
        assert list(Chat.objects.order_by("title").values_list("title", "persistent")) == [
            ("Garden", True),
            ("Scratch", False),
        ]

    def test_an_error_stands_beside_the_field_and_the_name_stays(self, client, chat):
        answer = client.post("/chats/", {"title": "wOrK", "persistent": "on"}, headers=HTMX).content.decode()
        assert "You have a session named “wOrK” already" in answer
        assert 'value="wOrK"' in answer and 'aria-invalid="true"' in answer
        assert client.post("/chats/", {"title": ""}).status_code == 400

    def test_with_javascript_the_new_session_is_switched_to(self, client, ada):
        answer = client.post("/chats/", {"title": "Garden"}, headers=HTMX)
        assert answer["HX-Redirect"] == f"/chat/?session={Chat.objects.get().key}"


def test_names_are_shown_and_never_executed(client, ada):
    for name in (
        "<script>alert(1)</script>",
        '" onmouseover="x',
        "{{7*7}}",
        "{% raw %}",
        "' OR 1=1 --",
        "../../etc/passwd",
    ):
        chat = Chat.objects.start(ada, title=name)
        page = client.get(f"/chat/?session={chat.key}").content.decode()
        assert "<script>alert" not in page and 'onmouseover="x' not in page and "49" not in page.split("<h1")[1][:200]
        assert client.get("/chat/", {"session": name}).context["chat"] == chat


def test_a_page_costs_few_queries_however_long_the_history(client, chat, django_assert_max_num_queries):
    for n in range(200):
        chat._place(Message(role="notice", text=str(n)), "sent")
    with django_assert_max_num_queries(8):
        client.get(f"/chat/?session={chat.key}")
    with django_assert_max_num_queries(4):
        client.get("/chats/list/")


def test_a_reply_being_written_is_shown_as_far_as_it_is(client, chat):
    reply = chat.receive("one").versions.get()
    Message.objects.claim("p", 1)
    reply.deltas.create(seq=1, text="# Title\n\nSome 𝄞 ")
    reply.deltas.create(seq=2, text="text")
    page = client.get(f"/chat/?session={chat.key}").content.decode()
    assert 'data-seq="2" data-upto="8"' in page
    assert "<h1>Title</h1>" in page and "Some 𝄞 text" in page


def test_what_a_person_wrote_is_shown_as_it_is(client, chat):
    send(client, chat, "<b>**bold**</b>\n  two")
    assert "&lt;b&gt;**bold**&lt;/b&gt;\n  two" in client.get(f"/chat/?session={chat.key}").content.decode()


def test_the_demo_is_named_as_long_as_no_gateway_is_set(client, chat, settings):
    assert "Demo gateway" in client.get("/chat/").content.decode()
    settings.OPENCLAW_GATEWAY_URL = "http://127.0.0.1:1"
    assert "Demo gateway" not in client.get("/chat/").content.decode()


class TestBusyDatabase:
    @pytest.fixture(autouse=True)
    def locked(self, monkeypatch, chat):
        def locked(*args, **kwargs):
            raise OperationalError("database is locked")

        monkeypatch.setattr(Chat, "receive", locked)

    def test_a_page_that_cannot_be_read_looks_again_by_itself(self, client, chat, monkeypatch):
        monkeypatch.setattr(Chat.objects, "for_user", lambda user: Chat().receive())
        answer = client.get("/chat/", {"session": chat.key}, headers={"Accept": "text/html"})
        assert (answer.status_code, answer["Retry-After"]) == (503, "2")
        assert '<meta http-equiv="refresh" content="2">' in answer.content.decode()
        assert "typed" not in answer.content.decode()

    def test_the_page_s_script_is_told_to_send_it_again(self, client, chat):
        answer = send(client, chat, "Hello", HTMX)
        assert (answer.status_code, answer["Retry-After"]) == (503, "2")
        assert answer["Content-Type"].startswith("text/plain")
        assert answer.content.decode() == "The database is busy and nothing was changed. Try again in a moment."

    def test_without_javascript_it_is_a_page_that_leads_back(self, client, chat):
        answer = send(client, chat, "Hello", {"Accept": "text/html"})
        assert answer.status_code == 503
        assert "go back: what you typed is still there" in answer.content.decode()
        assert "refresh" not in answer.content.decode()

    def test_what_is_broken_otherwise_is_no_matter_of_patience(self, client, chat, monkeypatch):
        monkeypatch.setattr(Chat, "receive", lambda *args: 1 / 0)
        client.raise_request_exception = False
        assert send(client, chat, "Hello").status_code == 500
