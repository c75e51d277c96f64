"""A scripted model server: it answers from what it was sent and nothing else, so that memory is provable.

The newest user message decides the answer:

    remember: X              noted; the conversation is the only store
    what do you remember?    every X in the user turns it sees, and how many turns it sees
    slow N                   N chunks, a pause before each
    silent S                 one chunk, S seconds of nothing, the rest
    fail STATUS              that HTTP status; 401, 402 and 403 make OpenClaw drop the provider for minutes
"""

import json
import re
import select
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAUSE = 0.1
INTERNAL = "BEGIN_OPENCLAW_INTERNAL_CONTEXT"
CURRENT = "[Current message - respond to this]\nUser: "
QUEUED = "[Queued user message from a previous active turn"
RUNTIME = "\n\nRuntime: agent="
STAMP = re.compile(r"\[\w{3} \d{4}-\d\d-\d\d \d\d:\d\d [^\]]+\] ")
SESSION = re.compile(RUNTIME + r"[^\n]*\bsession=([^\s|]+)")
FACT = re.compile(r"remember: *([^\n]*[^\s])")
COMMAND = re.compile(r"(slow|silent|fail) (\d+(?:\.\d+)?)\b")


@dataclass(eq=False)
class Request:
    """One model call: what it carried and how much of the answer got out."""

    messages: list
    stream: bool
    sent: int = 0
    finished: bool = False

    @property
    def session(self):
        """The key OpenClaw names in its `Runtime:` line; None when another client called."""
        found = SESSION.search("\n".join(self.user_texts))
        return found and found[1]

    @property
    def user_texts(self):
        texts = [_text(message) for message in self.messages if message["role"] == "user"]
        return [text for text in texts if INTERNAL not in text]

    @property
    def assistant_texts(self):
        return [_text(message) for message in self.messages if message["role"] == "assistant"]

    @property
    def newest(self):
        """What the person typed, without the time, context and runtime line that OpenClaw puts around it."""
        text = self.user_texts[-1] if self.user_texts else ""
        text = STAMP.sub("", text.split(CURRENT)[-1].split(RUNTIME)[0], count=1)
        # A stopped question is put in front of the next one, and only a blank line tells the two apart.
        return (text.split("\n\n")[-1] if text.startswith(QUEUED) else text).strip()

    @property
    def facts(self):
        """As often as they were sent: a fact that OpenClaw stored twice shows twice."""
        return [fact for text in self.user_texts for fact in FACT.findall(text)]


class Provider:
    """The server on a loopback port; `requests` and `gone` grow as calls come in and callers leave."""

    def __init__(self):
        self.requests = []
        self.gone = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.provider = self
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)

    def start(self):
        self._thread.start()

    def stop(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def requests_of(self, key, agent="main"):
        """The calls of one session, by the key our app uses (`webchat-…`)."""
        return [request for request in self.requests if request.session == f"agent:{agent}:{key}"]


class _Handler(BaseHTTPRequestHandler):
    # HTTP/1.0: one request per connection, so bytes from the client after its request mean that it left.
    protocol_version = "HTTP/1.0"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/v1/chat/completions":
            return self._json(404, {"error": {"message": f"No {self.path} here."}})
        request = Request(body["messages"], bool(body.get("stream")))
        self.server.provider.requests.append(request)
        try:
            self._answer(request)
            request.finished = True
        except ConnectionError:
            self.server.provider.gone.append(request)

    def _answer(self, request):
        command, number = _command(request)
        if command == "fail":
            self._json(int(number), {"error": {"message": f"Scripted failure {number}.", "type": "scripted"}})
        elif request.stream:
            self._stream(request)
        else:
            self._complete(request)

    def _stream(self, request):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for pause, chunk in _script(request):
            self._wait(pause)
            self._event(_choice("delta", {"content": chunk}))
            request.sent += 1
        self._event(_choice("delta", {}, "stop") | {"usage": _usage(request)})
        self.wfile.write(b"data: [DONE]\n\n")

    def _complete(self, request):
        chunks = []
        for pause, chunk in _script(request):
            self._wait(pause)
            chunks.append(chunk)
        message = {"role": "assistant", "content": "".join(chunks)}
        self._json(200, _choice("message", message, "stop") | {"usage": _usage(request)})
        request.sent = len(chunks)

    def _wait(self, seconds):
        readable, _, _ = select.select([self.connection], [], [], seconds)
        if readable:
            raise ConnectionAbortedError

    def _event(self, data):
        self.wfile.write(b"data: " + json.dumps(data).encode() + b"\n\n")

    def _json(self, status, data):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(data).encode())

    def log_message(self, *args):
        """Keep the test output quiet; `provider.requests` is the log."""


def _script(request):
    """The answer as (pause before it in seconds, chunk)."""
    command, number = _command(request)
    if command == "slow":
        return [(PAUSE, f"{n} ") for n in range(1, int(number) + 1)]
    if command == "silent":
        return [(0, "One moment. "), (float(number), "Here I am again.")]
    return [(0, chunk) for chunk in re.findall(r"\S+\s*", _reply(request))]


def _reply(request):
    if "what do you remember?" in request.newest.lower():
        return (
            f"Facts: {'; '.join(request.facts) or 'none'}. "
            f"I saw {len(request.user_texts)} user and {len(request.assistant_texts)} assistant turns."
        )
    if told := FACT.search(request.newest):
        return f"Noted: {told[1]}."
    return f"You said: {request.newest}"


def _command(request):
    found = COMMAND.match(request.newest)
    return found.groups() if found else (None, None)


def _choice(kind, content, finish=None):
    return {
        "id": "scripted",
        "object": "chat.completion.chunk" if kind == "delta" else "chat.completion",
        "created": 0,
        "model": "fake-1",
        "choices": [{"index": 0, kind: content, "finish_reason": finish}],
    }


def _usage(request):
    """Words in, chunks out: not tokens, but true figures that differ from turn to turn."""
    words = sum(len(text.split()) for text in map(_text, request.messages))
    return {
        "prompt_tokens": words,
        "completion_tokens": request.sent,
        "total_tokens": words + request.sent,
    }


def _text(message):
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text", "") for part in content)
