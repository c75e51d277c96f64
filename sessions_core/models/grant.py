"""Which agents a person may use: sessions of one agent are not secret from each other, so an agent can be kept to
groups."""

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import models
from django.db.models import Exists, OuterRef

from .. import errors
from ..gateway import kinds, tools

if TYPE_CHECKING:
    from .user import User


class AgentGrant(models.Model):
    """An agent that only the members of certain groups may use; one that is granted to nobody is open to everybody."""

    group = models.ForeignKey("auth.Group", on_delete=models.CASCADE, related_name="agent_grants")
    agent = models.CharField(max_length=64)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["group", "agent"], name="agent_grant_once")]

    def __str__(self) -> str:
        return f"{self.agent} for {self.group}"


def offered_to(user: "User") -> list[str]:
    """The agents that the gateway offers and that this person may use, the configured one first if it is among them.

    An administrator has no right by itself: who is to use an agent is in one of its groups.
    """
    closed = closed_to(user.pk)
    return [agent for agent in tools.agents() if agent not in closed]


def is_open_to(user: int, agent: str) -> bool:
    if not kinds.configured().has_agents:
        return True
    groups = list(_grants(user).filter(agent=agent).values_list("mine", flat=True))
    return not groups or any(groups)


def closed_to(user: int) -> set[str]:
    """Agents of groups that this person is not in."""
    if not kinds.configured().has_agents:
        return set()
    granted = list(_grants(user).values_list("agent", "mine"))
    return {agent for agent, _ in granted} - {agent for agent, mine in granted if mine}


def usual_for(user: "User") -> str:
    """Who answers this person where nobody is named: the agent they chose, the configured one, or the first that is
    open to them. NotAllowed when none is."""
    closed = closed_to(user.pk)
    wanted = [agent for agent in (user.default_agent, settings.OPENCLAW_AGENT_ID) if agent and agent not in closed]
    if usual := next(iter(wanted or offered_to(user)), ""):
        return usual
    raise errors.NotAllowed("No agent is open to you. An admin can put you into a group that has one.")


def _grants(user: int) -> Any:
    """With whether the person is in the group."""
    memberships = get_user_model().groups.through.objects.filter(group=OuterRef("group"), user=user)
    return AgentGrant.objects.annotate(mine=Exists(memberships))
