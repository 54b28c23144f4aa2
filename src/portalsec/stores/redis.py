"""Throttle counters and short-lived flows in Redis or Redis Cluster.

Each verb is one Lua script over one key, so each is laid out for Redis Cluster: a script touches one hash tag. The one
verb over many keys, `RedisFlows.drop_account`, takes them one by one (see there).

**What is lost, and when.** Redis answers before it writes to disk, and a replica that takes over lacks the last
writes of the one that failed (about a second's worth in both cases). A lost throttle unit is an attempt forgotten. A
lost `consume` is a flow that can be used once more until it expires: so what must happen once is decided by an SQL
store too, as sign-in is by `TotpStore.advance`. An eviction policy other than ``noeviction`` loses counters under
memory pressure, which an attacker can cause.

**Time.** Every decision is made with the ``now`` of the caller. Redis's own clock only removes keys that no decision
needs any more: a key outlives its end by `GRACE` on Redis's clock, so workers and Redis may disagree by less than that.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from functools import cache
from typing import Any, TypeAlias

from portalsec.auth.ports import Flow, Take
from portalsec.clock import from_unix_microseconds, unix_microseconds
from portalsec.errors import ConfigurationError, MissingExtra, StoreError

try:
    import redis
    from redis.backoff import NoBackoff
    from redis.cluster import RedisCluster
    from redis.retry import Retry
except ModuleNotFoundError as error:
    raise MissingExtra("redis", package="redis") from error

__all__ = ["GRACE", "RedisFlows", "RedisThrottle", "open_redis"]

Client: TypeAlias = "redis.Redis | RedisCluster"

GRACE = timedelta(hours=1)
"""How long a key outlives its end on Redis's own clock."""

_GRACE_MS = GRACE // timedelta(milliseconds=1)
_MICROSECOND = timedelta(microseconds=1)


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
    with _translated():
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


# -- throttle ---------------------------------------------------------------------------------------------------

# A counter is one string, "start end used level", and each verb has one argument and one text for an answer: a list
# costs a round trip a third as much again in a client written in Python. Times are whole microseconds since 1970, which
# a Lua number holds exactly (below 2^53); "%.0f" and "%d" print them without rounding.

# What is sent: now, length of a window, limit, grace (ms); and for a budget that escalates the longest window and for
# how long one that was used up is remembered (else 0 and 0).
_TAKE = """
local ask = {}
for number in string.gmatch(ARGV[1], '%d+') do ask[#ask + 1] = tonumber(number) end
local now, length, limit, longest, memory = ask[1], ask[2], ask[3], ask[5], ask[6]
local start, stop, used, level
local kept = redis.call('GET', KEYS[1])
if kept then
  local a, b, c, d = string.match(kept, '^(%d+) (%d+) (%d+) (%d+)$')
  start, stop, used, level = tonumber(a), tonumber(b), tonumber(c), tonumber(d)
end
if not kept or stop <= now then
  if kept and longest > 0 and limit > 0 and used >= limit and now - stop <= memory then
    length, level = math.max(length, math.min(2 * (stop - start), longest)), level + 1
  else
    level = 0
  end
  start, stop, used = now, now + length, 0
end
local ok = 0
if used < limit then
  ok, used = 1, used + 1
  local counter = string.format('%.0f %.0f %d %d', start, stop, used, level)
  local left = math.ceil((stop - now + memory) / 1000) + ask[4]
  redis.call('SET', KEYS[1], counter, 'PX', string.format('%.0f', left))
end
return string.format('%d %.0f %.0f %d %d', ok, start, stop, used, level)
"""

_GIVE_BACK = """
local kept = redis.call('GET', KEYS[1])
if not kept then return 0 end
local start, stop, used, level = string.match(kept, '^(%d+) (%d+) (%d+) (%d+)$')
if start == ARGV[1] and used ~= '0' then
  redis.call('SET', KEYS[1], start .. ' ' .. stop .. ' ' .. (tonumber(used) - 1) .. ' ' .. level, 'KEEPTTL')
end
return 0
"""


class RedisThrottle:
    """`portalsec.auth.ports.ThrottleStore`, atomic across workers; for loss see this module's docstring.

    Args:
        client: a Redis or Redis Cluster client with ``decode_responses=False`` (see `open_redis`).
        prefix: of every key, so that two portals can share a Redis.
    """

    def __init__(self, client: Client, *, prefix: str = "portalsec") -> None:
        self._scripts = _Scripts(client)
        self._prefix = _checked_prefix(prefix)

    def take(
        self,
        key: str,
        *,
        limit: int,
        window: timedelta,
        now: datetime,
        longest: timedelta | None = None,
        heals: timedelta | None = None,
    ) -> Take:
        if longest is None:
            climbs = "0 0"
        else:
            memory = longest if heals is None else heals
            climbs = f"{longest // _MICROSECOND} {memory // _MICROSECOND}"
        moment = unix_microseconds(now)
        asked = f"{moment} {window // _MICROSECOND} {limit} {_GRACE_MS} {climbs}"
        answer = self._scripts.run(_TAKE, self._key(key), asked)
        ok, start, end, used, level = map(int, answer.split())
        return Take(ok=ok == 1, window=start, used=used, resets_at=from_unix_microseconds(end), level=level)

    def give_back(self, key: str, *, window: int) -> None:
        self._scripts.run(_GIVE_BACK, self._key(key), window)

    def clear(self, key: str) -> None:
        self._scripts.delete(self._key(key))

    def _key(self, key: str) -> str:
        return f"{self._prefix}:budget:{{{_tag(key)}}}"


# -- flows ------------------------------------------------------------------------------------------------------

_REMAINING = """
local time = redis.call('TIME')
local here = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local life = math.max(tonumber(ARGV[1]) - here, 0) + tonumber(ARGV[2])
"""

_PUT = (
    _REMAINING
    + """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], 'purpose', ARGV[3], 'owner', ARGV[4], 'account', ARGV[5], 'data', ARGV[6],
  'expires', ARGV[7], 'attempts', ARGV[8])
redis.call('PEXPIRE', KEYS[1], life)
return 1
"""
)

_FIELDS = "'purpose', 'owner', 'account', 'data', 'expires', 'attempts'"

_ATTEMPT = f"""
local flow = redis.call('HMGET', KEYS[1], {_FIELDS})
if flow[1] ~= ARGV[1] then return false end
if tonumber(flow[5]) <= tonumber(ARGV[2]) or tonumber(flow[6]) >= tonumber(ARGV[3]) then
  redis.call('DEL', KEYS[1])
  return false
end
flow[6] = redis.call('HINCRBY', KEYS[1], 'attempts', 1)
return flow
"""

_CONSUME = f"""
local flow = redis.call('HMGET', KEYS[1], {_FIELDS})
if flow[1] ~= ARGV[1] then return false end
redis.call('DEL', KEYS[1])
if tonumber(flow[5]) <= tonumber(ARGV[2]) then return false end
return flow
"""

# Only where it is the account's still: the digest of a refused `put` is another's flow.
_DROP = """
local owner = redis.call('HMGET', KEYS[1], 'owner', 'account')
if owner[1] == '1' and owner[2] == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""

_PURGE = """
local expires = redis.call('HGET', KEYS[1], 'expires')
if expires and tonumber(expires) <= tonumber(ARGV[1]) then return redis.call('DEL', KEYS[1]) end
return 0
"""

_NOTE = (
    _REMAINING
    + """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', here)
redis.call('ZADD', KEYS[1], 'GT', here + life, ARGV[3])
redis.call('PEXPIRE', KEYS[1], math.max(redis.call('PTTL', KEYS[1]), life))
return 0
"""
)


class RedisFlows:
    """`portalsec.auth.ports.FlowStore`, atomic across workers; for loss see this module's docstring.

    Keep long-lived flows (invitations of two weeks) in an SQL store where their loss matters.

    **`drop_account` in a cluster.** A flow lies under its digest, which is all that `attempt` and `consume` know; the
    digests of an account lie in an index under the account, on another node perhaps. `put` writes the index *before*
    the flow, and nothing but time takes a digest out of it, so at every moment each living flow is in its account's
    index, and a worker that dies halfway leaves an entry without a flow, which is harmless. `drop_account` then removes
    the flows one by one. What it promises: when it returns, every flow whose `put` had returned before it was called
    is gone. A `put` that runs at the same moment may come after it, as in every other store. If a failover loses the
    index, the account's flows live until they expire; a disabled account is refused at the door all the same.

    Args:
        client: a Redis or Redis Cluster client with ``decode_responses=False`` (see `open_redis`).
        prefix: of every key, so that two portals can share a Redis.
    """

    def __init__(self, client: Client, *, prefix: str = "portalsec") -> None:
        self._client = client
        self._scripts = _Scripts(client)
        self._prefix = _checked_prefix(prefix)

    def put(self, flow: Flow) -> bool:
        ends = math.ceil(unix_microseconds(flow.expires_at) / 1000)
        if flow.account_id is not None:
            # An index entry outlives its flow by the second grace.
            self._scripts.run(_NOTE, self._index(flow.account_id), ends, 2 * _GRACE_MS, flow.digest)
        return bool(
            self._scripts.run(
                _PUT,
                self._key(flow.digest),
                ends,
                _GRACE_MS,
                flow.purpose,
                int(flow.account_id is not None),
                flow.account_id or "",
                flow.data,
                unix_microseconds(flow.expires_at),
                flow.attempts,
            )
        )

    def attempt(self, digest: bytes, purpose: str, *, limit: int, now: datetime) -> Flow | None:
        return _flow(
            digest, self._scripts.run(_ATTEMPT, self._key(digest), purpose, unix_microseconds(now), limit)
        )

    def consume(self, digest: bytes, purpose: str, *, now: datetime) -> Flow | None:
        return _flow(digest, self._scripts.run(_CONSUME, self._key(digest), purpose, unix_microseconds(now)))

    def drop_account(self, account_id: str) -> int:
        with _translated():
            digests: Any = self._client.zrange(self._index(account_id), 0, -1)
        return sum(self._scripts.run(_DROP, self._key(digest), account_id) for digest in digests)

    def purge(self, *, now: datetime) -> int:
        """Remove what has expired. Redis does so by itself a `GRACE` later: call it only to have the space at once."""
        with _translated():
            keys = [bytes(key) for key in self._client.scan_iter(match=f"{self._prefix}:flow:*", count=500)]
        # A scan may name a key twice; the script removes it once.
        return sum(self._scripts.run(_PURGE, key, unix_microseconds(now)) for key in keys)

    def _key(self, digest: bytes) -> str:
        return f"{self._prefix}:flow:{{{digest.hex()}}}"

    def _index(self, account_id: str) -> str:
        return f"{self._prefix}:flows-of:{{{_tag(account_id)}}}"


def _flow(digest: bytes, found: Any) -> Flow | None:
    if found is None:
        return None
    purpose, owner, account, data, expires, attempts = found
    return Flow(
        digest=digest,
        purpose=purpose.decode(),
        account_id=account.decode() if owner == b"1" else None,
        data=data,
        expires_at=from_unix_microseconds(int(expires)),
        attempts=int(attempts),
    )


# -- both -------------------------------------------------------------------------------------------------------


class _Scripts:
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

    def delete(self, key: str) -> None:
        with _translated():
            self._client.delete(key)


@contextmanager
def _translated() -> Iterator[None]:
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


def _checked_prefix(prefix: str) -> str:
    if not prefix or any(sign in prefix for sign in "{}*?[]\\"):
        # A brace would move the hash tag, and with it put unrelated keys on one node; a star would widen `purge`.
        raise ConfigurationError(f"Redis key prefix {prefix!r}: use letters, digits, ':', '-' and '_'")
    return prefix


def _tag(text: str) -> str:
    """A hash tag that no text can break out of."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
