"""The domain: its tables and their verbs. A rule (say: persistent is not reset) is written here and nowhere else."""

from .chat import Chat
from .event import ApiToken, By, ChatEvent
from .grant import AgentGrant
from .leftover import Leftover
from .message import Delta, Message
from .names import PastTitle
from .process import Process
from .throttle import Throttle
from .user import User

__all__ = [
    "AgentGrant",
    "ApiToken",
    "By",
    "Chat",
    "ChatEvent",
    "Delta",
    "Leftover",
    "Message",
    "PastTitle",
    "Process",
    "Throttle",
    "User",
]
