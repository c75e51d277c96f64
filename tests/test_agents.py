"""Agents that are kept to groups: to everybody else they do not exist, wherever an agent can be named."""

import json
import uuid
from io import StringIO

import pytest
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command

from sessions_core import errors
from sessions_core.export import as_data, load
from sessions_core.gateway import tools
from sessions_core.models import AgentGrant, ApiToken, By, Chat, Message, User
from sessions_core.models.grant import offered_to, usual_for
from tests.test_session_verbs import allow_main
from tests.test_sessions import answered

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def three_agents(monkeypatch):
    monkeypatch.setattr(tools, "agents", lambda: ["main", "ops", "writer"])


@pytest.fixture(autouse=True)
def operators():
    """The only ones for whom there is the agent ops."""
    group = Group.objects.create(name="operators")
    AgentGrant.objects.create(group=group, agent="ops")
    return group


@pytest.fixture
def ada(ada, operators):
    ada.groups.add(operators)
    return ada


@pytest.fixture
def signed_in(client, bob):
    client.force_login(bob)
    return client


def no_such(refusal):
    return str(refusal).replace("ops", "…").replace("nobody", "…")


class TestWhoHasIt:
    def test_its_group_and_nobody_else_while_the_others_are_everybodys(self, ada, bob):
        assert offered_to(ada) == ["main", "ops", "writer"]
        assert offered_to(bob) == ["main", "writer"]

    def test_one_of_its_groups_is_enough(self, bob, operators):
        others = Group.objects.create(name="others")
        AgentGrant.objects.create(group=others, agent="ops")
        bob.groups.add(others)
        assert "ops" in offered_to(bob)

    def test_an_administrator_is_no_member_by_that(self):
        assert "ops" not in offered_to(User.objects.create_superuser("root"))

    def test_who_has_no_choice_gets_the_first_that_is_open(self, bob, ada, operators):
        AgentGrant.objects.create(group=operators, agent="main")
        assert (usual_for(ada), usual_for(bob)) == ("main", "writer")
        assert Chat.objects.start(bob).agent == "writer"

    def test_an_agent_once_chosen_as_the_usual_one_is_no_right(self, bob):
        bob.default_agent = "ops"
        assert usual_for(bob) == "main"

    def test_where_none_is_open_that_is_said(self, signed_in, bob, operators):
        for agent in ("main", "writer"):
            AgentGrant.objects.create(group=operators, agent=agent)
        answer = signed_in.post("/chats/", {"id": uuid.uuid4(), "text": "Hello", "client_id": uuid.uuid4()})
        assert answer.status_code == 403 and "No agent is open to you." in answer.content.decode()
        with pytest.raises(errors.BadAgent, match=r"no agent “ops”\. None is open to you"):
            Chat.objects.start(bob, agent="ops")
        assert not Chat.objects.exists()

    def test_a_plain_server_has_no_agents_to_keep(self, bob, settings):
        settings.GATEWAY_KIND = "openai"
        chat = Chat.objects.create(owner=bob, agent="ops", openclaw_session_key=f"webchat-{uuid.uuid4()}")
        assert chat.in_reach


class TestElsewhereItDoesNotExist:
    """The same words as for an agent that there is not."""

    def test_for_a_new_session(self, bob):
        refusals = []
        for agent in ("ops", "nobody"):
            with pytest.raises(errors.BadAgent) as refusal:
                Chat.objects.start(bob, agent=agent)
            refusals.append(no_such(refusal.value))
        assert refusals == ["There is no agent “…”. The gateway offers: main, writer."] * 2

    def test_in_the_dialog_and_on_the_account_page(self, signed_in):
        for address in ("/chats/new/", "/account/"):
            page = signed_in.get(address).content.decode()
            assert "writer</option>" in page and "ops" not in page
        assert "no agent" in signed_in.post("/chats/", {"title": "New", "agent": "ops"}).content.decode()
        assert signed_in.post("/account/", {"theme": "dark", "default_agent": "ops"}).status_code == 400
        signed_in.post("/account/", {"theme": "dark", "default_agent": "writer"})
        assert User.objects.get(username="bob").default_agent == "writer"

    def test_for_a_program(self, client, bob):
        token = f"Bearer {ApiToken.make(bob, 'Script', By(bob))[1]}"
        answers = [
            client.post("/api/sessions", {"agent": agent}, "application/json", headers={"authorization": token})
            for agent in ("ops", "nobody")
        ]
        assert [answer.status_code for answer in answers] == [400, 400]
        assert len({no_such(answer.json()) for answer in answers}) == 1

    def test_for_an_operator_who_makes_or_gives_a_session_to_somebody(self, ada, bob):
        with pytest.raises(CommandError, match="There is no agent “ops”"):
            call_command("sessions", "create", "New", "--user", "bob", "--agent", "ops")
        chat = Chat.objects.start(ada, title="Work", agent="ops")
        with pytest.raises(CommandError, match="The agent “ops”, which answers there, is not open to bob"):
            call_command("sessions", "give", chat.key, "--to", "bob", stdout=StringIO())
        assert Chat.objects.get(pk=chat.pk).owner == ada

    def test_for_a_file_which_goes_on_with_the_usual_one(self, ada, bob):
        file = json.dumps(as_data([Chat.objects.start(ada, title="Work", agent="ops")])).encode()
        assert load(ada, file, By(ada))[0].agent == "ops"
        assert load(bob, file, By(bob))[0].agent == "main"

    def test_for_the_main_session(self, bob, operators):
        AgentGrant.objects.create(group=operators, agent="main")
        assert Chat.objects.main_of(allow_main(bob), By(bob)).agent == "writer"


class TestTakenAway:
    """From somebody who has sessions with it."""

    @pytest.fixture
    def chat(self, ada, operators):
        chat = Chat.objects.start(ada, title="Work", agent="ops", persistent=False)
        answered(chat, "Hello", "Yes.")
        return chat

    @pytest.mark.parametrize(
        "act",
        [
            lambda chat, by: chat.receive("More"),
            lambda chat, by: chat.regenerate(chat.messages.replies().get(), by),
            lambda chat, by: chat.edit(chat.messages.get(role="user"), "Else", by=by),
            lambda chat, by: chat.retry(chat.messages.replies().get()),
            lambda chat, by: chat.resume_queue(),
        ],
    )
    def test_nothing_more_goes_to_it_and_nothing_is_lost(self, chat, ada, operators, act):
        ada.groups.remove(operators)
        before = list(chat.messages.values_list("text", flat=True))
        with pytest.raises(errors.NotAllowed, match="The agent “ops” is not open to you any more"):
            act(Chat.objects.get(pk=chat.pk), By(ada))
        assert list(chat.messages.values_list("text", flat=True)) == before
        ada.groups.add(operators)
        assert chat.receive("More").reply

    def test_what_waits_in_line_is_held(self, chat, ada, operators):
        chat.receive("one")
        chat.receive("two")
        ada.groups.remove(operators)
        chat.messages.running().get().settle("done")
        assert chat.messages.get(text="two").state == Message.State.HELD

    def test_it_can_still_be_read_named_and_taken_along_as_a_file(self, client, chat, ada, operators):
        ada.groups.remove(operators)
        client.force_login(ada)
        assert "Yes." in client.get(f"/chat/?session={chat.key}").content.decode()
        chat.rename("Old work", By(ada))
        assert as_data([chat])["chats"][0]["title"] == "Old work"
        sent = client.post(f"/chats/{chat.pk}/messages/", {"text": "More"}, headers={"HX-Request": "true"})
        assert sent.status_code == 403 and "is not open to you any more" in sent.content.decode()

    def test_a_fork_would_need_it(self, chat, ada, operators):
        ada.groups.remove(operators)
        with pytest.raises(errors.BadAgent):
            chat.fork(By(ada))


class TestAdmin:
    ADDRESS = "/admin/auth/group/"
    FORMSET = {"agent_grants-INITIAL_FORMS": 0, "agent_grants-TOTAL_FORMS": 1}

    @pytest.fixture
    def root(self, client):
        client.force_login(User.objects.create_superuser("root"))
        return client

    def test_a_group_gets_its_agents_by_suggestion(self, root):
        page = root.get(f"{self.ADDRESS}add/").content.decode()
        assert '<option value="writer"></option>' in page
        root.post(f"{self.ADDRESS}add/", {"name": "Writers", **self.FORMSET, "agent_grants-0-agent": " Writer"})
        assert AgentGrant.objects.get(agent="writer").group.name == "Writers"

    def test_what_can_be_no_agent_is_refused(self, root):
        fields = {"name": "Writers", **self.FORMSET, "agent_grants-0-agent": "agent:main"}
        assert "such as main" in root.post(f"{self.ADDRESS}add/", fields).content.decode()

    def test_one_that_the_gateway_does_not_have_is_granted_with_a_warning(self, root, fake_gateway, settings):
        settings.OPENCLAW_GATEWAY_URL, settings.OPENCLAW_GATEWAY_TOKEN = fake_gateway.url, fake_gateway.token

        def saved(name, agent):
            fields = {"name": name, **self.FORMSET, "agent_grants-0-agent": agent}
            page = root.post(f"{self.ADDRESS}add/", fields, follow=True).content.decode()
            assert AgentGrant.objects.filter(group__name=name, agent=agent).exists()
            return page

        assert "The gateway has no agent “wirter”; it has: main." in saved("Writers", "wirter")
        assert "The gateway has no agent" not in saved("All", "main")
        fake_gateway.stop()
        assert "The gateway has no agent" not in saved("Later", "somebody")
