"""Opens stores anew in a process of a race; light to import, since each of them starts from nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any


@contextmanager
def sql_throttle(url: str) -> Iterator[Any]:
    from portalsec.sqlalchemy import SqlThrottle, open_engine

    engine = open_engine(url)
    try:
        yield SqlThrottle(engine)
    finally:
        engine.dispose()


@contextmanager
def redis_throttle(url: str) -> Iterator[Any]:
    from portalsec.stores.redis import RedisThrottle, open_redis

    with closing(open_redis(url)) as client:
        yield RedisThrottle(client)


@contextmanager
def sql_sessions(url: str) -> Iterator[Any]:
    from portalsec.sqlalchemy import SqlSessions, open_engine

    engine = open_engine(url)
    try:
        yield SqlSessions(engine)
    finally:
        engine.dispose()


@contextmanager
def redis_sessions(url: str) -> Iterator[Any]:
    from portalsec.stores.redis import RedisSessions, open_redis

    with closing(open_redis(url)) as client:
        yield RedisSessions(client)


@contextmanager
def django_throttle(database: dict[str, Any]) -> Iterator[Any]:
    with _django(database) as alias:
        from portalsec.django.stores import DjangoThrottle

        yield DjangoThrottle(alias)


@contextmanager
def django_sessions(database: dict[str, Any]) -> Iterator[Any]:
    with _django(database) as alias:
        from portalsec.django.stores import DjangoSessions

        yield DjangoSessions(alias)


@contextmanager
def django_factors(database: dict[str, Any]) -> Iterator[Any]:
    """The stores of second factors, as `tests.stores.factors` takes them."""
    with _django(database) as alias:
        from portalsec.django.stores import DjangoPasskeys, DjangoRecoveryCodes, DjangoTotp

        yield DjangoTotp(alias), DjangoRecoveryCodes(alias), DjangoPasskeys(alias)


@contextmanager
def _django(database: dict[str, Any]) -> Iterator[str]:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.django.settings"
    import django
    from django.db import connections

    django.setup()
    connections.settings["race"] = {**connections.settings["portalsec"], **database}
    try:
        yield "race"
    finally:
        connections["race"].close()
        del connections["race"]  # the next race of this process may be over another database
