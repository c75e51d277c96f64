"""What is set wrong on either side is said in words that name the remedy, and the message is kept."""

from tests.server import wait_until


def refused(server, text="Hello", **fields):
    """The code of the refusal, and the page that says it."""
    chat = server.first_account().chat(text)
    wait_until(lambda: chat.replies and chat.replies[0]["state"] == "failed", 120)
    page = chat.person.get(f"/chat/?session={chat.key}").text
    assert text in page
    return chat.replies[0]["error_code"], page


def test_a_wrong_token(openclaw, make_server):
    server = make_server(openclaw, OPENCLAW_GATEWAY_TOKEN="wrong-token-canary")
    code, page = refused(server)
    assert code == "gateway_auth" and "refused our credentials" in page
    assert "wrong-token-canary" not in page + server.log.read_text()


def test_an_endpoint_that_is_off_as_it_is_unless_configured(openclaw, changed, make_server):
    changed(gateway=openclaw.config["gateway"] | {"http": {}})
    code, page = refused(make_server(openclaw))
    assert code == "gateway_config" and "enable its chat completions endpoint" in page


def test_an_agent_that_there_is_not(openclaw, make_server):
    code, page = refused(make_server(openclaw, OPENCLAW_AGENT_ID="nobody"))
    assert code in ("rejected", "gateway_config") and "nobody" in page


def test_a_model_that_fails_is_told_and_the_chat_goes_on(ada):
    chat = ada.chat("fail 404")
    chat.reply(state="failed", timeout=120)
    assert "Scripted failure 404" in ada.get(f"/chat/?session={chat.key}").text
    chat.say("remember: it goes on")
    assert chat.reply(2, timeout=120) == "Noted: it goes on."
