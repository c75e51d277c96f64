"""The whole app against the real gateway: memory for each chat, over restarts of both; stop; what is said anew."""

from tests.server import wait_until

RECALL = "what do you remember?"


def test_two_chats_have_two_memories_over_a_restart_of_gateway_and_app(openclaw, server, ada, provider):
    train, plane = ada.chat("remember: train at 7:42"), ada.chat("remember: plane at 9:15")
    assert train.reply(timeout=120) == "Noted: train at 7:42."
    assert plane.reply(timeout=120) == "Noted: plane at 9:15."
    openclaw.restart()
    assert server.stop() == 0
    server.start()
    train.say(RECALL)
    plane.say(RECALL)
    assert "train at 7:42" in train.reply(2, timeout=120) and "plane" not in train.reply(2)
    assert "plane at 9:15" in plane.reply(2, timeout=120) and "train" not in plane.reply(2)
    assert provider.requests_of(train.key)[-1].facts == ["train at 7:42"]


def test_a_stop_ends_the_run_and_the_next_message_carries_the_lost_tail_once(server, ada, provider):
    chat = ada.chat("remember: the first thing")
    chat.reply(timeout=120)
    chat.say("slow 300")
    wait_until(lambda: len(chat.replies) == 2 and chat.replies[1]["text"], 60)
    chat.do("stop")
    stopped = chat.reply(2, "stopped")
    assert stopped
    wait_until(lambda: any(request.session and chat.key in request.session for request in provider.gone), 10)
    chat.say(RECALL)
    answer = chat.reply(3, timeout=120)
    assert "the first thing" in answer
    sent = "\n".join(str(message) for message in provider.requests_of(chat.key)[-1].messages)
    assert stopped.strip()[:40] in sent and "slow 300" in sent
    chat.say("remember: the last thing")
    chat.reply(4, timeout=120)
    assert provider.requests_of(chat.key)[-1].facts.count("the first thing") == 1


def test_a_regenerated_reply_knows_what_was_said_before_and_not_what_it_replaces(server, ada, provider):
    chat = ada.chat("remember: the train at 7:42")
    chat.reply(timeout=120)
    chat.say(RECALL)
    replaced = chat.reply(2, timeout=120)
    chat.do("regenerate", message=chat.replies[1]["id"])
    assert "the train at 7:42" in chat.reply(3, timeout=120)
    heard = provider.requests_of(f"{chat.key}-c2")[-1]
    assert heard.newest == RECALL and heard.facts == ["the train at 7:42"]
    assert replaced not in str(heard.messages)
    chat.say("remember: the plane at 9:15")
    chat.reply(4, timeout=120)
    chat.say(RECALL)
    answer = chat.reply(5, timeout=120)
    assert "the train at 7:42" in answer and "the plane at 9:15" in answer
    heard = provider.requests_of(f"{chat.key}-c2")[-1]
    assert heard.facts == ["the train at 7:42", "the plane at 9:15"], "each once: it went along once"


def test_an_edited_question_is_what_the_agent_remembers(server, ada, provider):
    chat = ada.chat("remember: the train at 7:42")
    chat.reply(timeout=120)
    question = server.rows("select id from sessions_core_message where role = 'user'")[0]["id"]
    chat.do("edit", message=question, text="remember: the bus at 8:05")
    assert chat.reply(2, timeout=120) == "Noted: the bus at 8:05."
    chat.say(RECALL)
    assert "the bus at 8:05" in chat.reply(3, timeout=120)
    assert provider.requests_of(f"{chat.key}-c2")[-1].facts == ["the bus at 8:05"]
