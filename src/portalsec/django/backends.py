"""``user.has_perm("record:read", obj)`` answered by the access policy."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from django.contrib.auth.backends import BaseBackend
from django.core.exceptions import PermissionDenied

from portalsec.django.conf import get_portal
from portalsec.django.stores.accounts import account_id_of
from portalsec.rbac.model import Context, Resource, Subject

__all__ = ["HasResource", "PolicyBackend"]


@runtime_checkable
class HasResource(Protocol):
    """A model instance that knows what it is in the policy's words."""

    def portalsec_resource(self) -> Resource: ...


class PolicyBackend(BaseBackend):
    """``AUTHENTICATION_BACKENDS = ["portalsec.django.backends.PolicyBackend"]``.

    Permissions are written ``record:read`` or, as Django's own, ``record.read``. It is for menus and buttons: what
    shows data uses `portalsec.django.decorators.require`, which also records. Nobody signs in through it.

    A permission that the policy declares is decided here for good, whatever backends follow; any other is left to
    them. Django itself answers True to everything for a superuser and asks no backend: have none.
    """

    def authenticate(self, request: Any, **credentials: Any) -> None:
        """Never: `portalsec.auth.signin.SignIn` is the one door to a session."""

    def get_user(self, user_id: Any) -> None:
        """Never: a user id in a session is no evidence."""

    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        portal = get_portal()
        kind, action = _split(perm)
        if f"{kind}:{action}" not in portal.pdp.policy.permissions:
            return False
        target = _resource(kind, obj)
        subject = _subject(user_obj)
        if (
            target is None
            or subject is None
            or not portal.pdp.can(subject, action, target, Context(now=portal.clock()))
        ):
            raise PermissionDenied
        return True

    def has_module_perms(self, user_obj: Any, app_label: str) -> bool:
        """Whether any permission of the type ``app_label`` is granted for the type as a whole."""
        portal = get_portal()
        subject = _subject(user_obj)
        if subject is None:
            return False
        actions = [
            p.partition(":")[2] for p in portal.pdp.policy.permissions if p.startswith(f"{app_label}:")
        ]
        return any(
            portal.pdp.can(subject, action, Resource(type=app_label), Context(now=portal.clock()))
            for action in actions
        )


def _split(perm: str) -> tuple[str, str]:
    kind, colon, action = perm.partition(":")
    if not colon:
        kind, _, action = perm.partition(".")
    return kind, action


def _subject(user: Any) -> Subject | None:
    if not (user.is_authenticated and user.is_active):
        return None
    account_id = account_id_of(user)
    return Subject(id=account_id, roles=get_portal().stores.assignments.roles_of(account_id))


def _resource(kind: str, obj: Any) -> Resource | None:
    """What ``obj`` is in the policy's words; None where it is another kind of thing than the permission is about."""
    if obj is None:
        return Resource(type=kind)
    target = obj.portalsec_resource() if isinstance(obj, HasResource) else obj
    return target if isinstance(target, Resource) and target.type == kind else None
