"""Accounts over the project's own user model.

* The login is ``USERNAME_FIELD``; ``is_active`` is "not disabled".
* A hash that portalsec made is longer than the 128 characters of Django's password column. So it lies in `AccountLink`,
  and the column holds a pointer, ``portalsec$+`` and the SHA-256 of the hash. A hash counts only while the column points
  at it: whoever writes the column by other means (``user.set_password``, the admin) replaces it, and Django's own
  ``check_password`` never verifies it. Writing back an old user object whole (``user.save()``) leaves a pointer to
  nothing: that account has no password until it gets a new one.
* Any other content, whichever of Django's hashers wrote it, is an account without a password: it is bound to nobody, has
  no pepper, may cost anything, and went past what a new password is asked for. ``manage.py portalsec_wrap_passwords``
  takes over what was there before portalsec came, and says whose password was set by other means since.
* The account's id, reference and state are in `AccountLink` too. A user that was made by other means
  (``createsuperuser``) has no link before it needs one; its id is the text of its primary key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import connections, router
from django.db.models import Manager, Q, QuerySet
from django.utils import timezone

from portalsec.auth.account import canonical_login
from portalsec.auth.ports import Account
from portalsec.clock import microseconds_or_none, moment_or_none, unix_microseconds
from portalsec.django.conf import security_database
from portalsec.django.models import AccountLink, PasswordHistory
from portalsec.django.stores._connection import Conflict, own_transaction, reading
from portalsec.django.stores._prepared import Select, prepared
from portalsec.errors import ConfigurationError, Denied, StoreError

__all__ = ["DjangoAccounts", "account_id_of", "set_elsewhere"]

_POINTER = "portalsec$+"
_LINKED_AT_ONCE = 500


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
        state = {
            "reference": account.reference,
            "password_hash": account.password_hash,
            "must_change": account.must_change,
            "password_changed_at": microseconds_or_none(account.password_changed_at),
            "password_mailed": account.password_mailed,
            "signed_in_at": microseconds_or_none(account.signed_in_at),
            "created_at": unix_microseconds(account.created_at or now),
        }
        try:
            with own_transaction(self._using):
                # Insert first and look second: on SQLite a transaction that began with reading cannot go on to
                # write once another worker has.
                user.save(using=self._using, force_insert=True)
                if self._taken(account, besides=user.pk):
                    raise _Taken
                self._links.create(account_id=account.id, user=user, **state)
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
        user = self._found(account_id)
        return None if user is None else _account(user)

    def by_login(self, login: str) -> Account | None:
        with reading(self._using, join=True):
            user = self._like(login)
        return None if user is None else _account(user)

    def set_password(
        self,
        account_id: str,
        new_hash: str | None,
        *,
        expected: str | None,
        changed_at: datetime | None = None,
        mailed: bool = False,
    ) -> bool:
        if expected is None:
            held = self._found(account_id, join=False)
            if held is None or _hash_of(held) is not None:
                return False
            column = held.password  # none of portalsec's: it may hold anything
        else:
            column = _to_column(expected)
        state: dict[str, Any] = {"password_hash": new_hash}
        if changed_at is not None:
            state |= {
                "password_changed_at": unix_microseconds(changed_at),
                "must_change": None,
                "password_mailed": mailed,
            }
        return self.replace_column(account_id, column, new_hash, state=state)

    def replace_column(
        self, account_id: str, column: str, new_hash: str | None, *, state: Mapping[str, Any] | None = None
    ) -> bool:
        """Put a hash in place of what the password column holds, only where it still is ``column``; whether it was.

        The column is what is compared and set. The link's part follows in the same transaction, so that no reader
        sees one without the other.
        """
        if not self._linked(account_id):
            return False
        with own_transaction(self._using):
            users = self._of_id(account_id).filter(password=column)
            if users.update(password=_to_column(new_hash)) != 1:
                return False
            values = {"password_hash": new_hash} if state is None else state
            self._links.filter(account_id=account_id).update(**values)
            return True

    def password_proven(self, account_id: str, *, expected: str) -> bool:
        column = _to_column(expected)
        with own_transaction(self._using):
            # The user's row first, written as it is: that holds it against a reset until the link has followed. A
            # condition on it within the link's update would be looked at as it was before the wait for the link.
            if self._of_id(account_id).filter(password=column).update(password=column) != 1:
                return False
            mailed = self._links.filter(account_id=account_id, password_mailed=True)
            return mailed.update(password_mailed=False) == 1

    def require_change(self, account_id: str, reason: str) -> bool:
        return self._linked(account_id) and self._update_link(Q(account_id=account_id), must_change=reason)

    def signed_in(self, account_id: str, *, at: datetime) -> bool:
        now = unix_microseconds(at)
        earlier = Q(signed_in_at=None) | Q(signed_in_at__lt=now)
        return self._linked(account_id) and self._update_link(
            Q(account_id=account_id) & earlier, signed_in_at=now
        )

    def page(self, *, after: str | None, limit: int) -> Sequence[Account]:
        """Users who have no link yet get theirs as the first page is read."""
        if after is None:
            self._link_all()
        query = self._users().select_related("portalsec_account").filter(portalsec_account__isnull=False)
        if after is not None:
            query = query.filter(portalsec_account__account_id__gt=after)
        with reading(self._using, join=True):
            rows = list(query.order_by("portalsec_account__account_id")[:limit])
        return tuple(map(_account, rows))

    def set_disabled(self, account_id: str, disabled: bool) -> bool:
        with own_transaction(self._using):
            return self._of_id(account_id).filter(is_active=disabled).update(is_active=not disabled) == 1

    def user(self, account_id: str) -> AbstractBaseUser | None:
        """The project's user object of an account. Asked for every signed-in request."""
        with reading(self._using, join=True):
            user: AbstractBaseUser | None = _linked_user(_user_model(), account_id, self._using)
        return self._found(account_id) if user is None else user

    def foreign(self, *, after: Any = None, limit: int) -> Sequence[Any]:
        """Users whose password column holds what portalsec did not write, by primary key: see `set_elsewhere`."""
        query = self._users().select_related("portalsec_account")
        for ours in ("!", _POINTER):
            query = query.exclude(password__startswith=ours)
        query = query.exclude(password="")
        if after is not None:
            query = query.filter(pk__gt=after)
        with reading(self._using, join=True):
            return list(query.order_by("pk")[:limit])

    @property
    def _using(self) -> str:
        return self._alias or router.db_for_write(_user_model())

    @property
    def _links(self) -> QuerySet[AccountLink]:
        return AccountLink.objects.using(self._using).all()

    def _found(self, account_id: str, *, join: bool = True) -> Any:
        with reading(self._using, join=join):
            return self._of_id(account_id).select_related("portalsec_account").first()

    def _update_link(self, condition: Q, **values: Any) -> bool:
        with own_transaction(self._using):
            return self._links.filter(condition).update(**values) == 1

    def _linked(self, account_id: str) -> bool:
        """See to it that the account has a link; whether there is such an account."""
        user = self._found(account_id, join=False)
        if user is None:
            return False
        if not _has_link(user):
            with own_transaction(self._using):
                self._links.bulk_create([_link_of(user)], ignore_conflicts=True)
        return True

    def _link_all(self) -> None:
        after: Any = None
        while True:
            query = self._users().filter(portalsec_account=None).order_by("pk")
            if after is not None:
                query = query.filter(pk__gt=after)
            with reading(self._using, join=True):
                users = list(query[:_LINKED_AT_ONCE])
            if not users:
                return
            after = users[-1].pk
            with own_transaction(self._using):
                self._links.bulk_create([_link_of(user) for user in users], ignore_conflicts=True)

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


def hashes_under(key_id: int) -> dict[str, int]:
    """How many password hashes are under a key of the pepper, earlier ones included, by table; empty for none."""
    under = rf"^\$ps1\$[a-z]+,{key_id:08x},b"
    links = AccountLink.objects.using(router.db_for_read(_user_model()))
    current = links.filter(password_hash__regex=under, user__password__startswith=_POINTER)
    earlier = PasswordHistory.objects.using(security_database()).filter(password_hash__regex=under)
    counts = {
        AccountLink._meta.db_table: current.count(),
        PasswordHistory._meta.db_table: earlier.count(),
    }
    return {table: number for table, number in counts.items() if number}


class _Taken(Exception):
    """The id or the login is someone's: roll back."""


def account_id_of(user: Any) -> str:
    """The account id of a user object: its link's, or the text of its primary key."""
    try:
        return str(user.portalsec_account.account_id)
    except AccountLink.DoesNotExist:
        return str(user.pk)


def set_elsewhere(user: Any) -> bool:
    """Whether portalsec had given a user of `DjangoAccounts.foreign` a password, which was then replaced by other means."""
    return _has_link(user) and (
        user.portalsec_account.password_hash is not None
        or user.portalsec_account.password_changed_at is not None
    )


def _linked_user(model: Any, account_id: str, using: str) -> Any:
    """The user whose link has this id; None also where the model's rows are more than one table's columns."""
    select = _of_link(model)
    if select is None:
        return None
    text = prepared(select, using, connections[using].vendor)
    for user in model._base_manager.using(using).raw(text, (account_id,)):
        # Of the link nothing but the id was read; the rest is when somebody asks.
        AccountLink.from_db(using, ("account_id", "user_id"), (account_id, user.pk)).user = user
        return user
    return None


@cache
def _of_link(model: Any) -> Select | None:
    """None where a base manager of the project's own may add what changes from request to request."""
    users: Manager[Any] = model._base_manager
    if type(users) is not Manager or model._meta.parents:
        return None

    def select(using: str, account_id: str) -> QuerySet[Any]:
        return users.using(using).filter(portalsec_account__account_id=account_id)

    return select


def _has_link(user: Any) -> bool:
    try:
        user.portalsec_account  # noqa: B018 - asks for it
    except AccountLink.DoesNotExist:
        return False
    return True


def _link_of(user: Any) -> AccountLink:
    """A new link of a user that was made by other means."""
    return AccountLink(account_id=str(user.pk), user=user)


def _account(user: Any) -> Account:
    link = user.portalsec_account if _has_link(user) else _link_of(user)
    # Of a user that the project had before portalsec came, its own columns know.
    signed_in, created = moment_or_none(link.signed_in_at), moment_or_none(link.created_at)
    return Account(
        id=link.account_id,
        login=user.get_username(),
        password_hash=_hash_of(user),
        disabled=not user.is_active,
        reference=link.reference,
        must_change=link.must_change,
        password_changed_at=moment_or_none(link.password_changed_at),
        password_mailed=link.password_mailed,
        signed_in_at=signed_in or _utc(getattr(user, "last_login", None)),
        created_at=created or _utc(getattr(user, "date_joined", None)),
    )


def _utc(moment: Any) -> datetime | None:
    if not isinstance(moment, datetime):
        return None
    return (timezone.make_aware(moment) if timezone.is_naive(moment) else moment).astimezone(UTC)


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
    # The digest of a hash that took argon2id to make tells no more than the hash, which lies beside it.
    return _POINTER + hashlib.sha256(password_hash.encode("utf-8", "surrogatepass")).hexdigest()


def _hash_of(user: Any) -> str | None:
    column: str = user.password
    if not column.startswith(_POINTER) or not _has_link(user):
        return None
    held: str | None = user.portalsec_account.password_hash
    return held if held is not None and _to_column(held) == column else None


def _storable(key: object) -> bool:
    # An id is text that a request may have chosen: a number that no column can hold is nobody's.
    return not isinstance(key, int) or -(2**63) <= key < 2**63
