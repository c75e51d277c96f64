"""How much goes over an open page's socket: what it may say, and what is sent to one that does not read."""

from collections.abc import Callable
from time import monotonic

from django.conf import settings

MOST_UNSENT = 1_000_000  # bytes that a connection has not taken yet; an honest page acknowledges long before


class Clogged(Exception):
    """The page reads too slowly for anything more to be sent to it."""


class Pace:
    """So many frames a second, after a burst."""

    def __init__(self) -> None:
        self.allowance = float(settings.SOCKET_FRAME_BURST)
        self.heard_at = monotonic()

    def allows(self) -> bool:
        now = monotonic()
        earned = (now - self.heard_at) * settings.SOCKET_FRAME_RATE
        self.allowance = min(settings.SOCKET_FRAME_BURST, self.allowance + earned) - 1
        self.heard_at = now
        return self.allowance >= 0


class Flow:
    """How far a page is behind: characters it has not acknowledged, and bytes its connection has not taken."""

    def __init__(self, unsent: Callable[[], int]) -> None:
        self.unsent = unsent
        self.unacked = 0
        self.waiting_since = 0.0
        self.lagging = False  # something was not sent, and is read from the rows after the next ack

    @property
    def room(self) -> int:
        """Characters that may be sent now. What the connection has not taken counts, whatever the page says."""
        if self.lagging and self.unacked:  # an ack will come
            return 0
        return settings.SOCKET_UNACKED - max(self.unacked, self.unsent())

    @property
    def half_empty(self) -> bool:
        """There is room for the blocks of what was sent, too, which are as long again."""
        return 2 * self.room >= settings.SOCKET_UNACKED

    @property
    def full(self) -> bool:
        """Its connection has so much to take that what it asks for now would only be added to that."""
        return self.unsent() >= settings.SOCKET_UNACKED

    def sent(self, characters: int) -> None:
        if not self.unacked:
            self.waiting_since = monotonic()
        self.unacked += characters

    def acked(self) -> None:
        self.unacked, self.lagging = 0, False

    def rejoined(self) -> None:
        """The page says where it is; what its connection has not taken is still to be acknowledged."""
        self.unacked, self.lagging = min(self.unacked, self.unsent()), False

    @property
    def overdue(self) -> bool:
        return self.unacked > 0 and monotonic() - self.waiting_since > settings.SOCKET_ACK_SECONDS

    def check(self) -> None:
        if self.unsent() > MOST_UNSENT:
            raise Clogged
