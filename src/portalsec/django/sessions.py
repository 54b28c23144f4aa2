"""The session engine: ``SESSION_ENGINE = "portalsec.django.sessions"``.

The database never holds a session key, only its SHA-256, and never the data in clear, only under the portal's field
key. There is one cookie: a visitor's session key is made here and opens nothing; at a sign-in it is replaced by the id
that portalsec gave out. `request.session` then belongs to that sign-in and ends with it.

Rows are written on portalsec's own database in transactions of their own.
"""

from __future__ import annotations

import hashlib
import re
from datetime import timedelta
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.base import CreateError, SessionBase, UpdateError
from django.db.models import QuerySet
from django.utils.crypto import constant_time_compare

from portalsec._encoding import new_token
from portalsec.auth.sessions import NewSession
from portalsec.clock import unix_microseconds
from portalsec.crypto.seal import FieldSealer
from portalsec.django.conf import get_portal, security_database
from portalsec.django.models import SessionData
from portalsec.django.stores._connection import Conflict, own_transaction, reading
from portalsec.django.stores._prepared import row_of
from portalsec.errors import Tampered
from portalsec.events import Source

__all__ = ["SessionStore"]

_KEY = re.compile(r"[A-Za-z0-9_-]{43}\Z")  # what `new_token` makes
SEALED_FOR = {"table": "portalsec_sessiondata", "column": "data"}
# What `django.contrib.auth.login` leaves behind. It is no evidence, so it is not even kept.
_LOGIN_MARKS = (SESSION_KEY, BACKEND_SESSION_KEY, HASH_SESSION_KEY)


class SessionStore(SessionBase):
    """Django's session, kept by digest and sealed. Not for threads to share; a request has its own."""

    def __init__(self, session_key: str | None = None) -> None:
        self.source = Source()  # the middleware says where the request came from
        self.signed_off = False  # a sign-in ended here, whoever asked: also Django's own `logout`
        self._user_hash: str | None = None
        self._stored: tuple[str, bytes] | None = None
        super().__init__(session_key)
        self._missing = session_key is not None and self.session_key is None

    # -- what portalsec adds ----------------------------------------------------------------------------------------

    def bind(self, session: NewSession, user: Any) -> None:
        """Begin afresh under the id of a session that portalsec has just opened.

        Nothing of the visitor's session goes along: what somebody planted there before the sign-in is gone.
        """
        self.flush()
        self._session_key = session.token.reveal()
        self._user_hash = _hash_of(user)
        self.save(must_create=True)

    def go_on(self, session: NewSession, user: Any) -> None:
        """Keep the data of a sign-in that goes on under a new id. The old key opens nothing any more."""
        data, old = dict(self._get_session()), self.session_key  # type: ignore[attr-defined]
        self._forget()
        self._session_key = session.token.reveal()
        self._user_hash = _hash_of(user)
        self._session_cache.update(data)
        self.save(must_create=True)
        self._drop(old)

    @property
    def belongs_to_sign_in(self) -> bool:
        """Whether it is, as far as was loaded, the session of a sign-in; no longer after `flush`."""
        return self._user_hash is not None

    def belongs_to_visitor(self) -> bool:
        """Whether this is a session from before any sign-in. An unknown key is not: the core is to hear of it."""
        self._get_session()  # type: ignore[attr-defined]
        return self._user_hash is None and not self._missing

    def confirms(self, user: Any) -> bool:
        """Whether the user's password is still the one of the sign-in. Not where the row is gone or was edited."""
        return _confirms(self._user_hash, user)

    @staticmethod
    def confirms_behind(digest: bytes | None, user: Any) -> bool:
        """The same of the staff's own session, which stands behind one in which they act."""
        using = security_database()
        with reading(using):
            row = None if digest is None else row_of(_of_digest, using, digest.hex())
        return row is not None and _confirms(row[1], user)

    def discard(self) -> None:
        """Drop the data of a session that the core has ended."""
        self._drop(self.session_key)
        self._forget()

    def leave(self) -> None:
        """Nobody's any more in this request; what is kept stays for when its owner shows a factor."""
        self._forget()

    def save_now(self) -> None:
        """Save what changed while a failure can still be answered properly; Django's own save then has nothing to do."""
        if self.modified and not self.is_empty():
            self.save()

    # -- what Django asks -------------------------------------------------------------------------------------------

    def load(self) -> dict[str, Any]:
        row, digest, using = None, "", security_database()
        if self.session_key is not None:
            digest = _digest(self.session_key)
            with reading(using):
                row = row_of(_of_digest, using, digest)
        if row is None or row[2] <= _now():
            # Never adopted: a key that we did not make, or no longer know, is not written back (fixation).
            self._missing = True
            self._session_key = None
            return {}
        data, user_hash, _ = row
        try:
            plain = _sealer().open(bytes(data), row=digest, **SEALED_FOR)
            held = self.serializer().loads(plain)
        except (Tampered, ValueError):
            self._missing = True
            self._session_key = None
            return {}
        self._user_hash = user_hash
        self._stored = (digest, plain)
        return {name: value for name, value in held.items() if name not in _LOGIN_MARKS}

    def exists(self, session_key: str) -> bool:
        with reading(security_database()):
            return SessionData.objects.filter(digest=_digest(session_key)).exists()

    def create(self) -> None:
        while True:
            self._session_key = self._get_new_session_key()
            try:
                self.save(must_create=True)
            except CreateError:
                continue
            self.modified = True
            return

    def save(self, must_create: bool = False) -> None:
        key = self.session_key
        if key is None:
            self.create()
            return
        kept = self._get_session(no_load=must_create)  # type: ignore[attr-defined]
        data = {name: value for name, value in kept.items() if name not in _LOGIN_MARKS}
        digest, plain = _digest(key), self.serializer().dumps(data)
        if not must_create and self._stored == (digest, plain):
            return
        values = {
            "data": _sealer().seal(plain, row=digest, **SEALED_FOR),
            "user_hash": self._user_hash,
            "expires_at": _now() + self.get_expiry_age() * 1_000_000,
        }
        if must_create:
            try:
                with own_transaction(security_database()):
                    SessionData.objects.create(digest=digest, **values)
            except Conflict:
                raise CreateError from None
        else:
            with own_transaction(security_database()):
                found = SessionData.objects.filter(digest=digest).update(**values)
            if not found:
                # Ended by another request meanwhile; saving must not bring it back.
                raise UpdateError
        self._stored = (digest, plain)

    def delete(self, session_key: str | None = None) -> None:
        """Forget a key. If it was a sign-in's, that ends too, so a copied cookie is worth nothing after a sign-out."""
        key = self.session_key if session_key is None else session_key
        if key is None:
            return
        if self._user_hash is not None:
            self.signed_off = True
            get_portal().sign_in.logout(key, source=self.source)  # and what support has behind it
        self._drop(key)

    def flush(self) -> None:
        self._get_session()  # type: ignore[attr-defined]  # whose it was decides what else ends
        super().flush()
        self._forget()

    def cycle_key(self) -> None:
        """A new key for a visitor's session. A sign-in's id is portalsec's alone: changing it ends the sign-in."""
        if self.belongs_to_visitor():
            super().cycle_key()
        else:
            self.flush()
            self.create()

    async def aflush(self) -> None:
        await sync_to_async(self.flush)()

    async def acycle_key(self) -> None:
        await sync_to_async(self.cycle_key)()

    @classmethod
    def clear_expired(cls) -> None:
        """``manage.py clearsessions``."""
        with own_transaction(security_database()):
            SessionData.objects.filter(expires_at__lte=_now()).delete()

    def get_expiry_age(self, **kwargs: Any) -> int:
        """Seconds that the row is kept; a sign-in's as long as its session could last at most."""
        if self._user_hash is not None:
            return get_portal().policies.sessions.absolute // timedelta(seconds=1)
        return super().get_expiry_age(**kwargs)

    def get_expire_at_browser_close(self) -> bool:
        """Always: the server ends a session by its own clock, so the cookie needs no date."""
        return True

    def _get_new_session_key(self) -> str:
        return new_token()

    def _validate_session_key(self, key: object) -> bool:
        return isinstance(key, str) and _KEY.match(key) is not None

    # -- details ----------------------------------------------------------------------------------------------------

    def _forget(self) -> None:
        self._session_key = None
        self._session_cache: dict[str, Any] = {}
        self._user_hash = self._stored = None
        self._missing = False
        self.modified = True

    @staticmethod
    def _drop(key: str | None) -> None:
        if key is not None:
            with own_transaction(security_database()):
                SessionData.objects.filter(digest=_digest(key)).delete()


def _of_digest(using: str, digest: str) -> QuerySet[Any, Any]:
    return (
        SessionData.objects.using(using).filter(digest=digest).values_list("data", "user_hash", "expires_at")
    )


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _now() -> int:
    return unix_microseconds(get_portal().clock())


def _sealer() -> FieldSealer:
    return FieldSealer(get_portal().keys.fields)


def _confirms(signed_in_with: str | None, user: Any) -> bool:
    return any(
        constant_time_compare(signed_in_with or "", present)
        for present in (_hash_of(user), *user.get_session_auth_fallback_hash())
    )


def _hash_of(user: Any) -> str:
    return str(user.get_session_auth_hash())
