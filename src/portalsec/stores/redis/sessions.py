"""`RedisSessions`: a session is one value under its digest, and each account has one hash of its epoch and digests."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from portalsec.auth.ports import Created, LoadedSession, SessionRecord
from portalsec.clock import unix_microseconds
from portalsec.errors import ConfigurationError, Tampered
from portalsec.stores.redis._client import GRACE_MS, Client, Scripts, checked_prefix, tag_of, translated
from portalsec.stores.redis._session_value import ANOMALY, decoded, encoded, padded, place_of

__all__ = ["RedisSessions"]

_MILLISECOND = timedelta(milliseconds=1)
_EPOCH = b"epoch"  # beside it in the hash: 32-byte digests
_FULL = 2  # what `_ENTER` says where a cap is reached and nothing is to be ended

_HERE = """
local time = redis.call('TIME')
local here = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
"""

# -- of one account ----------------------------------------------------------------------------------------------

# A digest has "<last seen>:<end>" beside it, with another ":" behind it where somebody else acts in the owner's name:
# that one takes none of the owner's places under a cap. A touch does not change it: `create` looks where a cap is reached.
# It is "-:<end>" where it lost its place to another and its session is about to be removed. It stays in the hash until
# that is done, so that `end_all` finds every session there is.
# Those, and digests whose session Redis has removed by now, do not count.
_INDEX = (
    _HERE
    + """
local epoch = redis.call('HGET', KEYS[1], 'epoch') or '0'
local all = redis.call('HGETALL', KEYS[1])
local own = {}
for n = 1, #all, 2 do
  if all[n] ~= 'epoch' then
    local seen, ends, else_s = string.match(all[n + 1], '^([%d-]+):(%d+)(:?)$')
    if tonumber(ends) <= here then redis.call('HDEL', KEYS[1], all[n])
    elseif seen ~= '-' and else_s == '' then own[#own + 1] = {seen, all[n], ends} end
  end
end
"""
)

# epoch, digest, last seen, end, least life of this hash, cap or 0, whether the oldest ends, grace, ":" or ""
_ENTER = (
    _INDEX
    + """
if epoch ~= ARGV[1] or redis.call('HEXISTS', KEYS[1], ARGV[2]) == 1 then return {0} end
local ended, cap = {1}, tonumber(ARGV[6])
if cap > 0 and #own >= cap then
  if ARGV[7] == '0' then return {2} end
  table.sort(own, function(one, other)
    if one[1] == other[1] then return one[2] < other[2] end
    return one[1] < other[1]
  end)
  for n = 1, #own - cap + 1 do
    redis.call('HSET', KEYS[1], own[n][2], '-:' .. own[n][3])
    ended[#ended + 1] = own[n][2]
  end
end
local life = math.max(tonumber(ARGV[4]) - here, 0) + tonumber(ARGV[8])
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3] .. ':' .. string.format('%.0f', here + life) .. ARGV[9])
redis.call('PEXPIRE', KEYS[1], string.format('%.0f',
  math.max(redis.call('PTTL', KEYS[1]), life + tonumber(ARGV[8]), tonumber(ARGV[5]))))
return ended
"""
)

# epoch, old digest, digest, last seen, end, grace, ":" or "": the one winner of a replacement
_SWAP = (
    _HERE
    + """
if (redis.call('HGET', KEYS[1], 'epoch') or '0') ~= ARGV[1] then return 0 end
local ends = string.match(redis.call('HGET', KEYS[1], ARGV[2]) or '', '^%d+:(%d+):?$')
if not ends or redis.call('HEXISTS', KEYS[1], ARGV[3]) == 1 then return 0 end
redis.call('HSET', KEYS[1], ARGV[2], '-:' .. ends)
local life = math.max(tonumber(ARGV[5]) - here, 0) + tonumber(ARGV[6])
redis.call('HSET', KEYS[1], ARGV[3], ARGV[4] .. ':' .. string.format('%.0f', here + life) .. ARGV[7])
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.max(redis.call('PTTL', KEYS[1]), life + tonumber(ARGV[6]))))
return 1
"""
)

_STANDS = """
if (redis.call('HGET', KEYS[1], 'epoch') or '0') ~= ARGV[1] then return 0 end
return string.match(redis.call('HGET', KEYS[1], ARGV[2]) or '', '^%d+:') and 1 or 0
"""

_SEEN = """
local entry = redis.call('HGET', KEYS[1], ARGV[1])
local seen, ends = string.match(entry or '', '^(%d+):(%d+:?)$')
if not seen then return 0 end
if seen < ARGV[2] then redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ':' .. ends) end
return 1
"""

# The digests stay until their sessions are gone, so that whoever repeats a call that died finds them.
_RAISE = """
local epoch = redis.call('HINCRBY', KEYS[1], 'epoch', 1)
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.max(redis.call('PTTL', KEYS[1]), tonumber(ARGV[1]))))
return {epoch, redis.call('HKEYS', KEYS[1])}
"""

_LEAVE = "return redis.call('HDEL', KEYS[1], ARGV[1])"

# -- of one session ----------------------------------------------------------------------------------------------

_SET = (
    _HERE
    + """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local life = math.max(tonumber(ARGV[2]) - here, 0) + tonumber(ARGV[3])
redis.call('SET', KEYS[1], ARGV[1], 'PX', string.format('%.0f', life))
return 1
"""
)

_END = """
local value = redis.call('GET', KEYS[1])
if value then redis.call('DEL', KEYS[1]) end
return value
"""

_TOUCH = f"""
local head = redis.call('GETRANGE', KEYS[1], 0, 43)
if string.sub(head, 25) ~= '{" " * 20}' or string.sub(head, 5, 24) >= ARGV[1] then return 0 end
redis.call('SETRANGE', KEYS[1], 4, ARGV[1])
return 1
"""

_REST = f"""
local value = redis.call('GET', KEYS[1])
if not value or string.sub(value, 25, 44) ~= '{" " * 20}' then return 0 end
redis.call('SET', KEYS[1], string.sub(value, 1, 24) .. ARGV[1] .. string.sub(value, 45), 'KEEPTTL')
return 1
"""

_FLAG = f"""
local value = redis.call('GET', KEYS[1])
if not value or string.sub(value, 45, {44 + ANOMALY}) ~= ARGV[1] or ARGV[1] == ARGV[2] then return 0 end
redis.call('SET', KEYS[1], string.sub(value, 1, 44) .. ARGV[2] .. string.sub(value, {45 + ANOMALY}), 'KEEPTTL')
return 1
"""


class RedisSessions:
    """`portalsec.auth.ports.SessionStore`, shared by all workers; for loss see `portalsec.stores.redis`.

    **One GET a request.** `load` reads one value, which holds the session whole. There is no second read for the epoch:
    a session that is there is of its account's epoch, since `end_all` removes what is older before it returns, and
    `create` and `replace` look once more after they wrote.

    **Races, in a cluster too.** A session lies under its digest, the account's epoch and list of digests under the
    account, on another node perhaps. Who wins is decided by one script at the account: it alone lets a session in, swaps
    one for another, or pushes one out for a cap. Then the sessions follow, one by one:

    * `create` enters the digest at the account, writes the session, and asks the account whether the digest and the epoch
      stand still. Where they do not, an `end_all` or a cap came between, and it removes what it wrote. The id was given
      to nobody yet.
    * `end_all` raises the epoch, then removes every session whose digest was entered before, then the digests. When it
      returns, each session that was opened before is gone, and each that is on its way will be refused. A worker that
      dies in between leaves sessions that live on until the call is repeated, which finds them.
    * `replace` swaps the digests, then removes the old session and writes the new one. A worker that dies in between
      leaves neither, or the old one, which `end_all` still finds: somebody signs in again.
    * A session that loses its place, to a cap or a `replace`, stays listed until it is removed.

    **Loss.** A replica that takes over without the last second's writes may bring back a session that was just ended, and
    with it an epoch that was raised: where that is not acceptable keep sessions in an SQL store. A lost session is a
    sign-in. Redis must not evict keys (``maxmemory-policy noeviction``): it might take an account's epoch before its
    sessions.

    Args:
        client: a Redis or Redis Cluster client with ``decode_responses=False`` (see `open_redis`).
        prefix: of every key, so that two portals can share a Redis.
        keep: how long a session without an absolute limit of its own is kept, and an account's epoch at least: no shorter
            than the policy's absolute limit, or sessions end by this.
    """

    def __init__(
        self, client: Client, *, prefix: str = "portalsec", keep: timedelta = timedelta(days=31)
    ) -> None:
        if keep < timedelta(hours=1):
            raise ConfigurationError("RedisSessions: keep must be one hour or longer")
        self._client = client
        self._scripts = Scripts(client)
        self._prefix = checked_prefix(prefix)
        self._keep = keep
        self._sessions = f"{self._prefix}:session:{{"

    def epoch(self, account_id: str) -> int:
        with translated():
            found: Any = self._client.hget(self._account(account_id), "epoch")
        return 0 if found is None else int(found)

    def create(self, record: SessionRecord, *, cap: int | None = None, end_oldest: bool = True) -> Created:
        account = self._account(record.account_id)
        status, *ended = self._entered(record, cap, end_oldest=False)
        if status == _FULL and end_oldest:
            self._tell_last_seen(record.account_id)
            status, *ended = self._entered(record, cap, end_oldest=True)
        if status != 1:
            return Created(opened=False, full=status == _FULL)
        gone = []
        for digest in ended:
            value = self._scripts.run(_END, self._key(digest))
            self._scripts.run(_LEAVE, account, digest)
            if value is not None:
                gone += _readable(((digest, value),))
        return Created(opened=self._written(record), ended=tuple(gone))

    def replace(self, old: bytes, record: SessionRecord) -> bool:
        if self._scripts.get(self._key(record.digest)) is not None:
            return False
        swapped = self._scripts.run(
            _SWAP,
            self._account(record.account_id),
            record.epoch,
            old,
            record.digest,
            place_of(record.last_seen_at),
            self._ends(record),
            GRACE_MS,
            _mark(record),
        )
        if not swapped:
            return False
        account = self._account(record.account_id)
        before = self._scripts.run(_END, self._key(old))
        self._scripts.run(_LEAVE, account, old)
        if before is None:  # ended by another request, which is about to say so
            self._scripts.run(_LEAVE, account, record.digest)
            return False
        return self._written(record)

    def load(self, digest: bytes) -> LoadedSession | None:
        value = self._scripts.get(self._key(digest))
        if value is None:
            return None
        record = decoded(digest, value)
        return LoadedSession(record=record, current_epoch=record.epoch)

    def touch(self, digest: bytes, *, last_seen_at: datetime) -> bool:
        return bool(self._scripts.run(_TOUCH, self._key(digest), place_of(last_seen_at)))

    def rest(self, digest: bytes, *, at: datetime) -> bool:
        return bool(self._scripts.run(_REST, self._key(digest), place_of(at)))

    def flag(self, digest: bytes, anomaly: str, *, expected: str | None) -> bool:
        return bool(self._scripts.run(_FLAG, self._key(digest), padded(expected), padded(anomaly)))

    def end(self, digest: bytes) -> bool:
        value = self._scripts.run(_END, self._key(digest))
        if value is None:
            return False
        for record in _readable(
            ((digest, value),)
        ):  # else whose it was nobody knows; the entry goes by its own end
            self._scripts.run(_LEAVE, self._account(record.account_id), digest)
        return True

    def end_all(self, account_id: str) -> int:
        account = self._account(account_id)
        epoch, fields = self._scripts.run(_RAISE, account, self._keep // _MILLISECOND + GRACE_MS)
        digests = [field for field in fields if field != _EPOCH]
        for digest in digests:
            self._scripts.run(_END, self._key(digest))
        for digest in digests:
            self._scripts.run(_LEAVE, account, digest)
        return int(epoch)

    def of_account(self, account_id: str) -> Sequence[SessionRecord]:
        with translated():
            fields: Any = self._client.hgetall(self._account(account_id))
        epoch = int(fields.pop(_EPOCH, b"0"))
        found = ((digest, self._scripts.get(self._key(digest))) for digest in fields)
        records = _readable((digest, value) for digest, value in found if value is not None)
        own = [record for record in records if record.epoch == epoch and record.account_id == account_id]
        return tuple(sorted(own, key=lambda record: (record.created_at, record.digest), reverse=True))

    def purge(self, *, created_until: datetime) -> int:
        """Remove old sessions. Redis does so by itself at their limit: call it only to have the space at once."""
        with translated():
            keys = [bytes(key) for key in self._client.scan_iter(match=f"{self._sessions}*", count=500)]
        removed = 0
        for key in dict.fromkeys(keys):  # a scan may name a key twice
            digest = bytes.fromhex(key[len(self._sessions) : -1].decode("ascii"))
            value = self._scripts.get(key)
            if value is not None and decoded(digest, value).created_at <= created_until:
                removed += self.end(digest)
        return removed

    def _entered(self, record: SessionRecord, cap: int | None, *, end_oldest: bool) -> Any:
        return self._scripts.run(
            _ENTER,
            self._account(record.account_id),
            record.epoch,
            record.digest,
            place_of(record.last_seen_at),
            self._ends(record),
            self._keep // _MILLISECOND + GRACE_MS,
            cap or 0,
            int(end_oldest),
            GRACE_MS,
            _mark(record),
        )

    def _tell_last_seen(self, account_id: str) -> None:
        """Let the account know which of its sessions is unused the longest: a touch, which comes with nearly every
        request, changes the session only."""
        for record in self.of_account(account_id):
            self._scripts.run(_SEEN, self._account(account_id), record.digest, place_of(record.last_seen_at))

    def _written(self, record: SessionRecord) -> bool:
        """Write a session whose digest is entered already, and keep it only where that and the epoch stand still."""
        account, key = self._account(record.account_id), self._key(record.digest)
        if not self._scripts.run(_SET, key, encoded(record), self._ends(record), GRACE_MS):
            self._scripts.run(_LEAVE, account, record.digest)
            return False
        if not self._scripts.run(_STANDS, account, record.epoch, record.digest):
            self._scripts.delete(key)
            return False
        return True

    def _ends(self, record: SessionRecord) -> int:
        lasting = self._keep if record.absolute is None else min(record.absolute, self._keep)
        return math.ceil(unix_microseconds(record.created_at) / 1000) + lasting // _MILLISECOND

    def _key(self, digest: bytes) -> str:
        return f"{self._sessions}{digest.hex()}}}"

    def _account(self, account_id: str) -> str:
        return f"{self._prefix}:sessions-of:{{{tag_of(account_id)}}}"


def _mark(record: SessionRecord) -> str:
    return "" if record.impersonator is None else ":"


def _readable(found: Iterable[tuple[bytes, bytes]]) -> list[SessionRecord]:
    """Without values that somebody wrote over: they open nothing, and must keep nobody from ending the others."""
    records = []
    for digest, value in found:
        with suppress(Tampered):
            records.append(decoded(digest, value))
    return records
