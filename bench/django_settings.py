"""Settings of every row that runs Django: portalsec's own and those of the peers, whose middleware each row names itself."""

SECRET_KEY = SALT_KEY = "a secret of the application"
ALLOWED_HOSTS = ["portal.example"]
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "bench.bench_django_sessions"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "portalsec.django",
]
_SQLITE = {
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": ":memory:",  # the rows say where
    "CONN_MAX_AGE": None,  # a request is measured, not the opening of a file
    "OPTIONS": {"init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL"},
}
DATABASES = {"default": _SQLITE, "portalsec": {**_SQLITE}}
DATABASE_ROUTERS = ["portalsec.django.router.PortalsecRouter"]
PORTALSEC = {"PORTAL": "bench.bench_django_sessions.portal", "DATABASE": "portalsec"}
AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
SESSION_COOKIE_NAME = "__Host-portalsec"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
SESSION_COOKIE_AGE = 15 * 60
