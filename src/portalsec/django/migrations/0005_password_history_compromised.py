from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("portalsec", "0004_accounts_safety"),
    ]

    operations = [
        migrations.AddField(
            model_name="passwordhistory",
            name="compromised",
            field=models.BooleanField(default=False),
        ),
    ]
