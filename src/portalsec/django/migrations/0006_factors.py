from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("portalsec", "0005_password_history_compromised"),
    ]

    operations = [
        migrations.CreateModel(
            name="Passkey",
            fields=[
                ("id", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("account_id", models.CharField(db_index=True, max_length=64)),
                ("credential_id", models.BinaryField(max_length=1023, unique=True)),
                ("user_handle", models.BinaryField(max_length=64)),
                ("public_key", models.BinaryField()),
                ("algorithm", models.IntegerField()),
                ("sign_count", models.BigIntegerField()),
                ("label", models.CharField(max_length=255)),
                ("aaguid", models.CharField(max_length=36)),
                ("transports", models.JSONField(default=list)),
                ("backup_eligible", models.BooleanField()),
                ("backed_up", models.BooleanField()),
                ("user_verified", models.BooleanField()),
                ("attested", models.BooleanField()),
                ("discoverable", models.BooleanField(null=True)),
                ("created_at", models.BigIntegerField()),
                ("used_at", models.BigIntegerField(null=True)),
                ("suspect_at", models.BigIntegerField(null=True)),
                ("disabled_at", models.BigIntegerField(null=True)),
                ("removed_at", models.BigIntegerField(null=True)),
                ("seal", models.BinaryField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="RecoveryCode",
            fields=[
                ("n", models.BigAutoField(primary_key=True, serialize=False)),
                ("account_id", models.CharField(max_length=64)),
                ("digest", models.CharField(max_length=64)),
                ("key_id", models.BigIntegerField()),
                ("created_at", models.BigIntegerField()),
                ("used_at", models.BigIntegerField(null=True)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("account_id", "digest"), name="portalsec_one_recovery_code"
                    )
                ],
            },
        ),
        migrations.AddField(
            model_name="knowndevice",
            name="trusted_until",
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name="knowndevice",
            name="trusted_setup",
            field=models.BinaryField(max_length=64, null=True),
        ),
        migrations.AddField(
            model_name="totpdevice",
            name="algorithm",
            field=models.CharField(db_default="SHA1", default="SHA1", max_length=16),
        ),
        migrations.AddField(
            model_name="totpdevice",
            name="digits",
            field=models.IntegerField(db_default=6, default=6),
        ),
        migrations.AddField(
            model_name="totpdevice",
            name="period",
            field=models.IntegerField(db_default=30, default=30),
        ),
        migrations.AddField(
            model_name="totpdevice",
            name="drift",
            field=models.IntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="totpdevice",
            name="failures",
            field=models.IntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="totpdevice",
            name="used_at",
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name="totpdevice",
            name="removed_at",
            field=models.BigIntegerField(null=True),
        ),
    ]
