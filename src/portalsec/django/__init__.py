"""portalsec for Django: stores over the ORM, a session engine, a middleware, views, checks and a permission backend.

Settings (see docs/how-to/django.md)::

    INSTALLED_APPS = [..., "portalsec.django"]
    PORTALSEC = {"PORTAL": "config.portal.portal", "DATABASE": "portalsec"}

Import what you use from its module (`portalsec.django.decorators.require`, `portalsec.django.stores.django_stores`):
Django loads this package before its models may be imported, so nothing is handed on from here.
"""

from importlib.util import find_spec

from portalsec.errors import MissingExtra

if find_spec("django") is None:
    raise MissingExtra("django", package="django")

__all__: list[str] = []
