import django.db.models.deletion
from django.db import migrations, models


def name_what_replaced(apps, schema_editor):
    """Until now, a reply asked for again was known by its higher version alone."""
    replies = apps.get_model("sessions_core", "Message").objects.filter(role="assistant")
    for reply in replies.filter(version__gt=1, parent__isnull=False).order_by("version", "pk"):
        earlier = replies.filter(parent=reply.parent_id, version__lt=reply.version, replaced_by=None)
        earlier.update(replaced_by=reply.pk)


class Migration(migrations.Migration):
    dependencies = [
        ("sessions_core", "0005_processes"),
    ]

    operations = [
        migrations.AddField(
            model_name="message",
            name="replaced_by",
            field=models.ForeignKey(
                blank=True,
                help_text="See versions.py.",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="replaces",
                to="sessions_core.message",
            ),
        ),
        migrations.RunPython(name_what_replaced, migrations.RunPython.noop, elidable=True),
    ]
