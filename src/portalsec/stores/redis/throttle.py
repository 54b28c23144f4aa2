"""`RedisThrottle`: a counter is one string, each verb one script over one key."""

from __future__ import annotations

from datetime import datetime, timedelta

from portalsec.auth.ports import Take
from portalsec.clock import from_unix_microseconds, unix_microseconds
from portalsec.stores.redis._client import GRACE_MS, Client, Scripts, checked_prefix, tag_of

__all__ = ["RedisThrottle"]

_MICROSECOND = timedelta(microseconds=1)

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
    """`portalsec.auth.ports.ThrottleStore`, atomic across workers; for loss see `portalsec.stores.redis`.

    Args:
        client: a Redis or Redis Cluster client with ``decode_responses=False`` (see `open_redis`).
        prefix: of every key, so that two portals can share a Redis.
    """

    def __init__(self, client: Client, *, prefix: str = "portalsec") -> None:
        self._scripts = Scripts(client)
        self._prefix = checked_prefix(prefix)

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
        asked = f"{moment} {window // _MICROSECOND} {limit} {GRACE_MS} {climbs}"
        answer = self._scripts.run(_TAKE, self._key(key), asked)
        ok, start, end, used, level = map(int, answer.split())
        return Take(ok=ok == 1, window=start, used=used, resets_at=from_unix_microseconds(end), level=level)

    def give_back(self, key: str, *, window: int) -> None:
        self._scripts.run(_GIVE_BACK, self._key(key), window)

    def clear(self, key: str) -> None:
        self._scripts.delete(self._key(key))

    def _key(self, key: str) -> str:
        return f"{self._prefix}:budget:{{{tag_of(key)}}}"
