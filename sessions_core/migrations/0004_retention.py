from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('sessions_core', '0003_api_token_made'),
    ]

    operations = [
        migrations.AddField(
            model_name='chat',
            name='announced_at',
            field=models.DateTimeField(blank=True, editable=False, help_text='That it will go, unused.', null=True),
        ),
    ]
