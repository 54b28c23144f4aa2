"""Accounts over the project's own user model.

* The login is ``USERNAME_FIELD``; ``is_active`` is "not disabled".
* The password column holds ``"portalsec"`` + the hash that portalsec made, which is bound to the account, so that
  Django's own ``check_password`` cannot verify it; or what Django's Argon2PasswordHasher wrote, ``"argon2"`` + a PHC
  string, which verifies here until the first sign-in. Any other content (another hasher's, argon2i of an older Django,
  an unusable one) is an account without a password that portalsec can verify.
* The account's id and reference are in `AccountLink`. A user that was made by other means (``createsuperuser``) has no
  link yet; its id is the text of its primary key.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import router
from django.db.models import Q, QuerySet

from portalsec.auth.account import canonical_login
from portalsec.auth.ports import Account
from portalsec.django.models import AccountLink
from portalsec.django.stores._connection import Conflict, own_transaction, reading
from portalsec.errors import ConfigurationError, Denied, StoreError

__all__ = ["DjangoAccounts", "account_id_of"]

_PREFIX = "argon2"  # the name of Django's hasher
_DJANGOS = _PREFIX + "$argon2id$v=19$"  # how what `portalsec.auth.passwords` can verify begins
_OURS = "portalsec$ps1$"


class DjangoAccounts:
    """`portalsec.auth.ports.AccountStore` over ``AUTH_USER_MODEL``, in the database where the users are.

    Changes commit on their own, as every store's do. That database is usually the application's, so on SQLite a view
    that has written to it must not change accounts before it commits: the second writer would wait for the first
    and then fail with `StoreError`. portalsec's own views hold no transaction.
    """

    def __init__(self, using: str | None = None) -> None:
        """``using``: alias of the user table's database; where the project's routers say by default."""
        self._alias = using

    def create(self, account: Account, *, now: datetime) -> bool:
        user_model = _user_model()
        login_field = user_model._meta.get_field(user_model.USERNAME_FIELD)
        if login_field.max_length is not None and len(account.login) > login_field.max_length:
            return False  # the column cannot hold it: as a taken one, it asks for another
        user = user_model(**{user_model.USERNAME_FIELD: account.login, "is_active": not account.disabled})
        user.password = _to_column(account.password_hash)
        try:
            with own_transaction(self._using):
                # Insert first and look second: on SQLite a transaction that began with reading cannot go on to
                # write once another worker has.
                user.save(using=self._using, force_insert=True)
                if self._taken(account, besides=user.pk):
                    raise _Taken
                AccountLink.objects.using(self._using).create(
                    account_id=account.id, user=user, reference=account.reference
                )
        except _Taken:
            return False
        except Conflict as error:
            if self._taken(account, besides=None):
                return False
            raise StoreError(
                f"a user could not be inserted into {user_model._meta.label}: it has required columns that "
                "portalsec does not fill, so give them defaults"
            ) from error
        return True

    def get(self, account_id: str) -> Account | None:
        with reading(self._using, join=True):
            user = self._of_id(account_id).select_related("portalsec_account").first()
        return None if user is None else _account(user)

    def by_login(self, login: str) -> Account | None:
        with reading(self._using, join=True):
            user = self._like(login)
        return None if user is None else _account(user)

    def set_password(self, account_id: str, new_hash: str, *, expected: str | None) -> bool:
        with own_transaction(self._using):
            none = ~Q(password__startswith=_OURS) & ~Q(password__startswith=_DJANGOS)
            same = none if expected is None else Q(password=_to_column(expected))
            return self._of_id(account_id).filter(same).update(password=_to_column(new_hash)) == 1

    def set_disabled(self, account_id: str, disabled: bool) -> bool:
        with own_transaction(self._using):
            return self._of_id(account_id).filter(is_active=disabled).update(is_active=not disabled) == 1

    def user(self, account_id: str) -> AbstractBaseUser | None:
        """The project's user object of an account."""
        with reading(self._using, join=True):
            return self._of_id(account_id).select_related("portalsec_account").first()

    @property
    def _using(self) -> str:
        return self._alias or router.db_for_write(_user_model())

    def _taken(self, account: Account, *, besides: object) -> bool:
        field = _user_model().USERNAME_FIELD
        with reading(self._using, join=True):
            return (
                self._of_id(account.id).exclude(pk=besides).exists()
                or self._users().filter(**{f"{field}__iexact": account.login}).exclude(pk=besides).exists()
            )

    def _users(self) -> QuerySet[Any]:
        users: QuerySet[Any] = _user_model()._base_manager.using(self._using)
        return users

    def _of_id(self, account_id: str) -> QuerySet[Any]:
        linked = Q(portalsec_account__account_id=account_id)
        try:
            key = _user_model()._meta.pk.to_python(account_id)
        except ValidationError:
            return self._by_pk(linked)
        # Only where the text is exactly that key's: "07" is not user 7.
        if str(key) != account_id or not _storable(key):
            return self._by_pk(linked)
        return self._by_pk(linked | Q(portalsec_account=None, pk=key))

    def _by_pk(self, condition: Q) -> QuerySet[Any]:
        # A subquery: an UPDATE cannot join.
        return self._users().filter(pk__in=self._users().filter(condition).values("pk"))

    def _like(self, login: str) -> Any:
        """The user of a canonical login. One look-up whether it exists or not.

        Names that were stored in capitals before portalsec came are found as well, unless two differ only in that.
        """
        field = _user_model().USERNAME_FIELD
        found = list(
            self._users().select_related("portalsec_account").filter(**{f"{field}__iexact": login})[:3]
        )
        exact = [user for user in found if user.get_username() == login]
        alike = [user for user in found if _canonical(user.get_username()) == login]
        if exact or len(alike) == 1:
            return (exact or alike)[0]
        return None


class _Taken(Exception):
    """The id or the login is someone's: roll back."""


def account_id_of(user: Any) -> str:
    """The account id of a user object: its link's, or the text of its primary key."""
    try:
        return str(user.portalsec_account.account_id)
    except AccountLink.DoesNotExist:
        return str(user.pk)


def _account(user: Any) -> Account:
    try:
        reference = user.portalsec_account.reference
    except AccountLink.DoesNotExist:
        reference = None
    return Account(
        id=account_id_of(user),
        login=user.get_username(),
        password_hash=_from_column(user.password),
        disabled=not user.is_active,
        reference=reference,
    )


def _canonical(login: str) -> str | None:
    try:
        return canonical_login(login)
    except Denied:
        return None


def _user_model() -> type[Any]:
    model = get_user_model()
    for name in (model.USERNAME_FIELD, "password", "is_active"):
        try:
            model._meta.get_field(name)
        except FieldDoesNotExist:
            raise ConfigurationError(
                f"AUTH_USER_MODEL {model._meta.label} has no column {name!r}: portalsec needs a login name, a "
                "password and is_active"
            ) from None
    return model


def _to_column(password_hash: str | None) -> str:
    if password_hash is None:
        return "!"
    return ("portalsec" if password_hash.startswith("$ps1$") else _PREFIX) + password_hash


def _from_column(column: str) -> str | None:
    if column.startswith(_OURS):
        return column.removeprefix("portalsec")
    return column.removeprefix(_PREFIX) if column.startswith(_DJANGOS) else None


def _storable(key: object) -> bool:
    # An id is text that a request may have chosen: a number that no column can hold is nobody's.
    return not isinstance(key, int) or -(2**63) <= key < 2**63
