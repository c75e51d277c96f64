"""A release from before keeps a memory for each chat too."""

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
