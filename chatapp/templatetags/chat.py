from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from chatapp import markdown
from sessions_core.blocks import BlockSplitter
from sessions_core.models import Message
from sessions_core.text import utf16_length

register = template.Library()


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


def live_body(message: Message) -> SafeString:
    """A reply being written: its complete blocks, then the rest as text, and where the live text goes on."""
    text, seq = message.text_so_far()
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
