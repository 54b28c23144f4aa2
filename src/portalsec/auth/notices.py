"""`Notices`: what happened to an account, for its owner: on a signed-in page, and by mail where mail is due.

A notice never holds text that a visitor wrote. Mail is a stage on which strangers like to speak: a browser's name is
told in words of our own (`browser_words`), an address as its prefix, and labels, names and addresses not at all.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

from portalsec.auth.browsers import browser_words
from portalsec.auth.ports import Contact, Notice, NoticeStore, Sealer
from portalsec.auth.throttle import address_prefix
from portalsec.clock import Clock
from portalsec.errors import ConfigurationError, StoreError, Tampered
from portalsec.events import Source
from portalsec.secret import Secret
from portalsec.typing import NewId

__all__ = [
    "ADDING",
    "NO_LINK",
    "NO_UNDO",
    "OLD_NAME",
    "REQUESTS",
    "TO_NOBODY",
    "TO_REMOVED",
    "Letter",
    "NoticeKind",
    "Notices",
    "notice_place",
]

_ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"  # read out on the telephone: no 0, 1, I, L, O, U
_MAX_DATA = 3 * 1024  # the port's 4 KiB less the seal
_BOUND = ("account", "kind", "code")
_SEEN = ("browser", "place")
_NOW = timedelta(0)
_PAGE = 200


class NoticeKind(StrEnum):
    """The closed list. What begins with ``request.`` is mail that somebody asked for; the rest happened to an account."""

    SIGNED_IN = "signed_in"
    NEW_DEVICE = "new_device"
    UNFINISHED_SIGN_IN = "unfinished_sign_in"  # the password was right and no second factor followed
    LOCKED = "locked"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105
    PASSWORD_RESET = "password_reset"  # noqa: S105
    PASSWORD_REQUIRED = "password_required"  # noqa: S105 - the next sign-in must choose a new one
    FACTOR_ADDED = "factor_added"
    FACTOR_REMOVED = "factor_removed"
    FACTOR_RESTORED = "factor_restored"
    FACTOR_RENAMED = "factor_renamed"
    FACTOR_DISABLED = "factor_disabled"  # too many wrong codes: it never counts again
    RECOVERY_CODE_USED = "recovery_code_used"
    RECOVERY_CODES_MADE = "recovery_codes_made"
    RECOVERY_CODES_FEW = "recovery_codes_few"
    RECOVERY_CODES_REMOVED = "recovery_codes_removed"  # by "this wasn't me": they were made since
    ACCOUNT_UNLOCKED = "account_unlocked"
    BREAK_GLASS = "break_glass"
    CONTACT_ADDED = "contact_added"
    CONTACT_REMOVED = "contact_removed"
    DEVICE_REMOVED = "device_removed"
    DEVICE_REUSED = "device_reused"
    DEVICE_TRUSTED = "device_trusted"
    FACTOR_RESET_BY_SUPPORT = "factor_reset_by_support"
    IMPERSONATED = "impersonated"  # support acted in the owner's name
    ACCOUNT_DISABLED = "account_disabled"
    ACCOUNT_CLOSED = "account_closed"
    DORMANT = "dormant"

    REQUEST_RESET = "request.reset"
    REQUEST_VERIFY = "request.verify"
    REQUEST_UNLOCK = "request.unlock"
    REQUEST_REGISTER = "request.register"
    REQUEST_CODE = "request.code"
    REQUEST_SIGN_IN = "request.sign_in"


ADDING = frozenset({NoticeKind.FACTOR_ADDED, NoticeKind.FACTOR_RESTORED})
"""Kinds after which there is one authenticator more."""

REQUESTS = frozenset(kind for kind in NoticeKind if kind.value.startswith("request."))
"""Kinds whose row has no account: it is worked on by whoever registered for it, and removed."""

NO_LINK = "no_link"
"""A detail: whose mail of the notice has no "this wasn't me", since it would do nothing, or serve a stranger."""

TO_NOBODY = "all"
TO_REMOVED = "removed"  # the address that the notice tells of, for the last time

NO_UNDO = "no_undo"
"""A detail of notices that an undo itself brings about: what they tell is not taken back by a link of theirs."""

OLD_NAME = "was"
"""A detail of the notice of another name: the one before, which its owner typed. No page and no mail shows it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One mail to one address, before its words are found.

    Attributes:
        contact: where it goes. Only letters of "request.verify" and "request.register" go to an address that is not
            verified yet, which is what they are about; the courier sends no other. For an address that is in no store
            yet, a `Contact` with an empty ``account_id``.
        kind: what it says.
        token: of its one link, or None where it has none. It stands in the mail and nowhere else.
        at: when it happened, or was asked for.
        code: the notice's.
        details: the notice's, as `Notices.details` gives them.
        one_time: a code to sign in with, which stands in the mail and nowhere else.
        undo: token of a second link, which takes back just what the notice tells.
    """

    contact: Contact
    kind: NoticeKind
    token: Secret[str] | None
    at: datetime
    code: str
    details: Mapping[str, str] = field(default_factory=dict, repr=False)
    one_time: Secret[str] | None = None
    undo: Secret[str] | None = None


class Notices:
    """Keeps notices and reads them back.

    Safe for concurrent use. Telling is one write. The caller records the event itself in the audit log; a notice is
    for the owner and is no record.
    """

    def __init__(self, *, store: NoticeStore, sealer: Sealer, clock: Clock, new_id: NewId) -> None:
        self._store = store
        self._sealer = sealer
        self._clock = clock
        self._new_id = new_id

    def tell(
        self,
        account_id: str,
        kind: NoticeKind,
        *,
        source: Source,
        details: Mapping[str, str] = MappingProxyType({}),
        mail: bool = True,
        delay: timedelta = _NOW,
        also: Contact | None = None,
    ) -> Notice:
        """Tell the owner of an account that something happened to it.

        Args:
            source: of the request that did it; an address prefix and the browser's kind are kept of it.
            details: closed codes and opaque ids, such as ``{"factor": "totp"}``; never text that somebody typed, but for
                `OLD_NAME`, which is shown nowhere.
            mail: whether mail is due, else it only shows among the account's activity.
            delay: how long after now mail is due; `withdraw` takes it back until then.
            also: an address that was the account's and verified until this moment (it was just removed): its owner
                is told as well.

        Raises:
            StoreError: it could not be kept.
        """
        if kind in REQUESTS:
            raise ConfigurationError(f"Notices.tell: {kind.value} is asked for with Notices.request")
        kept = {**details, **_seen(source)}
        if also is not None:
            kept["also_id"], kept["also"] = also.id, also.address
        return self._put(account_id, kind, kept, self._clock() + delay if mail else None)

    def request(
        self, kind: NoticeKind, *, source: Source, details: Mapping[str, str], known: bool = True
    ) -> Notice:
        """Keep a request for mail; who it is about is found out later, by the courier, at no cost to the asker.

        Args:
            details: what the worker needs, sealed at rest: a name as typed is one of these.
            known: False keeps a row that leads to no mail, where there is nobody to write to.
        """
        if kind not in REQUESTS and kind is not NoticeKind.LOCKED:
            raise ConfigurationError(f"Notices.request: {kind.value} is told with Notices.tell")
        return self._put(None, kind, {**details, **_seen(source)}, self._clock() if known else None)

    def of_account(
        self, account_id: str, *, limit: int = 50, before: datetime | None = None
    ) -> Sequence[Notice]:
        """The account's activity, newest first; those with ``mailed_at`` are the messages that we sent."""
        return self._store.of_account(account_id, limit=limit, before=before)

    def since(self, account_id: str, at: datetime) -> Iterator[Notice]:
        """All of them from ``at`` on, newest first: somebody may bring about so many that no number of them is enough."""
        before: datetime | None = None
        while page := self._store.of_account(account_id, limit=_PAGE, before=before):
            for notice in page:
                if notice.at < at:
                    return
                yield notice
            before = page[-1].at

    def of_code(self, account_id: str, code: str, *, within: int = 500) -> Notice | None:
        """The account's notice that names itself so, as typed from a mail; None says that this mail is not ours."""
        typed = "".join(char for char in code.upper() if char.isalnum())[:16]
        for notice in self._store.of_account(account_id, limit=within):
            if notice.code.replace("-", "") == typed:
                return notice
        return None

    def details(self, notice: Notice) -> Mapping[str, str]:
        """What was told, plus ``browser`` and ``place`` where they are known.

        Raises:
            Tampered: the row is not what was written.
        """
        opened = self._sealer.open(notice.data, **notice_place(notice.id))
        try:
            details = json.loads(opened)
            if not isinstance(details, dict) or details.pop("v", None) != 1:
                raise ValueError("version")
            if [details.pop(key, None) for key in _BOUND] != [notice.account_id, notice.kind, notice.code]:
                raise ValueError("another notice's")
        except (ValueError, AttributeError):
            details = None
        if details is None:
            raise Tampered("a notice is damaged")
        return {str(key): str(value) for key, value in details.items()}

    def withdraw(self, notice_id: str) -> bool:
        """Take back a notice whose mail was not tried yet, or that was never to be mailed, and forget it.

        Returns:
            Whether it was in time: False where a courier has it in hand, or has sent it.
        """
        if not self._store.withdraw(notice_id):
            notice = self._store.get(notice_id)
            if notice is None or notice.attempts or notice.mailed_at is not None:
                return False
        return self._store.remove(notice_id)

    def follow_up(self, notice: Notice, *, account_id: str, contact_id: str, due_at: datetime) -> Notice:
        """Keep what is left of a notice that some of its addresses got and one did not; for the courier alone.

        It has no account, so that it shows nowhere; it goes when it was sent.
        """
        left = {"notice": notice.id, "account_id": account_id, "contact": contact_id}
        return self._put(None, NoticeKind(notice.kind), left, due_at, code=notice.code)

    def sent_on_request(self, request: Notice, *, account_id: str) -> Notice:
        """List mail that somebody asked for among the messages that we sent to an account; for the courier alone."""
        details = {key: value for key, value in self.details(request).items() if key in _SEEN}
        kind = NoticeKind(request.kind)
        return self._put(account_id, kind, details, None, code=request.code, mailed_at=self._clock())

    def _put(
        self,
        account_id: str | None,
        kind: NoticeKind,
        details: Mapping[str, str],
        due_at: datetime | None,
        *,
        code: str | None = None,
        mailed_at: datetime | None = None,
    ) -> Notice:
        notice_id, code = self._new_id(), code or new_code()
        # These are sealed along: whoever can write to the store alone cannot make one notice say another thing.
        bound = dict(zip(_BOUND, (account_id, kind.value, code), strict=True))
        sealed = json.dumps({**details, **bound, "v": 1}, ensure_ascii=False)
        if len(sealed.encode("utf-8")) > _MAX_DATA:
            raise ConfigurationError("a notice's details are longer than 3 KiB: keep ids and codes only")
        data = self._sealer.seal(sealed.encode("utf-8"), **notice_place(notice_id))
        notice = Notice(
            id=notice_id,
            account_id=account_id,
            kind=kind.value,
            at=self._clock(),
            code=code,
            data=data,
            due_at=due_at,
            mailed_at=mailed_at,
        )
        if not self._store.put(notice):
            raise StoreError("a notice could not be stored")
        return notice


def notice_place(notice_id: str) -> dict[str, str]:
    """What a notice's data is bound to: the arguments of `Sealer.seal`. For this package, and for its rotation."""
    return {"table": "notice", "column": "data", "row": notice_id}


def new_code() -> str:
    """What a mail and the signed-in page both show, as ``K7QF-29XM``: 39 bits, to tell mails apart; no secret."""
    chosen = "".join(secrets.choice(_ALPHABET) for _ in range(8))
    return f"{chosen[:4]}-{chosen[4:]}"


def _seen(source: Source) -> dict[str, str]:
    """Of a request only what can be shown: the kind of browser, the prefix of the address."""
    seen = dict(zip(_SEEN, (browser_words(source.user_agent), address_prefix(source.address)), strict=True))
    return {key: value for key, value in seen.items() if value and value != "unknown"}
