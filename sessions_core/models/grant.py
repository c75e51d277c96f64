from django.db import models


class AgentGrant(models.Model):
    """An agent that only the members of certain groups may use; one that is granted to nobody is open to everybody."""

    group = models.ForeignKey("auth.Group", on_delete=models.CASCADE, related_name="agent_grants")
    agent = models.CharField(max_length=64)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["group", "agent"], name="agent_grant_once")]

    def __str__(self) -> str:
        return f"{self.agent} for {self.group}"
