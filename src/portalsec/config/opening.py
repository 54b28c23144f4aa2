"""From settings to a running portal."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import timedelta
from types import MappingProxyType

from portalsec._encoding import uuid7
from portalsec.audit.anchor import FileAnchor
from portalsec.audit.checkpoint import Ed25519Signer
from portalsec.auth._own_words import About
from portalsec.auth.attempt import RiskOf
from portalsec.auth.demands import Facts
from portalsec.auth.hash_costs import Argon2Parameters
from portalsec.auth.impersonation import MayImpersonate
from portalsec.auth.ports import CodeSender, Notifier, SessionStore
from portalsec.clock import Clock, system_clock
from portalsec.config.breaches import open_breach_sources
from portalsec.config.keys import resolve_reference
from portalsec.config.keysets import KeysetFiles, audit_origin
from portalsec.config.mail import open_notifier
from portalsec.config.policies import open_policies, open_session_policy
from portalsec.config.settings import Settings
from portalsec.crypto.keyring import Keyring
from portalsec.crypto.prf import KeyedHash
from portalsec.crypto.seal import FieldSealer
from portalsec.errors import ConfigurationError
from portalsec.events import Source
from portalsec.guard import Access
from portalsec.portal import Keys, Portal, Stores, build_portal
from portalsec.rbac.ports import RelationSource
from portalsec.typing import Emit, NewId

__all__ = ["audit_origin", "open_keys", "open_policies", "open_portal", "open_stores"]


def open_portal(
    settings: Settings,
    *,
    relations: Callable[[Stores], RelationSource],
    keys: Keys | None = None,
    stores: Callable[[Keys], Stores] | None = None,
    hashing: Argon2Parameters | None = None,
    obligations: Mapping[str, Callable[[Access], None]] = MappingProxyType({}),
    clock: Clock = system_clock,
    new_id: NewId = uuid7,
    env: Mapping[str, str] | None = None,
    notifier: Notifier | None = None,
    about: About | None = None,
    language_of: Callable[[str], str | None] | None = None,
    accounts_of: Callable[[str], Sequence[str]] | None = None,
    wrap_emit: Callable[[Emit], Emit] | None = None,
    may_impersonate: MayImpersonate | None = None,
    code_sender: CodeSender | None = None,
    facts_of: Callable[[str], Facts] | None = None,
    risk_of: RiskOf | None = None,
    place_of: Callable[[Source], str | None] | None = None,
) -> Portal:
    """Read the keys and the policy, open the stores, and wire a portal.

    Args:
        settings: from `load_settings`.
        relations: given the stores, returns the application's relation source.
        keys: from `open_keys`, for an application that encrypts with them before its portal is open.
        stores: given the keys, returns other stores than those of ``[stores]`` (Django passes its own).
        hashing: Argon2 parameters in place of ``[passwords] hashing``, from a calibration.
        obligations: how each obligation that the access policy names is met.
        clock, new_id: replaced in tests.
        env: the environment that ``env:NAME`` references read; `os.environ` by default.
        notifier: who hands mail over, in place of ``[mail]``.
        about, language_of, accounts_of: as `build_portal` has them: a person's own words, an account's language,
            whose accounts a subject's are.
        wrap_emit: as `build_portal` has it: an application that listens to events too.
        may_impersonate: as `build_portal` has it: which of its staff may act as whom.
        code_sender: as `build_portal` has it: sends codes by SMS, where ``[sign_in] factors`` has them.
        facts_of: as `build_portal` has it: whom ``[sign_in] rules`` and ``[sessions] rules`` are about.
        risk_of: as `build_portal` has it: labels of one sign-in, for ``[sign_in] rules`` that name some.
        place_of: as `build_portal` has it: a coarse place of an address, for the owner's list of sessions.

    Raises:
        ConfigurationError: a setting, key or policy is wrong; the text names file, key and remedy.
        KeyServiceUnavailable: the service of ``[keys] kek`` does not answer, or refuses.
        StoreError: a database does not answer.
    """
    keys = open_keys(settings, env=env) if keys is None else keys
    policies = open_policies(
        settings, hashing=hashing, clock=clock
    )  # before the stores: a wrong policy opens no database
    breach_sources = open_breach_sources(settings)
    if notifier is None:
        notifier = open_notifier(settings, env=os.environ if env is None else env, clock=clock)
    opened = stores(keys) if stores is not None else open_stores(settings, keys)
    try:
        return build_portal(
            name=settings["portal", "name"],
            base_url=settings["portal", "base_url"],
            proxy_hops=settings["portal", "proxy_hops"],
            keys=keys,
            stores=opened,
            policies=policies,
            breach_sources=breach_sources,
            relations=relations(opened),
            origin=audit_origin(settings),
            anchors=(FileAnchor(settings.path("audit", "anchor")),),
            obligations=obligations,
            clock=clock,
            new_id=new_id,
            notifier=notifier,
            about=about,
            language_of=language_of,
            accounts_of=accounts_of,
            wrap_emit=wrap_emit,
            may_impersonate=may_impersonate,
            code_sender=code_sender,
            facts_of=facts_of,
            risk_of=risk_of,
            place_of=place_of,
        )
    except BaseException:
        opened.close()  # parts that do not fit together leave no connection open
        raise


def open_keys(settings: Settings, *, env: Mapping[str, str] | None = None) -> Keys:
    """Read the keys that ``[keys]`` names; ``keys.reload()`` reads the keysets again from the same places.

    Raises:
        ConfigurationError: a key is missing, damaged or of another purpose; the text names it and the remedy.
        KeyServiceUnavailable: the service of ``[keys] kek`` does not answer, or refuses. There is no start without it.
    """
    environment = os.environ if env is None else env

    ring = Keyring(KeysetFiles(settings, env=environment).read_all)
    text = resolve_reference(
        settings["keys", "audit"],
        key=f"{settings.source}: [keys] audit",
        base=settings.base,
        env=environment,
    )
    try:
        signer = Ed25519Signer.from_text(text)
    except ConfigurationError as error:
        # the cause may quote the key file
        raise ConfigurationError(
            f"{settings.source}: [keys] audit ({settings['keys', 'audit']}): {error}"
        ) from None
    return Keys(
        fields=ring["fields"],
        mac=ring["mac"],
        index=ring["index"],
        audit=signer,
        pepper=ring["pepper"] if settings["keys", "pepper"] is not None else None,
        ring=ring,
    )


def open_stores(settings: Settings, keys: Keys) -> Stores:
    """Open what ``[stores]`` names, creating missing tables."""
    from portalsec.sqlalchemy import (
        SqlAccounts,
        SqlAssignments,
        SqlAudit,
        SqlContacts,
        SqlDevices,
        SqlFlows,
        SqlIncidents,
        SqlNotices,
        SqlPasskeys,
        SqlPasswordHistory,
        SqlRecoveryCodes,
        SqlSessions,
        SqlSubjectKeys,
        SqlThrottle,
        SqlTotp,
        create_schema,
        open_engine,
    )

    mac, sealer = KeyedHash(keys.mac), FieldSealer(keys.fields)
    security_url, audit_url = settings.url("stores", "security"), settings.url("stores", "audit")
    with ExitStack() as undo:  # whatever fails below leaves no connection open
        security = open_engine(security_url)
        undo.callback(security.dispose)
        create_schema(security, "security")
        audit = open_engine(audit_url)
        undo.callback(audit.dispose)
        create_schema(audit, "audit")
        subjects = security
        if settings["stores", "subjects"] is not None:
            subjects = open_engine(settings.url("stores", "subjects"))
            undo.callback(subjects.dispose)
        create_schema(subjects, "subjects")
        sessions: SessionStore = SqlSessions(security)
        short_lived = settings["stores", "short_lived"]
        if short_lived is None:
            if settings["sessions", "store"] == "short_lived":
                raise ConfigurationError(
                    f'{settings.source}: [sessions] store is "short_lived", but [stores] short_lived is not set: '
                    "name a redis:// URL there, or keep sessions in security"
                )
            throttle, flows = SqlThrottle(security), SqlFlows(security)
        else:
            from portalsec.stores.redis import RedisFlows, RedisSessions, RedisThrottle, open_redis

            client = open_redis(short_lived)
            undo.callback(client.close)
            throttle, flows = RedisThrottle(client), RedisFlows(client)  # type: ignore[assignment]
            if settings["sessions", "store"] == "short_lived":
                longest = open_session_policy(settings).absolute
                sessions = RedisSessions(client, keep=max(longest, timedelta(days=1)))
        return Stores(
            accounts=SqlAccounts(security, mac=mac, sealer=sealer),
            throttle=throttle,
            flows=flows,
            invitations=SqlFlows(security),
            totp=SqlTotp(security),
            recovery_codes=SqlRecoveryCodes(security),
            passkeys=SqlPasskeys(security),
            sessions=sessions,
            assignments=SqlAssignments(security),
            audit=SqlAudit(audit),
            subjects=SqlSubjectKeys(subjects),
            password_history=SqlPasswordHistory(security),
            contacts=SqlContacts(security, mac=mac, sealer=sealer),
            devices=SqlDevices(security),
            notices=SqlNotices(security),
            incidents=SqlIncidents(security),
            close=undo.pop_all().close,
        )
