"""What admins see and may do: everything about chats but what was said in them."""

import re

import pytest
from django.contrib.auth.models import Permission

from sessions_core.models import ApiToken, By, Chat, ChatEvent, Message, User
from tests.test_sessions import answered

pytestmark = [pytest.mark.django_db, pytest.mark.thorough]

CANARY = "Xanthippe"
CHATS, MESSAGES, HISTORY = (
    "/admin/sessions_core/chat/",
    "/admin/sessions_core/message/",
    "/admin/sessions_core/chatevent/",
)
TOKENS, USERS = "/admin/sessions_core/apitoken/", "/admin/sessions_core/user/"


@pytest.fixture
def root(client):
    root = User.objects.create_superuser("root")
    client.force_login(root)
    return root


@pytest.fixture
def chat(ada):
    """Everything a person can have said is the canary; so is what follows from it."""
    chat = Chat.objects.start(ada)
    answered(chat, f"{CANARY} said", f"Yes, {CANARY}")
    chat.notice(f"A notice about {CANARY}", {"offer": CANARY})
    chat.receive("Again").versions.get().settle("failed", code="rejected", error=f"It says: {CANARY}")
    chat.keep_draft(f"To {CANARY}")
    chat.trash(By(ada))
    chat.restore(By(ada))
    return chat


def everything(chat, token):
    """Each list and each page of a thing."""
    yield from (CHATS, f"{CHATS}{chat.pk}/change/", f"{CHATS}{chat.pk}/history/", MESSAGES, HISTORY, TOKENS, USERS)
    yield from (f"{CHATS}?q={CANARY}", f"{MESSAGES}?q={CANARY}")
    yield from (f"{MESSAGES}{message.pk}/change/" for message in chat.messages.all())
    yield from (f"{HISTORY}{event.pk}/change/" for event in ChatEvent.objects.all())
    yield from (f"{TOKENS}{token.pk}/change/", f"{USERS}{chat.owner_id}/change/", "/admin/")


def rows(client, address):
    return client.get(address).context["cl"].result_count


class TestWhatWasSaid:
    def test_is_on_no_page(self, client, root, chat, ada):
        token, secret = ApiToken.make(ada, "Script", By(ada))
        for address in everything(chat, token):
            page = client.get(address)
            assert page.status_code == 200, address
            html = re.sub(f'(value="|[?;]q=){CANARY}', "", page.content.decode())  # the search repeats what was asked
            assert CANARY not in html, address
            assert secret not in html and token.digest not in html, address

    def test_is_there_for_reading_where_the_operator_wants_that(self, client, root, chat, settings):
        settings.ADMIN_SHOWS_TEXT = True
        reply = chat.messages.replies().first()
        page = client.get(f"{MESSAGES}{reply.pk}/change/").content.decode()
        assert f"Yes, {CANARY}" in page and "<textarea" not in page and 'name="_save"' not in page
        assert f"{CANARY} said" in client.get(CHATS).content.decode()
        assert CANARY in client.get(f"{CHATS}{chat.pk}/change/").content.decode()

    def test_a_draft_is_never_shown(self, client, root, chat, settings):
        settings.ADMIN_SHOWS_TEXT = True
        assert "To Xanthippe" not in client.get(f"{CHATS}{chat.pk}/change/").content.decode()

    def test_cannot_be_searched_unless_it_is_shown(self, client, root, chat, settings):
        assert rows(client, f"{CHATS}?q={CANARY}") == rows(client, f"{MESSAGES}?q={CANARY}") == 0
        settings.ADMIN_SHOWS_TEXT = True
        assert rows(client, f"{CHATS}?q={CANARY}") == 1
        assert rows(client, f"{MESSAGES}?q={CANARY}") == 3

    @pytest.mark.parametrize(
        "question",
        [
            *(f"{CHATS}?title__startswith=X", f"{CHATS}?draft__contains=X", f"{CHATS}?messages__text__contains=X"),
            *(f"{MESSAGES}?text__startswith=X", f"{MESSAGES}?chat__title__startswith=X", f"{MESSAGES}?html__gt=a"),
            *(f"{HISTORY}?detail__title__startswith=X", f"{HISTORY}?chat__title__startswith=X"),
            *(f"{TOKENS}?digest__startswith=a", f"{TOKENS}?owner__password__startswith=a"),
            f"{USERS}?chats__title__startswith=X",
        ],
    )
    def test_cannot_be_guessed_a_letter_at_a_time(self, client, root, chat, question):
        assert client.get(question).status_code == 400

    def test_a_name_that_was_chosen_is_shown_and_found(self, client, root, ada):
        Chat.objects.start(ada, title="Plans")
        assert "Plans" in client.get(f"{CHATS}?q=plan").content.decode()

    def test_protecting_does_not_make_an_automatic_title_a_name_to_see(self, client, root, chat):
        page = do(client, "protect", chat)
        assert "no name of its own" in page and CANARY not in page
        assert not Chat.objects.get(pk=chat.pk).persistent

    def test_the_page_that_deletes_an_account_lists_no_titles(self, client, root, chat, ada):
        assert client.get(f"{USERS}{ada.pk}/delete/").status_code == 403
        chat.delete()
        assert client.get(f"{USERS}{ada.pk}/delete/").status_code == 200


def do(client, action, *chats):
    fields = {"action": action, "_selected_action": [str(chat.pk) for chat in chats]}
    return client.post(CHATS, fields, follow=True).content.decode()


class TestActions:
    @pytest.fixture
    def work(self, ada):
        return Chat.objects.start(ada, title="Work", persistent=False)

    def test_protect_and_unprotect_by_the_verbs(self, client, root, work):
        do(client, "protect", work)
        assert Chat.objects.get(pk=work.pk).persistent
        do(client, "unprotect", work)
        assert not Chat.objects.get(pk=work.pk).persistent
        events = work.events.exclude(verb="created").order_by("pk")
        assert [(e.verb, e.actor, e.source) for e in events] == [
            ("protected", root, "admin"),
            ("unprotected", root, "admin"),
        ]

    def test_trash_and_restore(self, client, root, work):
        do(client, "trash", work)
        assert Chat.objects.get(pk=work.pk).deleted_at
        assert "It is in the trash." in do(client, "protect", work)
        do(client, "restore", work)
        assert Chat.objects.get(pk=work.pk).deleted_at is None
        assert "It is not in the trash." in do(client, "restore", work)

    def test_a_refusal_is_told_and_the_others_are_done(self, client, root, ada, settings):
        gone = [Chat.objects.start(ada, title=name) for name in ("One", "Two")]
        for chat in gone:
            chat.trash(By(ada))
        settings.SESSION_MAX_PER_USER = 1
        assert "You have 1 named sessions, which is the most there may be." in do(client, "restore", *gone)
        assert Chat.objects.for_user(ada).count() == 1

    def test_who_may_only_look_is_offered_none(self, client, work):
        viewer = User.objects.create_user("viewer", is_staff=True)
        viewer.user_permissions.add(Permission.objects.get(codename="view_chat"))
        client.force_login(viewer)
        assert client.get(CHATS).status_code == 200
        do(client, "trash", work)
        assert not Chat.objects.get(pk=work.pk).deleted_at

    def test_a_token_can_be_revoked(self, client, root, ada):
        token, _ = ApiToken.make(ada, "Script", By(ada))
        assert "Script" in client.get(TOKENS).content.decode()
        client.post(TOKENS, {"action": "revoke", "_selected_action": [token.pk]})
        assert not ApiToken.objects.exists()
        assert ChatEvent.objects.filter(verb="token revoked", actor=root, source="admin").exists()


@pytest.mark.parametrize("model", ["chat", "message", "chatevent", "apitoken"])
def test_nothing_can_be_added_changed_or_deleted_here(client, root, chat, ada, model):
    ApiToken.make(ada, "Script", By(ada))
    things = {"chat": Chat, "message": Message, "chatevent": ChatEvent, "apitoken": ApiToken}[model].objects
    thing, before = things.order_by("pk").first(), list(things.order_by("pk").values())
    folder = f"/admin/sessions_core/{model}/"
    answers = [client.post(f"{folder}{path}", {"post": "yes"}) for path in ("add/", f"{thing.pk}/change/")]
    answers.append(client.post(f"{folder}{thing.pk}/delete/", {"post": "yes"}))
    assert {answer.status_code for answer in answers} == {403}
    client.post(folder, {"action": "delete_selected", "_selected_action": [str(thing.pk)], "post": "yes"})
    assert list(things.order_by("pk").values()) == before


@pytest.mark.parametrize("path", ["/admin/", CHATS, MESSAGES, "/admin/nothing/"])
def test_who_is_no_staff_finds_nothing_and_a_visitor_the_login(client, ada, path):
    assert client.get(path).url.startswith("/admin/login/")
    client.force_login(ada)
    answer = client.get(path)
    assert answer.status_code == 404
    assert "There is nothing here" in answer.content.decode()


def test_the_right_to_the_main_session_can_be_given(client, root, ada):
    right = Permission.objects.get(codename="use_main_session")
    address = f"{USERS}{ada.pk}/change/"
    assert f'<option value="{right.pk}"' in client.get(address).content.decode()
    fields = {"username": "ada", "theme": "system", "time_zone": "", "is_active": "on", "user_permissions": [right.pk]}
    assert client.post(address, fields).status_code == 302
    assert User.objects.get(pk=ada.pk).has_perm("sessions_core.use_main_session")
