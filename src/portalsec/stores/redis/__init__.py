"""Throttle counters, short-lived flows and sessions in Redis or Redis Cluster.

Each verb is one Lua script over one key, so each is laid out for Redis Cluster: a script touches one hash tag. The one
verb over many keys, `RedisFlows.drop_account`, takes them one by one (see there); `RedisSessions` says how its verbs
stay decided over two.

**What is lost, and when.** Redis answers before it writes to disk, and a replica that takes over lacks the last
writes of the one that failed (about a second's worth in both cases). A lost throttle unit is an attempt forgotten. A
lost `consume` is a flow that can be used once more until it expires: so what must happen once is decided by an SQL
store too, as sign-in is by `TotpStore.advance`. An eviction policy other than ``noeviction`` loses counters under
memory pressure, which an attacker can cause.

**Time.** Every decision is made with the ``now`` of the caller. Redis's own clock only removes keys that no decision
needs any more: a key outlives its end by `GRACE` on Redis's clock, so workers and Redis may disagree by less than that.
"""

from portalsec.stores.redis._client import GRACE, Client, open_redis
from portalsec.stores.redis.flows import RedisFlows
from portalsec.stores.redis.sessions import RedisSessions
from portalsec.stores.redis.throttle import RedisThrottle

__all__ = ["GRACE", "Client", "RedisFlows", "RedisSessions", "RedisThrottle", "open_redis"]
