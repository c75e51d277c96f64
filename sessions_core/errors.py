"""What the domain refuses, in words for the person who asked.

Refusal
├── EmptyMessage
├── MessageTooLong
├── QueueFull
├── NothingToRetry
├── NotEditable
│   └── CommandInEdit
├── Protected
├── NothingToReset
├── NothingToUndo
├── NoSessionYet
├── NotAllowed
├── NotGiven
├── SharedByAll
├── OnlyOneMain
├── IsAChat
├── NoSuchSession
├── GatewayRefused
├── BadImport
├── BadAgent
├── NoRoomForTokens
├── BadName
│   ├── NameTaken
│   └── NoRoomForNames
└── TooMany
"""


class Refusal(Exception):
    """Its text is shown as it is, with what it `offers` to do instead; `status` is the HTTP status that fits, `field`
    the form field it belongs to."""

    status = 400
    field: str | None = None
    offers: tuple[dict[str, str], ...] = ()


class EmptyMessage(Refusal):
    field = "text"

    def __init__(self) -> None:
        super().__init__("The message is empty. Type something to send.")


class MessageTooLong(Refusal):
    field = "text"

    def __init__(self, length: int, limit: int) -> None:
        super().__init__(
            f"The message has {length:,} characters; {limit:,} is the most. Shorten it or send it in parts."
        )


class QueueFull(Refusal):
    status = 409
    field = "text"

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} messages are waiting already. Send this one when the reply is there, or stop it.")


class NothingToRetry(Refusal):
    status = 409

    def __init__(self) -> None:
        super().__init__("Only the last reply can be asked again, and only when no other is being written.")


class NotEditable(Refusal):
    status = 409
    field = "text"


class CommandInEdit(NotEditable):
    status = 400

    def __init__(self) -> None:
        super().__init__(
            "This is a command, and an edited message goes to the agent. Type commands in the message box; "
            "a second slash makes text of it: //new."
        )


class Protected(Refusal):
    status = 409
    offers: tuple[dict[str, str], ...] = ({"offer": "new-chat"}, {"offer": "unprotect-and-reset"})

    def __init__(self, name: str, *, shared: bool = False) -> None:
        if shared:  # it is no one person's to unprotect, or has no chapters
            self.offers = self.offers[:1]
        super().__init__(
            f"This is a persistent session “{name}”. Use /session delete to clear it, or switch to another session."
        )


class NothingToReset(Refusal):
    status = 409

    def __init__(self) -> None:
        super().__init__("There is nothing to reset: this chapter is still empty.")


class NothingToUndo(Refusal):
    status = 409

    def __init__(self, was_reset: bool) -> None:
        has_one = "A reset can be undone until the new chapter has a message. This one has one."
        super().__init__(has_one if was_reset else "There is nothing to undo: this session was never reset.")


class NoSessionYet(Refusal):
    status = 409
    field = "text"

    def __init__(self) -> None:
        super().__init__("Open a session first: this command is about the session in which it is typed.")


class NotAllowed(Refusal):
    status = 403


class NotGiven(Refusal):
    status = 409

    def __init__(self) -> None:
        super().__init__("The agent's main session belongs to no one person and cannot be given away.")


class SharedByAll(Refusal):
    """Asked for without a confirmation; of a session that is the gateway's own, its name."""

    status = 409
    offers: tuple[dict[str, str], ...] = ({"offer": "reset-main"},)

    def __init__(self, agent: str, name: str = "") -> None:
        if name:
            self.offers = ({"offer": "reset-main", "label": "Reset it on the gateway"},)
            return super().__init__(
                f"The session “{name}” is the gateway's own, and so is its memory. Resetting it makes the agent forget "
                "what was said there, on every channel that leads to it. Confirm to go on."
            )
        super().__init__(
            f"The main session of the agent “{agent}” is shared by everybody and every channel that talks to it. "
            "Resetting it makes the agent forget what all of them said. Confirm to go on."
        )


class OnlyOneMain(Refusal):
    status = 409

    def __init__(self) -> None:
        super().__init__("You have a main session already, and there is only one. Delete that one first.")


class IsAChat(Refusal):
    """One memory has one chat: two would not know of each other."""

    status = 409

    def __init__(self, key: str) -> None:
        super().__init__(
            f"The session {key} is a chat already, somebody's or in somebody's trash, or it is about to be deleted."
        )


class NoSuchSession(Refusal):
    status = 404

    def __init__(self, key: str) -> None:
        super().__init__(
            f"The gateway has no session {key[:200]} that can be made a chat. Its key is a whole one, such as "
            "agent:main:telegram:direct:1; the agent's main session is opened under New session…"
        )


class GatewayRefused(Refusal):
    """The gateway did not do what was asked of it; its error in words."""

    status = 502


class BadImport(Refusal):
    field = "file"


class BadAgent(Refusal):
    field = "agent"

    def __init__(self, agent: str, offered: list[str]) -> None:
        known = f"The gateway offers: {', '.join(offered)}." if offered else "None is open to you."
        super().__init__(f"There is no agent “{agent}”. {known}")


class BadName(Refusal):
    field = "title"


class NameTaken(BadName):
    status = 409

    def __init__(self, name: str) -> None:
        super().__init__(f"You have a session named “{name}” already. Choose another name.")


class NoRoomForNames(BadName):
    status = 409

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"You have {limit} named sessions, which is the most there may be. Delete one first; "
            "chats without a name are not counted."
        )


class NoRoomForTokens(Refusal):
    status = 409
    field = "name"

    def __init__(self, limit: int) -> None:
        super().__init__(f"You have {limit} API tokens, which is the most. Revoke one that is not needed any more.")


class TooMany(Refusal):
    status = 429
