"""`RedisFlows`: a flow is one hash under its digest, and each account has an index of digests."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

from portalsec.auth.ports import Flow
from portalsec.clock import from_unix_microseconds, unix_microseconds
from portalsec.stores.redis._client import GRACE_MS, Client, Scripts, checked_prefix, tag_of, translated

__all__ = ["RedisFlows"]

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
    """`portalsec.auth.ports.FlowStore`, atomic across workers; for loss see `portalsec.stores.redis`.

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
        self._scripts = Scripts(client)
        self._prefix = checked_prefix(prefix)

    def put(self, flow: Flow) -> bool:
        ends = math.ceil(unix_microseconds(flow.expires_at) / 1000)
        if flow.account_id is not None:
            # An index entry outlives its flow by the second grace.
            self._scripts.run(_NOTE, self._index(flow.account_id), ends, 2 * GRACE_MS, flow.digest)
        return bool(
            self._scripts.run(
                _PUT,
                self._key(flow.digest),
                ends,
                GRACE_MS,
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
        with translated():
            digests: Any = self._client.zrange(self._index(account_id), 0, -1)
        return sum(self._scripts.run(_DROP, self._key(digest), account_id) for digest in digests)

    def purge(self, *, now: datetime) -> int:
        """Remove what has expired. Redis does so by itself a `GRACE` later: call it only to have the space at once."""
        with translated():
            keys = [bytes(key) for key in self._client.scan_iter(match=f"{self._prefix}:flow:*", count=500)]
        # A scan may name a key twice; the script removes it once.
        return sum(self._scripts.run(_PURGE, key, unix_microseconds(now)) for key in keys)

    def _key(self, digest: bytes) -> str:
        return f"{self._prefix}:flow:{{{digest.hex()}}}"

    def _index(self, account_id: str) -> str:
        return f"{self._prefix}:flows-of:{{{tag_of(account_id)}}}"


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
