"""`Courier`: takes the notices whose mail is due, writes the letters and hands them over.

It runs beside the requests (a thread, a cron job, several of both): no request waits for a mail server, and none takes
longer for an account that exists than for one that does not.

A mail is handed over at least once: a worker that dies between the mail server's yes and our mark sends it again after
its lease, under the same Message-ID, so that mail systems show it once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from types import MappingProxyType

from portalsec.auth.notice_mail import MailWriter
from portalsec.auth.notice_policy import NoticePolicy
from portalsec.auth.notices import NO_LINK, REQUESTS, TO_NOBODY, Letter, NoticeKind, Notices
from portalsec.auth.ports import Contact, ContactStore, Notice, NoticeStore, Notifier
from portalsec.clock import Clock
from portalsec.errors import AuditUnavailable, MailRefused, StoreError, Tampered
from portalsec.events import SYSTEM, Event, Outcome, ResourceRef, SecurityEvent
from portalsec.secret import Secret
from portalsec.typing import Emit

__all__ = ["Courier", "Delivered"]

_log = logging.getLogger("portalsec.courier")
_UNVERIFIED = frozenset({NoticeKind.REQUEST_VERIFY, NoticeKind.REQUEST_REGISTER})
_FAILURES_IN_A_ROW = 3  # then the mail server is down: what is left keeps its attempts for the next round


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What one round did.

    Attributes:
        sent: mails that were accepted.
        later: notices and requests that failed and are tried again.
        given_up: those that are not.
    """

    sent: int = 0
    later: int = 0
    given_up: int = 0


class Courier:
    """Delivers; safe to run in any number of threads and processes at once, since a claim has one winner.

    Args:
        store, notices: where notices are.
        contacts: the addresses; mail goes to these as they are stored, never to what a visitor typed.
        notifier: hands mails over; None where the portal sends none, and then nothing is claimed.
        writer: finds the words.
        disavowal: makes the token of a notice's "this wasn't me".
        requests: for each kind of request, who finds out whom it concerns and makes the letters
            (`portalsec.auth.reset.PasswordReset.letters`). A kind without one is dropped and recorded.
        language_of: an account's language, where the application knows it.
        undo: the token of a second link, which takes back just what a notice tells, where it can be; see
            `portalsec.auth.undo`.
    """

    def __init__(
        self,
        *,
        store: NoticeStore,
        notices: Notices,
        contacts: ContactStore,
        notifier: Notifier | None,
        writer: MailWriter,
        policy: NoticePolicy,
        disavowal: Callable[[str], Secret[str]],
        emit: Emit,
        clock: Clock,
        requests: Mapping[NoticeKind, Callable[[Notice], Sequence[Letter]]] = MappingProxyType({}),
        language_of: Callable[[str], str | None] | None = None,
        undo: Callable[[Notice, Mapping[str, str]], Secret[str] | None] | None = None,
    ) -> None:
        self._store = store
        self._notices = notices
        self._contacts = contacts
        self._notifier = notifier
        self._writer = writer
        self._disavowal = disavowal
        self._emit = emit
        self._clock = clock
        self._requests = dict(requests)
        self._language_of = language_of
        self._undo = undo
        self.policy = policy

    @property
    def sends(self) -> bool:
        """Whether it has a notifier."""
        return self._notifier is not None

    def through(self, notifier: Notifier) -> Courier:
        """The same courier, which hands its mails to ``notifier``."""
        other = copy(self)
        other._notifier = notifier
        return other

    def deliver(self, *, limit: int = 50, stopping: Callable[[], bool] = lambda: False) -> Delivered:
        """Work on at most ``limit`` due notices and return; call it every few seconds.

        Args:
            stopping: asked before each notice; where it says so, the rest is left to whoever comes next.

        Raises:
            StoreError: the notices cannot be read or the log cannot record; mail that was handed over meanwhile and
                could not be recorded is handed over again.
        """
        sent = later = given_up = in_a_row = 0
        if self._notifier is None:
            return Delivered()
        for _ in range(limit):
            if stopping():
                break
            # One at a time: the lease is for one mail, and what was not begun when a worker dies is due at once.
            claimed = self._store.claim(now=self._clock(), lease=self.policy.lease, limit=1)
            if not claimed:
                break
            done = self._one(claimed[0], self._notifier)
            sent, later, given_up = sent + done.sent, later + done.later, given_up + done.given_up
            in_a_row = in_a_row + 1 if done.later and not done.sent else 0
            if in_a_row == _FAILURES_IN_A_ROW:
                break
        return Delivered(sent=sent, later=later, given_up=given_up)

    # -- parts of the above -----------------------------------------------------------------------------------------

    def _one(self, notice: Notice, notifier: Notifier) -> Delivered:
        if notice.attempts > self.policy.attempts:
            # A worker died at its last attempt: whatever killed it must not kill the next one for ever.
            return self._give_up(notice, "attempts")
        if notice.kind in REQUESTS and notice.kind not in self._requests and notice.account_id is None:
            return self._give_up(notice, "no_writer")
        cause = ""
        letters: Sequence[tuple[Letter, str]] = ()
        try:
            letters = self._letters(notice)
        except StoreError:
            cause = "store"
        except (Tampered, ValueError):
            return self._give_up(notice, "damaged")
        except Exception as error:  # noqa: BLE001 - an application's own words or language: the next mail must go
            _log.error("a letter of kind %r could not be made (%s)", notice.kind, type(error).__name__)
            cause = "letter"
        if cause:
            return self._later(notice, cause)
        if not letters:
            return self._nobody(notice)
        return self._send(notice, letters, notifier)

    def _send(self, notice: Notice, letters: Sequence[tuple[Letter, str]], notifier: Notifier) -> Delivered:
        sent: list[Letter] = []
        again: list[Letter] = []
        refused = 0
        for letter, letter_id in letters:
            cause = self._hand_over(letter, letter_id, notifier)
            if cause is None:
                # Recorded before it is marked: where the log fails, it is sent and recorded again.
                self._record(Event.ACCOUNT_NOTICE_SENT, notice, letter)
                sent.append(letter)
            elif cause == "unavailable":
                self._record(Event.ACCOUNT_NOTICE_FAILED, notice, letter, cause)
                again.append(letter)
            else:
                self._record(Event.ACCOUNT_NOTICE_FAILED, notice, letter, cause)
                refused += 1
        if again and not sent:
            moved = self._postpone(notice)
            return Delivered(later=int(moved), given_up=int(not moved))
        if again and notice.account_id is not None:
            # Only those who did not get it: a mailbox that works must not get it five times for one that does not.
            due_at = self._clock() + self.policy.pause(1)
            for letter in again:
                self._notices.follow_up(
                    notice, account_id=notice.account_id, contact_id=letter.contact.id, due_at=due_at
                )
        if notice.account_id is None:
            if notice.kind in REQUESTS:
                for account_id in sorted({letter.contact.account_id for letter in sent} - {""}):
                    self._notices.sent_on_request(notice, account_id=account_id)
            self._store.remove(notice.id)
        elif sent:
            self._store.mailed(notice.id, at=self._clock())
        else:
            self._store.postpone(notice.id, attempts=notice.attempts, due_at=None)
        return Delivered(sent=len(sent), later=int(bool(again)), given_up=refused)

    def _hand_over(self, letter: Letter, letter_id: str, notifier: Notifier) -> str | None:
        """None where it was accepted, else why not."""
        if letter.contact.verified_at is None and letter.kind not in _UNVERIFIED:
            return "unverified"  # nobody has shown that this mailbox is the account's
        try:
            language = letter.details.get("language")
            if self._language_of is not None and letter.contact.account_id:
                language = self._language_of(letter.contact.account_id) or language
            message = self._writer.write(letter, letter_id=letter_id, language=language)
        except Exception as error:  # noqa: BLE001 - no letter that cannot be written is worth the others
            _log.error("a letter of kind %r could not be written (%s)", letter.kind, type(error).__name__)
            return "unwritable"
        try:
            notifier.send(message)
        except MailRefused:
            return "refused"
        except AuditUnavailable:
            raise
        except StoreError as error:
            _log.warning("mail was not accepted (%s): it is tried again", type(error).__name__)
        except Exception as error:  # noqa: BLE001 - a notifier of an application: as one that does not answer
            _log.error("the notifier failed (%s): mail is tried again", type(error).__name__)
        else:
            return None
        return "unavailable"

    def _letters(self, notice: Notice) -> Sequence[tuple[Letter, str]]:
        """The letters, each with the id that its Message-ID is made of."""
        kind = NoticeKind(notice.kind)
        if notice.account_id is not None:
            return [(letter, notice.id) for letter in self._of_account(notice, kind)]
        if kind in REQUESTS:
            return [(letter, notice.id) for letter in self._requests[kind](notice)]
        left = self._notices.details(notice)
        original = self._store.get(left.get("notice", ""))
        if original is None or original.account_id is None or original.account_id != left.get("account_id"):
            return []
        wanted = left.get("contact")
        letters = self._of_account(original, kind)
        return [(letter, original.id) for letter in letters if letter.contact.id == wanted]

    def _of_account(self, notice: Notice, kind: NoticeKind) -> list[Letter]:
        account_id = notice.account_id or ""
        details = dict(self._notices.details(notice))
        also_id, also = details.pop("also_id", ""), details.pop("also", "")
        no_link = details.pop(NO_LINK, "")
        to = [contact for contact in self._contacts.of_account(account_id) if contact.verified_at is not None]
        if also and all(contact.address != also for contact in to):
            to.append(
                Contact(
                    id=also_id,
                    account_id=account_id,
                    address=also,
                    verified_at=notice.at,
                    created_at=notice.at,
                )
            )
        letters = []
        for contact in to:
            # An address that was just added may be a thief's: it is told, and cannot take the account over with it.
            just_added = kind is NoticeKind.CONTACT_ADDED and details.get("contact") == contact.id
            # And one that was removed while it was new: its reader would undo the removal.
            untold = just_added or no_link == TO_NOBODY or (contact.id == also_id and bool(no_link))
            token = None if untold or not self._writer.links else self._disavowal(notice.id)
            undo = None if token is None or self._undo is None else self._undo(notice, details)
            letters.append(
                Letter(
                    contact=contact,
                    kind=kind,
                    token=token,
                    at=notice.at,
                    code=notice.code,
                    details=details,
                    undo=undo,
                )
            )
        return letters

    def _nobody(self, notice: Notice) -> Delivered:
        """No address to write to: a request about nobody, which leaves no trace, or an owner whom no mail reaches."""
        if notice.account_id is None:
            self._store.remove(notice.id)
            return Delivered()
        return self._give_up(notice, "no_address")

    def _later(self, notice: Notice, cause: str) -> Delivered:
        self._record(Event.ACCOUNT_NOTICE_FAILED, notice, None, cause)
        moved = self._postpone(notice)
        return Delivered(later=int(moved), given_up=int(not moved))

    def _postpone(self, notice: Notice) -> bool:
        """Whether it is tried again."""
        last = notice.attempts >= self.policy.attempts
        if last and notice.account_id is None:
            self._store.remove(notice.id)
        else:
            due_at = None if last else self._clock() + self.policy.pause(notice.attempts)
            self._store.postpone(notice.id, attempts=notice.attempts, due_at=due_at)
        return not last

    def _give_up(self, notice: Notice, cause: str) -> Delivered:
        self._record(Event.ACCOUNT_NOTICE_FAILED, notice, None, cause)
        if notice.account_id is None:
            self._store.remove(notice.id)
        else:
            self._store.postpone(notice.id, attempts=notice.attempts, due_at=None)
        return Delivered(given_up=1)

    def _record(self, name: str, notice: Notice, letter: Letter | None, cause: str | None = None) -> None:
        account_id = notice.account_id or (letter.contact.account_id if letter else "")
        details: dict[str, str | int | bool | None] = {"kind": notice.kind, "notice": notice.id}
        if letter is not None and letter.contact.id:
            details["contact"] = letter.contact.id
        if cause is not None:
            details |= {"cause": cause, "attempt": notice.attempts}
        self._emit(
            SecurityEvent(
                name=name,
                outcome=Outcome.SUCCESS if cause is None else Outcome.FAILURE,
                actor=SYSTEM,
                resource=ResourceRef(type="account", id=account_id) if account_id else None,
                details=details,
            )
        )
