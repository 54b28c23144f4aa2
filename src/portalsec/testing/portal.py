"""`memory_portal`: a whole portal in memory with cheap hashing, for an application's own tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

from portalsec.audit.checkpoint import Ed25519Signer
from portalsec.auth._own_words import About
from portalsec.auth.attempt import RiskOf
from portalsec.auth.demands import Facts
from portalsec.auth.impersonation import MayImpersonate
from portalsec.auth.ports import CodeSender, Notifier
from portalsec.clock import Clock
from portalsec.crypto.keyset import Keyset
from portalsec.events import Source
from portalsec.guard import Access
from portalsec.portal import Keys, Policies, Portal, Stores, build_portal
from portalsec.rbac.load import load_policy
from portalsec.rbac.model import Resource, Subject
from portalsec.rbac.policy import Policy
from portalsec.stores.memory import (
    MemoryAccounts,
    MemoryAssignments,
    MemoryAudit,
    MemoryContacts,
    MemoryDevices,
    MemoryFlows,
    MemoryIncidents,
    MemoryNotices,
    MemoryPasskeys,
    MemoryPasswordHistory,
    MemoryRecoveryCodes,
    MemorySessions,
    MemorySubjectKeys,
    MemoryThrottle,
    MemoryTotp,
)
from portalsec.testing.clock import FrozenClock
from portalsec.testing.hashing import CHEAP_ARGON2
from portalsec.typing import Emit

__all__ = ["RelationTable", "fresh_keys", "memory_portal", "memory_stores"]

_ORIGIN = "portal.example/audit"


class RelationTable:
    """A `RelationSource` from a set of ``(relation, subject id, resource id)``; change `facts` as the test goes."""

    def __init__(self, facts: set[tuple[str, str, str | None]] | None = None) -> None:
        self.facts = facts if facts is not None else set()

    def holds(self, relation: str, subject: Subject, resource: Resource) -> bool:
        return (relation, subject.id, resource.id) in self.facts


def memory_stores() -> Stores:
    """One fresh memory store for each port."""
    return Stores(
        accounts=MemoryAccounts(),
        throttle=MemoryThrottle(),
        flows=MemoryFlows(),
        invitations=MemoryFlows(),
        totp=MemoryTotp(),
        recovery_codes=MemoryRecoveryCodes(),
        passkeys=MemoryPasskeys(),
        sessions=MemorySessions(),
        assignments=MemoryAssignments(),
        audit=MemoryAudit(),
        subjects=MemorySubjectKeys(),
        password_history=MemoryPasswordHistory(),
        contacts=MemoryContacts(),
        devices=MemoryDevices(),
        notices=MemoryNotices(),
        incidents=MemoryIncidents(),
    )


def fresh_keys() -> Keys:
    """Keys that nobody keeps, for stores that seal by them and the `memory_portal` over those stores."""
    return Keys(
        fields=Keyset.generate("AES256_GCM"),
        mac=Keyset.generate("HMAC_SHA256_PRF"),
        index=Keyset.generate("HMAC_SHA256_PRF"),
        audit=Ed25519Signer.generate(_ORIGIN),
    )


def memory_portal(
    access: Policy | Mapping[str, Any],
    *,
    relations: RelationTable | None = None,
    stores: Stores | None = None,
    keys: Keys | None = None,
    clock: Clock | None = None,
    obligations: Mapping[str, Callable[[Access], None]] = MappingProxyType({}),
    wrap_emit: Callable[[Emit], Emit] | None = None,
    notifier: Notifier | None = None,
    accounts_of: Callable[[str], Sequence[str]] | None = None,
    about: About | None = None,
    may_impersonate: MayImpersonate | None = None,
    facts_of: Callable[[str], Facts] | None = None,
    risk_of: RiskOf | None = None,
    code_sender: CodeSender | None = None,
    place_of: Callable[[Source], str | None] | None = None,
    **policies: Any,
) -> Portal:
    """A portal whose every part does its real work, in memory.

    Args:
        access: a policy, or the mapping of one.
        relations: who stands in which relation; none by default.
        stores: other stores than memory.
        keys: other keys than fresh ones, such as those of an earlier portal over the same stores; its audit key is one
            for ``portal.example/audit``.
        clock: a `FrozenClock` by default; ``portal.clock`` gives it back.
        notifier: keeps mail, or sends it: `portalsec.testing.SentMail`, say; none by default.
        accounts_of: the accounts of a subject, as the application knows them.
        about: a person's own words, as the application knows them.
        may_impersonate: which of its staff may act as whom; by default nobody.
        facts_of: roles, tenants, risk of an account, for rules of ``sign_in``; by default nothing is known.
        risk_of: labels of one sign-in, for rules of ``sign_in`` that name some; by default none has any.
        code_sender: sends codes by SMS, where ``out_of_band`` has them.
        place_of: a coarse place of an address; by default none is known.
        policies: further fields of `portalsec.portal.Policies`.
    """
    for unknown in policies.keys() - {each.name for each in fields(Policies)}:
        near = get_close_matches(unknown, [each.name for each in fields(Policies)], 1)
        raise TypeError(
            f"memory_portal has no argument {unknown!r}" + (f": did you mean {near[0]}?" if near else "")
        )
    return build_portal(
        name="Test Portal",
        base_url="https://portal.example",
        keys=keys or fresh_keys(),
        stores=stores or memory_stores(),
        policies=Policies(
            access=access if isinstance(access, Policy) else load_policy(access, source="policy"),
            **{"hashing": CHEAP_ARGON2, **policies},
        ),
        relations=relations or RelationTable(),
        origin=_ORIGIN,
        clock=clock or FrozenClock(),
        obligations=obligations,
        wrap_emit=wrap_emit,
        notifier=notifier,
        accounts_of=accounts_of,
        about=about,
        may_impersonate=may_impersonate,
        facts_of=facts_of,
        risk_of=risk_of,
        code_sender=code_sender,
        place_of=place_of,
    )
