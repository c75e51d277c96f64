from collections.abc import Collection, Iterable
from datetime import timedelta
from operator import attrgetter
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import connection, models, transaction
from django.db.models import Exists, F, Func, OuterRef, Q, Window
from django.db.models.functions import Now, RowNumber
from django.utils import timezone

from ..gateway import kinds
from ..text import utf16_length
from . import ending, history, turns

if TYPE_CHECKING:
    from .reading import Among

LEASE = timedelta(seconds=7.5)


class Literal(Func):
    template = "'%(text)s'"

    def __init__(self, text: str) -> None:
        super().__init__(text=text, output_field=models.CharField())


class MessageQuerySet(models.QuerySet["Message"]):
    def shown(self):
        """Messages that have their place in the conversation."""
        return self.filter(seq__isnull=False).order_by("seq")

    def current(self):
        """The conversation that goes on: without what a newer version has taken the place of."""
        return self.filter(replaced_by=None)

    def replies(self):
        return self.filter(role=Message.Role.ASSISTANT)

    def running(self):
        return self.replies().filter(state__in=Message.RUNNING)

    def in_motion(self):
        """What its index holds, in the index's very words: SQLite reads all messages when a state is a parameter."""
        return self.filter(state__in=[Literal(state) for state in ("waiting", "streaming", "queued")])

    def waiting(self):
        return self.in_motion().replies().filter(state=Message.State.WAITING)

    def next_in_turn(self):
        """Replies that wait and whose person has fewer than REPLIES_PER_USER running; of each person the oldest.

        One statement: relays that look at the same time see the same ones, and who comes second finds them taken.
        """
        if not settings.REPLIES_PER_USER:
            return self.waiting()
        place = Window(RowNumber(), partition_by=F("chat__owner"), order_by=["state", "pk"])  # streaming before waiting
        first = self.in_motion().running().annotate(place=place).filter(place__lte=settings.REPLIES_PER_USER)
        return self.waiting().filter(pk__in=first.values("pk"))

    def asked(self):
        """What a person said to the agent: a command has no reply, it was never sent."""
        return self.filter(Exists(Message.objects.replies().filter(parent=OuterRef("pk"))), role=Message.Role.USER)

    def said(self):
        """What a person and the agent said to each other, here or elsewhere: no notices, no commands."""
        answered = Exists(Message.objects.replies().filter(parent=OuterRef("pk")))
        return self.filter(Q(role=Message.Role.ASSISTANT) | Q(answered | ~Q(origin=""), role=Message.Role.USER))

    def pending(self):
        """Messages typed while a reply was running: in line, or held after a failure."""
        return self.filter(role=Message.Role.USER, state__in=Message.PENDING).order_by("pk")

    def unfinished(self):
        """The reply being written and the messages that wait for it."""
        reply = Q(role=Message.Role.ASSISTANT, state__in=Message.RUNNING)
        return self.filter(reply | Q(role=Message.Role.USER, state__in=Message.PENDING)).order_by("pk")

    def owned_by(self, process: str):
        return self.filter(owner_process=process, state=Message.State.STREAMING)

    def orphaned(self):
        """Replies whose process died: database time decides, never a host's clock."""
        return self.in_motion().replies().filter(state=Message.State.STREAMING, lease_until__lt=Now())

    def claim(self, process: str, capacity: int, begun: Collection[int] = ()) -> list["Message"]:
        """Take at most so many waiting replies for this process; each taken by exactly one.

        Gives all that it owns and has not `begun`: where the connection broke before it could say what it took, the
        next call says it.
        """
        untold = Q(owner_process=process, state=Message.State.STREAMING) & ~Q(pk__in=begun)
        replies = self.in_motion().replies()
        if not replies.filter(untold | Q(state=Message.State.WAITING)).exists():  # asked five times a second
            return []
        room = max(0, capacity - replies.filter(untold).count())
        with transaction.atomic():
            chosen = self.next_in_turn().order_by("pk").select_for_update(skip_locked=True)[:room]
            self.filter(pk__in=list(chosen.values_list("pk", flat=True)), state=Message.State.WAITING).update(
                state=Message.State.STREAMING, owner_process=process, lease_until=Now() + LEASE
            )
        taken = replies.filter(untold).select_related("chat", "parent")
        return sorted(taken, key=attrgetter("pk"))  # Django compares an order with all columns, which costs the most

    def give_back(self, process: str, replies: Iterable[int]) -> int:
        """Let others take what was claimed and not begun."""
        mine = self.filter(pk__in=replies).owned_by(process)
        return mine.update(state=Message.State.WAITING, owner_process="", lease_until=None)

    def append(self, process: str, batch: dict[int, "Delta"], all_mine: Iterable[int]) -> set[int]:
        """One transaction for all replies of a process: renew their leases, then add the new deltas.

        Gives the ids that are still owned; what another process has reaped meanwhile is not written. Writing the
        same batch twice is safe: (message, seq) is unique.
        """
        ids = set(all_mine)
        with transaction.atomic():
            mine = self.filter(pk__in=ids).owned_by(process)
            if mine.update(lease_until=Now() + LEASE) < len(ids):
                ids = set(self.filter(pk__in=ids).owned_by(process).values_list("pk", flat=True))
            deltas = [delta for pk, delta in batch.items() if pk in ids]
            first = [delta.message_id for delta in deltas if delta.seq == 1]
            if first:
                self.filter(pk__in=first).update(first_delta_at=Now())
            if deltas:
                Delta.objects.write(deltas)
        return ids

    def stop_wanted(self, process: str) -> set[int]:
        return set(self.in_motion().owned_by(process).exclude(stop_requested_at=None).values_list("pk", flat=True))


class Message(models.Model):
    """One turn of a chat. A reply is an assistant message being written; all its moves are compare-and-set."""

    class Role(models.TextChoices):
        USER = "user"
        ASSISTANT = "assistant"
        NOTICE = "notice"

    class State(models.TextChoices):
        SENT = "sent"
        QUEUED = "queued"
        HELD = "held"
        CANCELLED = "cancelled"
        WAITING = "waiting"
        STREAMING = "streaming"
        DONE = "done"
        STOPPED = "stopped"
        FAILED = "failed"
        INTERRUPTED = "interrupted"

    RUNNING = (State.WAITING, State.STREAMING)
    PENDING = (State.QUEUED, State.HELD)

    chat = models.ForeignKey("Chat", on_delete=models.CASCADE, related_name="messages")
    chapter = models.PositiveIntegerField()
    key_number = models.PositiveIntegerField(help_text="The gateway session this turn was sent under.")
    seq = models.PositiveIntegerField(null=True, blank=True, help_text="Place in the chat; none while queued.")
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="versions")
    version = models.PositiveIntegerField(default=1)
    replaced_by = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="replaces", help_text="See versions.py."
    )
    role = models.CharField(max_length=9, choices=Role)
    state = models.CharField(max_length=11, choices=State)
    text = models.TextField(blank=True)
    html = models.TextField(blank=True, help_text="The text as rendered, so that a page costs no rendering.")
    html_version = models.PositiveIntegerField(default=0)
    # With a default in the database: processes of the release before know nothing of these.
    thinking = models.TextField(
        blank=True, default="", db_default="", help_text="What the model said to itself before the text."
    )
    parts = models.JSONField(default=list, blank=True)
    client_id = models.UUIDField(null=True, blank=True)
    owner_process = models.CharField(max_length=100, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    stop_requested_at = models.DateTimeField(null=True, blank=True)
    error_code = models.CharField(max_length=40, blank=True)
    error_text = models.CharField(max_length=400, blank=True)
    upstream_id = models.CharField(max_length=200, blank=True)
    origin = models.CharField(
        max_length=60, blank=True, default="", db_default="", help_text="Where it was said, if not here."
    )
    transcript_id = models.CharField(
        max_length=100, blank=True, default="", db_default="", help_text="The gateway's transcript has it as this."
    )
    usage = models.JSONField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    first_delta_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = MessageQuerySet.as_manager()
    reply: "Message | None" = None  # what was just asked for with it
    # What it is where a conversation is read.
    among: "Among | None" = None  # its versions, when there are several
    offers_retry = offers_regenerate = offers_edit = False
    is_first = False
    is_last = True  # what an older notice offers to do may not fit any more

    carried_to = turns.carried_to
    turns = history.turns
    text_so_far = ending.text_so_far
    settle = ending.settle
    interrupt = ending.interrupt

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["chat", "seq"], name="message_seq"),
            models.UniqueConstraint(fields=["chat", "client_id"], name="message_client_id"),
            models.UniqueConstraint(
                fields=["chat", "transcript_id"], condition=~Q(transcript_id=""), name="message_transcript_id"
            ),
            models.UniqueConstraint(
                fields=["chat"],
                condition=Q(role="assistant", state__in=["waiting", "streaming"]),
                name="one_running_reply",
            ),
        ]
        indexes = [
            models.Index(
                fields=["state", "lease_until"],
                condition=Q(state__in=["waiting", "streaming", "queued"]),
                name="message_unfinished",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.role} {self.seq or '–'} ({self.state})"

    @property
    def running(self) -> bool:
        return self.state in self.RUNNING

    @property
    def offers(self) -> list[dict[str, str]]:
        """What a notice offers to do: a name under `offer`, and what belongs to it. The page makes buttons of it."""
        return [part for part in self.parts if isinstance(part, dict) and "offer" in part]

    @property
    def settles(self) -> str:
        """What a notice offers or says done, where one of before offers the same no more."""
        return "remind" if any(part in ({"offer": "remind"}, {"done": "remind"}) for part in self.parts) else ""

    @property
    def retryable(self) -> bool:
        return self.role == self.Role.ASSISTANT and self.state in ("failed", "interrupted", "stopped")

    @property
    def may_have_acted(self) -> bool:
        """Whether asking again may repeat what the agent already did."""
        return kinds.configured().has_agents and self.error_code not in (
            "gateway_unreachable",
            "gateway_down",
            "gateway_auth",
            "gateway_config",
            "rejected",
            "busy",
        )

    @property
    def length_in_browser(self) -> int:
        return utf16_length(self.text)


WRITE = "INSERT INTO sessions_core_delta (message_id, seq, text) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"


class DeltaManager(models.Manager["Delta"]):
    def write(self, deltas: list["Delta"]) -> None:
        """By hand: there are thousands a second, and building the ORM's statement takes most of their time."""
        with connection.cursor() as cursor:
            cursor.executemany(WRITE, [(delta.message_id, delta.seq, delta.text) for delta in deltas])


class Delta(models.Model):
    """A piece of reply text as it arrived; only while its reply streams."""

    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="deltas")
    seq = models.PositiveIntegerField()
    text = models.TextField()

    objects = DeltaManager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["message", "seq"], name="delta_seq")]
