"""The connection to Redis or Redis Cluster, and how one script goes over it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cache
from typing import Any, TypeAlias

from portalsec.errors import ConfigurationError, MissingExtra, StoreError

try:
    import redis
    from redis.backoff import NoBackoff
    from redis.cluster import RedisCluster
    from redis.retry import Retry
except ModuleNotFoundError as error:
    raise MissingExtra("redis", package="redis") from error

__all__ = ["GRACE", "GRACE_MS", "Client", "Scripts", "checked_prefix", "open_redis", "tag_of", "translated"]

Client: TypeAlias = "redis.Redis | RedisCluster"

GRACE = timedelta(hours=1)
"""How long a key outlives its end on Redis's own clock."""

GRACE_MS = GRACE // timedelta(milliseconds=1)


def open_redis(url: str, *, patience: timedelta = timedelta(seconds=2)) -> Client:
    """Connect to ``redis://``, ``rediss://`` or ``unix://``, or to a cluster by one of its nodes, and try it once.

    A server that says it is a member of a cluster gets a cluster client. ``patience`` bounds every wait.

    Raises:
        ConfigurationError: the URL is not one.
        StoreError: nothing answers there.
    """
    seconds = patience.total_seconds()
    options: dict[str, Any] = {"socket_timeout": seconds, "socket_connect_timeout": seconds}
    try:
        # Not sent again where the answer was lost: a second `take` would count an attempt that nobody made. (A
        # cluster client has to ask again when a slot moved; there the count may be one too high, never too low.)
        client = redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), **options)
    except ValueError as error:
        raise ConfigurationError(
            "the Redis URL is not one: write redis://host:6379/0, rediss://... or unix:///path"
        ) from error
    with translated():
        facts: Any = client.info("cluster")
        if not facts["cluster_enabled"]:
            return client
        client.close()
        return _Cluster.from_url(url, **options)


class _Cluster(RedisCluster):
    """A cluster client that closes what it opened.

    One that was made of a URL gives its nodes pools of their own, which `close` leaves to the garbage collector.
    """

    def close(self) -> None:
        with suppress(AttributeError):  # the constructor failed, and the client's `__del__` calls this
            self.disconnect_connection_pools()  # type: ignore[no-untyped-call]
        super().close()


class Scripts:
    """Runs scripts by their SHA-1, and sends the text where a server does not know it (a restart, a new node).

    To a single server the command goes out packed, over a connection of the client's pool: the client's own way from a
    call to the socket costs several times what the server's work does. A cluster client must choose a node, and does.
    """

    def __init__(self, client: Client) -> None:
        encoder: Any = client.get_encoder()
        if encoder.decode_responses:
            raise ConfigurationError(
                "a store was given a Redis client with decode_responses=True, which garbles bytes: leave it False"
            )
        self._client: Any = client
        self._pool: Any = None if isinstance(client, RedisCluster) else client.connection_pool

    def run(self, script: str, key: str | bytes, *arguments: str | bytes | int) -> Any:
        try:
            try:
                if self._pool is None:
                    return self._client.execute_command("EVALSHA", _name_of(script), 1, key, *arguments)
                return self._sent(_packed(script, key, arguments))
            except redis.exceptions.NoScriptError:
                return self._client.eval(script, 1, key, *arguments)
        except (redis.RedisError, OSError) as error:
            raise _unanswered(error) from error

    def _sent(self, command: bytes) -> Any:
        """Once, and never again: where the answer is lost the connection is closed, and nothing is sent anew."""
        connection = self._pool.get_connection()
        try:
            connection.send_packed_command((command,))
            return connection.read_response()
        finally:
            self._pool.release(connection)

    def get(self, key: str | bytes) -> bytes | None:
        """The value, by one GET."""
        try:
            if self._pool is None:
                found: bytes | None = self._client.execute_command("GET", key)
            else:
                name = key if isinstance(key, bytes) else key.encode()
                found = self._sent(b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n" % (len(name), name))
        except (redis.RedisError, OSError) as error:
            raise _unanswered(error) from error
        return found

    def delete(self, key: str) -> None:
        with translated():
            self._client.delete(key)


@contextmanager
def translated() -> Iterator[None]:
    try:
        yield
    except (redis.RedisError, OSError) as error:
        raise _unanswered(error) from error


def _unanswered(error: Exception) -> StoreError:
    return StoreError(f"Redis could not answer ({type(error).__name__})")


@cache
def _name_of(script: str) -> str:
    return hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()


@cache
def _opening(script: str, arguments: int) -> bytes:
    """What every call of a script begins with, in the Redis protocol."""
    return b"*%d\r\n$7\r\nEVALSHA\r\n$40\r\n%b\r\n$1\r\n1\r\n" % (4 + arguments, _name_of(script).encode())


def _packed(script: str, key: str | bytes, arguments: tuple[str | bytes | int, ...]) -> bytes:
    """The command as it goes over the wire; each part with its length, so that none can break out of its place."""
    parts = [_opening(script, len(arguments))]
    for part in (key, *arguments):
        data = part if isinstance(part, bytes) else str(part).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


def checked_prefix(prefix: str) -> str:
    if not prefix or any(sign in prefix for sign in "{}*?[]\\"):
        # A brace would move the hash tag, and with it put unrelated keys on one node; a star would widen `purge`.
        raise ConfigurationError(f"Redis key prefix {prefix!r}: use letters, digits, ':', '-' and '_'")
    return prefix


def tag_of(text: str) -> str:
    """A hash tag that no text can break out of."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
