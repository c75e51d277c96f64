from datetime import datetime, timedelta

from django import template
from django.conf import settings
from django.utils import timezone
from django.utils.dateformat import format as date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString

from chatapp import listing, markdown
from sessions_core import health, retention
from sessions_core.blocks import BlockSplitter
from sessions_core.models import Chat, Message
from sessions_core.text import utf16_length

register = template.Library()
register.filter("face", listing.face)


@register.filter
def get(mapping: dict, key: object) -> object:
    return mapping.get(key)


@register.simple_tag
def body(message: Message) -> SafeString:
    """A message's text as it is shown: what a person wrote as it is, a reply as Markdown."""
    if message.role != Message.Role.ASSISTANT:
        return format_html("{}", message.text)
    if message.running:
        return live_body(message)
    if message.html_version == markdown.VERSION:
        return markdown.trusted(message.html)
    return markdown.render(message.text)[0]


@register.simple_tag
def waiting_for() -> str:
    """What a reply that nobody has begun yet waits for."""
    return "waiting for a free slot" if health.carried else "kept, and answered when the server carries replies again"


def live_body(message: Message) -> SafeString:
    """A reply being written: its complete blocks, then the rest as text, and where the live text goes on."""
    text, seq = ("", 0) if message.state == Message.State.WAITING else message.text_so_far()
    closed = BlockSplitter().feed(text)
    return format_html(
        '<live-reply data-seq="{}" data-upto="{}" data-length="{}"><div data-part="blocks">{}</div>'
        '<p data-part="tail">{}</p></live-reply>',
        seq,
        utf16_length(closed),
        utf16_length(text),
        markdown.render(closed)[0],
        text[len(closed) :],
    )


@register.filter
def age(moment: datetime) -> str:
    """How long ago, as short as it can be said: now, 5 min, 3 h, 2 d, 12 May."""
    seconds = (timezone.now() - moment).total_seconds()
    for unit, size, most in (("min", 60, 3600), ("h", 3600, 86400), ("d", 86400, 7 * 86400)):
        if seconds < most:
            return f"{int(seconds // size)} {unit}" if seconds >= size else "now"
    day = timezone.localtime(moment)
    return date_format(day, "j M" if day.year == timezone.localdate().year else "M Y")


@register.filter
def leaves_at(chat: Chat) -> datetime | None:
    """When it goes to the trash if nobody uses it, once that is near enough to be told."""
    at = retention.goes_at(chat)
    return at if at and at <= timezone.now() + retention.ANNOUNCED else None


@register.filter
def emptied_at(chat: Chat) -> datetime | None:
    """When the trash forgets it; None: never."""
    days = settings.SESSION_TRASH_DAYS
    return chat.deleted_at + timedelta(days=days) if chat.deleted_at and days else None
