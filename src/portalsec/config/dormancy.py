"""The accounts of a portal of ``portalsec.toml``, for `portalsec accounts dormant`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from portalsec._encoding import uuid7
from portalsec.auth.dormancy import Dormancy
from portalsec.auth.endings import Endings
from portalsec.auth.notices import Notices
from portalsec.auth.sessions import SessionPolicy, Sessions
from portalsec.clock import Clock, system_clock
from portalsec.config.keysets import KeysetFiles
from portalsec.config.policies import dormancy_policy
from portalsec.config.rotation import _opened
from portalsec.config.settings import Settings
from portalsec.crypto.prf import KeyedHash
from portalsec.crypto.seal import FieldSealer
from portalsec.sqlalchemy import (
    SqlAccounts,
    SqlDevices,
    SqlFlows,
    SqlNotices,
    SqlSessions,
    check_schema,
)
from portalsec.typing import Emit

__all__ = ["open_dormancy"]


@contextmanager
def open_dormancy(
    settings: Settings, *, emit: Emit, clock: Clock = system_clock, env: Mapping[str, str] | None = None
) -> Iterator[tuple[SqlAccounts, Dormancy]]:
    """The accounts, and what finds the dormant ones; nothing is created. The connections end with the block.

    Raises:
        ConfigurationError: a keyset, the database or its tables are missing, or of another version.
        StoreError: the database does not answer.
    """
    files = KeysetFiles(settings, env=env)
    mac, sealer = KeyedHash(files.read("mac")), FieldSealer(files.read("fields"))
    policy = dormancy_policy(settings)
    with ExitStack() as stack:
        security = stack.enter_context(_opened(settings, "security"))
        check_schema(security, "security")
        short_lived = settings["stores", "short_lived"]
        if short_lived is None:
            flows = SqlFlows(security)
        else:
            from portalsec.stores.redis import RedisFlows, open_redis

            client = open_redis(short_lived)
            stack.callback(client.close)
            flows = RedisFlows(client)  # type: ignore[assignment]
        accounts = SqlAccounts(security, mac=mac, sealer=sealer)
        sessions = Sessions(
            store=SqlSessions(security),
            policy=SessionPolicy.HIPAA_CLINIC,
            clock=clock,
            mac=mac,
            emit=emit,
        )
        yield (
            accounts,
            Dormancy(
                accounts=accounts,
                notices=Notices(store=SqlNotices(security), sealer=sealer, clock=clock, new_id=uuid7),
                endings=Endings(
                    sessions=sessions,
                    devices=SqlDevices(security),
                    flows=flows,
                    links=SqlFlows(security),
                    emit=emit,
                ),
                emit=emit,
                clock=clock,
                policy=policy,
            ),
        )
