"""What `manage.py doctor` says about a plain server, and what to do about it."""

import pytest

from sessions_core.doctor import plain
from tests.fake_gateway import MODELS, answer, status

pytestmark = pytest.mark.thorough


@pytest.fixture
def server(fake_gateway, settings):
    settings.OPENCLAW_GATEWAY_URL, settings.OPENCLAW_GATEWAY_TOKEN = fake_gateway.url, fake_gateway.token
    settings.GATEWAY_KIND, settings.GATEWAY_MODEL = "openai", "llama"
    return fake_gateway


def lists(server, *models):
    server.instead[MODELS] = [status(200, body={"object": "list", "data": list(models)})]


def found():
    return {finding.name: finding for finding in plain.server()}


def states():
    return {name: finding.state for name, finding in found().items()}


def test_all_is_well(server):
    lists(server, {"id": "llama", "max_model_len": 8192})
    assert states() == {"gateway": "ok", "model": "ok", "context": "ok", "reply": "ok"}
    assert server.requests[-1].body["model"] == "llama"


def test_a_wrong_model_is_answered_with_those_there_are(server):
    lists(server, {"id": "qwen3:8b"}, {"id": "gemma3:latest"})
    wrong = found()["model"]
    assert (wrong.state, wrong.says) == ("bad", "It has no model “llama”; it has: gemma3:latest, qwen3:8b.")
    assert "GATEWAY_MODEL" in wrong.remedy
    lists(server, *({"id": f"model-{n:02}"} for n in range(40)))
    assert found()["model"].says.endswith("model-29 and 10 more.")


def test_a_name_that_ollama_completes_is_known(server):
    lists(server, {"id": "llama:latest"})
    assert states()["model"] == "ok"


@pytest.mark.parametrize(
    ("told", "state"),
    [
        *(({"max_model_len": 4096}, "bad"), ({"meta": {"n_ctx": 4096}}, "bad"), ({"meta": {"n_ctx": 9000}}, "ok")),
        *(({"max_model_len": 131072}, "note"), ({}, "note"), ({"meta": None}, "note")),
    ],
)
def test_what_the_model_takes_is_compared_with_what_is_sent(server, told, state):
    lists(server, {"id": "llama"} | told)
    finding = found()["context"]
    assert finding.state == state
    assert state == "ok" or "GATEWAY_CONTEXT_TOKENS" in finding.remedy


@pytest.mark.parametrize(("code", "remedy"), [(401, "OPENCLAW_GATEWAY_TOKEN"), (404, "before /v1"), (500, "log")])
def test_a_server_that_does_not_list_its_models(server, code, remedy):
    server.instead[MODELS] = [status(code, body={"error": "no"})]
    assert states() == {"gateway": "bad"}
    assert remedy in found()["gateway"].remedy


def test_a_server_that_is_down(server):
    server.stop()
    assert states() == {"gateway": "bad"}
    assert "OPENCLAW_GATEWAY_URL" in found()["gateway"].remedy


def test_a_model_that_cannot_be_loaded(server):
    lists(server, {"id": "llama"})
    server.script(None, [status(500, body={"error": "model requires more system memory (9 GiB)"})])
    reply = found()["reply"]
    assert reply.state == "bad" and "more system memory" in reply.says


def test_a_server_that_does_not_stream(server):
    lists(server, {"id": "llama"})
    server.script(None, answer("one-two-three"))
    assert states()["reply"] == "note"
