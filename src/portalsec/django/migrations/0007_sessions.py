from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("portalsec", "0006_factors"),
    ]

    operations = [
        migrations.AddField(
            model_name="accountlink",
            name="password_mailed",
            # The database has the default too: a worker of the version before may be writing still.
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name="session",
            name="proofs",
            field=models.TextField(null=True),
        ),
        migrations.AddField(
            model_name="session",
            name="level",
            field=models.SmallIntegerField(null=True),
        ),
        migrations.AddField(
            model_name="session",
            name="phishing_resistant",
            field=models.BooleanField(null=True),
        ),
        migrations.AddField(
            model_name="session",
            name="idle",
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name="session",
            name="absolute",
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name="session",
            name="shared",
            field=models.BooleanField(null=True),
        ),
        migrations.AddField(
            model_name="session",
            name="rested_at",
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name="session",
            name="anomaly",
            field=models.CharField(max_length=64, null=True),
        ),
        migrations.AddField(
            model_name="session",
            name="impersonator",
            field=models.CharField(max_length=64, null=True),
        ),
        migrations.AddField(
            model_name="session",
            name="behind",
            field=models.CharField(max_length=64, null=True),
        ),
        migrations.AddField(
            model_name="session",
            name="posture",
            field=models.TextField(null=True),
        ),
        migrations.AddField(
            model_name="session",
            name="jkt",
            field=models.CharField(max_length=64, null=True),
        ),
        migrations.AddField(
            model_name="session",
            name="place",
            field=models.CharField(max_length=128, null=True),
        ),
        migrations.AddField(
            model_name="session",
            name="networks",
            field=models.CharField(max_length=128, null=True),
        ),
    ]
