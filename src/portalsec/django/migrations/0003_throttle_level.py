from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("portalsec", "0002_subject_key"),
    ]

    operations = [
        migrations.AddField(
            model_name="throttle",
            name="kept_until",
            field=models.BigIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="throttle",
            name="level",
            field=models.IntegerField(db_default=0, default=0),
        ),
    ]
