"""The encrypted fields without the rest: ``"portalsec.django.encryption"`` in INSTALLED_APPS.

For a project that has no portal. It brings the command ``portalsec_reencrypt`` and the checks, and no tables.
"""
