"""A release from before keeps a memory for each chat too."""

from tests.server import wait_until

RECALL = "what do you remember?"


def test_two_chats_have_two_memories_over_a_restart(older, make_server, provider):
    server = make_server(older)
    ada = server.first_account()
    train, plane = ada.chat("remember: train at 7:42"), ada.chat("remember: plane at 9:15")
    assert train.reply(timeout=120) == "Noted: train at 7:42."
    assert plane.reply(timeout=120) == "Noted: plane at 9:15."
    older.restart()
    assert server.stop() == 0
    server.start()
    train.say(RECALL)
    plane.say(RECALL)
    assert "train at 7:42" in train.reply(2, timeout=120) and "plane" not in train.reply(2)
    assert "plane at 9:15" in plane.reply(2, timeout=120) and "train" not in plane.reply(2)


def test_a_reset_forgets_and_its_undo_remembers(older, make_server):
    chat = make_server(older).first_account().chat("remember: blue")
    chat.reply(timeout=120)
    chat.do("reset")
    chat.do("unreset")
    chat.say(RECALL)
    assert "blue" in chat.reply(2, timeout=120)
    chat.do("reset")
    chat.say(RECALL)
    assert chat.reply(3, timeout=120).startswith("Facts: none.")


def test_it_does_not_list_its_sessions_and_those_of_a_chat_that_is_gone_are_not_taken_for_deleted(older, make_server):
    server = make_server(older)
    chat = server.first_account().chat("remember: red")
    chat.reply(timeout=120)
    chat.do("delete")
    chat.do("purge")
    wait_until(lambda: server.rows("select * from sessions_core_leftover where failures > 0"), 60)
