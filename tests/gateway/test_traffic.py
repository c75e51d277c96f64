"""Many chats, many messages, and either side gone in the middle, with the whole app in front of the real gateway."""

from tests.server import wait_until

RECALL = "what do you remember?"
AT_ONCE = 12  # the gateway runs eight agents at a time on a machine with two cores
SILENCE = 75  # seconds; longer than the minute after which proxies and clients like to give up


def test_more_chats_than_the_gateway_runs_at_a_time_are_all_answered_from_their_own_memory(ada):
    chats = [ada.chat(f"remember: number {n}.") for n in range(AT_ONCE)]
    assert [chat.reply(timeout=240) for chat in chats] == [f"Noted: number {n}.." for n in range(AT_ONCE)]
    for chat in chats:
        chat.say(RECALL)
    answers = [chat.reply(2, timeout=240) for chat in chats]
    assert [answer.split(". ")[0] for answer in answers] == [f"Facts: number {n}." for n in range(AT_ONCE)]


def test_messages_sent_while_one_is_answered_are_answered_in_turn_and_know_it(ada, provider):
    chat = ada.chat("slow 15")
    wait_until(lambda: chat.replies and chat.replies[0]["text"], 120)
    chat.say("remember: the train")
    chat.say(RECALL)
    assert chat.reply(2, timeout=120) == "Noted: the train."
    assert chat.reply(3, timeout=120).startswith("Facts: the train.")
    assert [request.newest for request in provider.requests_of(chat.key)] == ["slow 15", "remember: the train", RECALL]


def test_a_killed_app_keeps_what_came_and_its_next_message_carries_it(server, ada, provider):
    chat = ada.chat("remember: the first thing")
    chat.reply(timeout=120)
    chat.say("slow 300")
    wait_until(lambda: len(chat.replies) == 2 and "5 " in chat.replies[1]["text"], 60)
    server.kill()
    shown = chat.replies[1]["text"]
    wait_until(lambda: any(request.newest == "slow 300" for request in provider.gone), 20)
    server.start()
    kept = chat.reply(2, "interrupted")
    assert kept.startswith(shown.rstrip())
    chat.say(RECALL)
    assert "the first thing" in chat.reply(3, timeout=120)
    sent = "\n".join(map(str, provider.requests_of(chat.key)[-1].messages))
    assert kept.strip() in sent


def test_a_gateway_that_is_stopped_ends_what_it_has_begun_and_what_came_too_late_is_asked_again(openclaw, ada):
    long, late = ada.chat("slow 60"), ada.chat("remember: the train")
    late.reply(timeout=120)
    wait_until(lambda: long.replies and long.replies[0]["text"], 120)
    openclaw.terminate()
    late.say(RECALL)
    late.reply(2, "failed", timeout=120)
    assert "gateway is starting or stopping" in ada.get(f"/chat/?session={late.key}").text
    assert long.reply(timeout=120).split() == [str(n) for n in range(1, 61)]
    openclaw.restart()
    late.do("retry", message=late.replies[1]["id"])
    assert late.reply(3, timeout=120).startswith("Facts: the train.")


def test_silence_is_waited_for(ada, scale):
    """As while an agent's tool works, nothing at all comes; with --soak for a quarter of an hour."""
    seconds = scale(SILENCE, 15 * 60)
    chat = ada.chat(f"silent {seconds}")
    assert chat.reply(timeout=seconds + 120) == "One moment. Here I am again."
