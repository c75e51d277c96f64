"""A gateway with two agents: the short key would be refused there, and each agent's sessions are its own."""

import uuid

import pytest

RECALL = "what do you remember?"


@pytest.fixture
def two_agents(openclaw, changed):
    agents = openclaw.config["agents"] | {"list": [{"id": "main", "default": True}, {"id": "helper"}]}
    changed(agents=agents)
    return openclaw


def test_each_chat_talks_to_its_own_agent_in_a_session_of_its_own(two_agents, make_server, provider):
    ada = make_server(two_agents).first_account()
    first, second = uuid.uuid4(), uuid.uuid4()
    for pk, title, agent in ((first, "With main", "main"), (second, "With the helper", "helper")):
        made = ada.post("/chats/", id=pk, title=title, agent=agent)
        assert made.is_success, made.text[:500]
    talks = [ada.talk(first), ada.talk(second)]
    for talk, word in zip(talks, ("train", "plane"), strict=True):
        talk.say(f"remember: the {word}")
        assert talk.reply(timeout=120) == f"Noted: the {word}."
        talk.say(RECALL)
    assert talks[0].reply(2, timeout=120).startswith("Facts: the train.")
    assert talks[1].reply(2, timeout=120).startswith("Facts: the plane.")
    assert len(provider.requests_of(talks[0].key)) == 2 and len(provider.requests_of(talks[1].key, "helper")) == 2


def test_an_agent_that_the_gateway_has_not_is_refused_before_anything_is_made(two_agents, make_server):
    ada = make_server(two_agents).first_account()
    refused = ada.post("/chats/", id=uuid.uuid4(), title="Nobody's", agent="nobody")
    assert "helper" in refused.text and "nobody" in refused.text
    assert ada.server.rows("select count(*) n from sessions_core_chat")[0]["n"] == 0
