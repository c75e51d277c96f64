"""Tells open pages what was committed: text as it is, and complete Markdown blocks rendered once for all of them."""

from collections.abc import Callable
from functools import partial
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from ..hub import Hub
from ..models import Delta
from ..text import utf16_length
from .running import Running
from .tasks import Tasks, Thread


class Publishing:
    def __init__(self, hub: Hub, tasks: Tasks) -> None:
        self.hub = hub
        self.tasks = tasks
        self.render: Callable[[str], tuple[str, int]] = import_string(settings.MESSAGE_RENDERER)
        self.thread = Thread("relay-renderer")

    async def rendered(self, text: str) -> tuple[str, int]:
        """HTML, and the version of what made it."""
        return await self.thread.run(self.render, text)

    def begun(self, running: Running) -> None:
        self._tell(running, {"type": "begun", "message": running.reply.pk})
        running.known.thinking.when_begun = partial(self._thinks, running)

    def _thinks(self, running: Running) -> None:
        if not running.known.characters:
            self._tell(running, {"type": "begun", "message": running.reply.pk, "thinking": True})

    def delta(self, running: Running, delta: Delta) -> None:
        running.text.append(delta.text)
        piece = {"after": delta.seq - 1, "seq": delta.seq, "text": delta.text}
        self._tell(running, {"type": "delta", "message": delta.message_id} | piece)
        if closed := running.blocks.feed(delta.text):
            self.tasks.spawn(self._block(running, closed))

    async def _block(self, running: Running, closed: str) -> None:
        start, running.upto = running.upto, running.upto + utf16_length(closed)
        place = {"start": start, "upto": running.upto}
        html, _ = await self.rendered(closed)
        self._tell(running, {"type": "block", "message": running.reply.pk} | place | {"html": html})

    def _tell(self, running: Running, event: dict[str, Any]) -> None:
        self.hub.publish(("chat", running.reply.chat_id), event)
