import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("sessions_core", "0006_versions"),
    ]

    operations = [
        migrations.CreateModel(
            name="AgentGrant",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("agent", models.CharField(max_length=64)),
            ],
        ),
        migrations.CreateModel(
            name="Leftover",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "key",
                    models.CharField(help_text="As the gateway is asked for it, without the agent.", max_length=200),
                ),
                ("agent", models.CharField(blank=True, max_length=64)),
                ("failures", models.PositiveIntegerField(default=0)),
                ("not_before", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
        ),
        migrations.AlterModelOptions(
            name="chat",
            options={
                "permissions": [
                    ("use_main_session", "Can use the agent's main session, which all who have this share"),
                    ("adopt_sessions", "Can make chats of any of the gateway's sessions"),
                ]
            },
        ),
        migrations.AddField(
            model_name="chat",
            name="gateway_session",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                editable=False,
                help_text="The gateway's own id of the memory, when last seen.",
                max_length=100,
            ),
        ),
        migrations.AddField(
            model_name="message",
            name="origin",
            field=models.CharField(
                blank=True, db_default="", default="", help_text="Where it was said, if not here.", max_length=60
            ),
        ),
        migrations.AddField(
            model_name="message",
            name="thinking",
            field=models.TextField(
                blank=True, db_default="", default="", help_text="What the model said to itself before the text."
            ),
        ),
        migrations.AddField(
            model_name="message",
            name="transcript_id",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="The gateway's transcript has it as this.",
                max_length=100,
            ),
        ),
        migrations.AddConstraint(
            model_name="message",
            constraint=models.UniqueConstraint(
                condition=models.Q(("transcript_id", ""), _negated=True),
                fields=("chat", "transcript_id"),
                name="message_transcript_id",
            ),
        ),
        migrations.AddField(
            model_name="agentgrant",
            name="group",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="agent_grants", to="auth.group"
            ),
        ),
        migrations.AddConstraint(
            model_name="leftover",
            constraint=models.UniqueConstraint(fields=("key", "agent"), name="leftover_once"),
        ),
        migrations.AddConstraint(
            model_name="agentgrant",
            constraint=models.UniqueConstraint(fields=("group", "agent"), name="agent_grant_once"),
        ),
    ]
