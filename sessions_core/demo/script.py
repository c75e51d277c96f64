"""What the demo gateway says, and what it remembers of each session."""

import json
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass

Script = list[str | int]  # what to say; a number is a silence of so many paces

MAX_READ = 2_000  # characters of a message that are looked at
MAX_FACT = 200  # characters
MAX_FACTS = 50  # per session
MOST_QUOTED = 3  # facts


INTRO = """\
Hello! You are talking to the **demo gateway** that comes with OpenClaw WebChat. My replies are scripted: \
there is no assistant behind them. To connect a real OpenClaw gateway, set `OPENCLAW_GATEWAY_URL` and \
`OPENCLAW_GATEWAY_TOKEN` and start the server again.

"""

HELP = """\
Here is what you can try with me:

- `remember that the meeting is at ten`, or `my name is Ada`
- `what do you remember?`, first here and then in another chat
- `show me a list`, `a table`, `some code`, or all three with `markdown`
- `something long`: about 30 seconds, time for Stop, a reload or another chat
- `something silent`: a pause in the middle, as when an assistant uses its tools"""

LIST = """\
Here is a list, with a second one inside:

1. Open another chat with **New chat**.
2. Tell each of the two something else:
   - here, `my name is Ada`
   - there, `my name is Grace`
3. Ask both `who am I?`"""

TABLE = """\
Here is a small table:

| Say `something long`, then … | and see that … |
|---|---|
| reload the page | the text is all there and goes on |
| press Stop | what has arrived is kept |
| open the chat in a second tab | both show the same words |"""

CODE = """\
Here is a little Python:

```python
def greet(name: str) -> str:
    return f"Hello, {name}!"

print(greet("world"))
```"""

TIPS = (
    "Press Stop whenever you like: what has arrived so far is kept.",
    "Reload the page: the text is all there, and goes on.",
    "Open this chat in a second tab: both show the same words.",
    "Write something in another chat: the replies do not wait for each other.",
    "Send one more message here: it waits in line until this reply has ended.",
    "Close the tab and come back: the reply is written on the server, not in your browser.",
)
STEPS = 30  # of about a second each
STEP = 33  # paces


def tip(number: int) -> Script:
    """One step of the long reply, filled up with silence so that all take the same time."""
    text = f"**{number} of {STEPS}.** {TIPS[number % len(TIPS)]}\n\n"
    return [text, STEP - len(text.split())]


LONG: Script = [
    "This takes about 30 seconds, so there is time to try a few things.\n\n",
    *(part for number in range(1, STEPS + 1) for part in tip(number)),
    "That was all of it.",
]

SILENT: Script = [
    "I am going to be silent for a few seconds …\n\n",
    200,
    "… and here I am again. A real assistant is as quiet as that while it uses its tools. Nothing was lost.",
]

UNKNOWN = (
    "Your message has arrived, but I cannot understand it: I only follow a script. ",
    "I have your message, and no idea what it means: I know a few keywords and nothing else. ",
    "That is beyond a script like me, I am afraid. ",
)
MORE = "Say `help` for everything I know."
APART = "I know nothing of your other chats: each one has a memory of its own."

SCRIPTS: tuple[tuple[str, Script], ...] = (
    (r"\bhelp\b|\bwhat (?:can|do) you do\b|\bwhat can i (?:do|try|ask|say)\b", [HELP]),
    (r"\bsilen(?:t|ce)\b", SILENT),
    (r"\b(?:slow|slowly|long|longer)\b", LONG),
)
SAMPLES = (
    (r"\b(?:lists?|markdown)\b", LIST),
    (r"\b(?:tables?|markdown)\b", TABLE),
    (r"\b(?:code|python|markdown)\b", CODE),
)

SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
REMEMBER = re.compile(
    r"(?:^\W*(?:(?:please|also|and|now|ok|okay|hi|hello|hey)\W+)*remember(?:\s+(?:this|that))?"
    r"|\bremember\s+(?:this|that))\b[\s:,]*(\S.*)",
    re.IGNORECASE,
)
MY_IS = re.compile(r"\bmy\s+(?:[\w'’-]+\s+){1,3}?(?:is|are)\s+\S.*", re.IGNORECASE)
IS = re.compile(r"\s+(?:is|are)\s+")
WHAT_IS = re.compile(
    r"\b(?:(?:what|who|when|where)(?:['’]?s|\s+is|\s+are)|do you (?:know|remember))"
    r"\s+(my|the)\s+([^?.!,\n]{1,60})",
    re.IGNORECASE,
)
WHO_AM_I = re.compile(r"\bwho am i\b", re.IGNORECASE)
RECALL = re.compile(
    r"\bwhat (?:do|did|can) you (?:\w+ )?(?:remember|know(?: about me|\W*$))|\bdo you (?:\w+ )?remember\b"
    r"|\bwhat (?:did|have) i (?:say|said|tell|told)\b",
    re.IGNORECASE,
)


@dataclass
class Session:
    """What one session was told, and how often it was spoken to."""

    facts: list[str] = field(default_factory=list)
    turns: int = 0

    def answer(self, said: list[str]) -> Script:
        """The reply to the last of some messages; those before it are news to the session too."""
        first = self.turns == 0
        *_, learned = [self._learn(text[:MAX_READ]) for text in said]
        self.turns += len(said)
        return [INTRO] * first + self._reply(said[-1][:MAX_READ], learned)

    def _learn(self, text: str) -> list[str]:
        learned = list(facts_in(text))
        for fact in learned:
            self.facts = [known for known in self.facts if subject(known) != subject(fact)] + [fact]
        self.facts = self.facts[-MAX_FACTS:]
        return learned

    def _reply(self, text: str, learned: list[str]) -> Script:
        if recalled := self._recall(text):
            return [f"{recalled}\n\nThis is message {self.turns} in this chat. {APART}"]
        if learned:
            return [f"I will remember, in this chat only: {quoted(learned)}. Ask me `what do you remember?`"]
        scripts = [script for asked, script in SCRIPTS if re.search(asked, text, re.IGNORECASE)]
        samples = [sample for asked, sample in SAMPLES if re.search(asked, text, re.IGNORECASE)]
        if scripts:
            return scripts[0]
        return ["\n\n".join(samples)] if samples else self._unknown()

    def _recall(self, text: str) -> str:
        """What was told of the thing that is asked for, or all of it; empty when nothing is asked for."""
        if WHO_AM_I.search(text):
            return self._told("name") or "You have not told me your name in this chat."
        if asked := WHAT_IS.search(text):
            thing = asked[2].strip().casefold()
            missing = f"You have not told me your {thing} in this chat." if asked[1].lower() == "my" else ""
            return self._told(thing) or missing
        return self._everything() if RECALL.search(text) else ""

    def _told(self, thing: str) -> str:
        known = [fact for fact in self.facts if begin_alike(subject(fact), thing)]
        return f"You told me: {quoted([min(known, key=len)])}." if known else ""

    def _everything(self) -> str:
        if not self.facts:
            return "You have not asked me to remember anything in this chat."
        return "You told me in this chat:\n\n" + "\n".join(f"- {fact}" for fact in self.facts)

    def _unknown(self) -> Script:
        turn = self.turns - 1
        return [UNKNOWN[turn % len(UNKNOWN)], SAMPLES[turn % len(SAMPLES)][1], f"\n\n{MORE}"]


def facts_in(text: str) -> Iterator[str]:
    for sentence in SENTENCE_END.split(text):
        question = sentence.rstrip().endswith("?")
        told = REMEMBER.search(sentence) or (not question and MY_IS.search(sentence))
        if told and (fact := told[told.lastindex or 0].strip(" .!?,;\"'“”")):
            yield fact if len(fact) <= MAX_FACT else fact[:MAX_FACT] + "…"


def subject(fact: str) -> str:
    """What a fact is about: a newer one about the same replaces it."""
    return re.sub(r"^(?:my|the)\s+", "", IS.split(fact.casefold(), 1)[0])


def begin_alike(one: str, other: str) -> bool:
    """Whether the shorter one is the other's first words, as `name` is of `name again`."""
    return f"{one} ".startswith(f"{other} ") or f"{other} ".startswith(f"{one} ")


def quoted(facts: list[str]) -> str:
    more = f" and {len(facts) - MOST_QUOTED} more" if len(facts) > MOST_QUOTED else ""
    return ", ".join(f"“{fact}”" for fact in facts[:MOST_QUOTED]) + more


def paced(script: Script) -> Iterator[tuple[int, str]]:
    """The words of a script, each with the paces to wait before it."""
    silence = 0
    for part in script:
        if isinstance(part, int):
            silence += part
            continue
        for word in re.findall(r"\s*\S+\s*", part):
            yield silence + 1, word
            silence = 0


class Memory:
    """The sessions, in a file that the next start finds again."""

    def __init__(self, path: Path) -> None:
        self.db = sqlite3.connect(path, isolation_level=None)
        # NORMAL: no fsync in the event loop; only a power cut may take the last turns.
        self.db.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
            "CREATE TABLE IF NOT EXISTS session (key TEXT PRIMARY KEY, facts TEXT, turns INTEGER)"
        )

    def session(self, key: str) -> Session:
        row = self.db.execute("SELECT facts, turns FROM session WHERE key = ?", (key,)).fetchone()
        return Session(json.loads(row[0]), row[1]) if row else Session()

    def keep(self, key: str, session: Session) -> None:
        row = (key, json.dumps(session.facts), session.turns)
        self.db.execute("INSERT OR REPLACE INTO session (key, facts, turns) VALUES (?, ?, ?)", row)

    def forget(self, key: str) -> None:
        self.db.execute("DELETE FROM session WHERE key = ?", (key,))

    def close(self) -> None:
        self.db.close()
