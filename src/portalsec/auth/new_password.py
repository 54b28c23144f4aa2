"""`NewPasswords`: the one gate through which every new password goes, whatever path it came by."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Literal, TypeAlias

from portalsec.auth._input import password_text
from portalsec.auth.password_policy import (
    MAX_HISTORY,
    PasswordPolicy,
    PasswordRefused,
    PasswordReport,
    Problem,
)
from portalsec.auth.ports import BreachSource, PasswordHistoryStore
from portalsec.errors import ConfigurationError, Denied, Reason, StoreError, Tampered
from portalsec.events import Event, Outcome, ResourceRef, SecurityEvent, Source
from portalsec.typing import Emit

if TYPE_CHECKING:
    from portalsec.auth.passwords import Passwords

__all__ = ["NewPasswords", "Unreachable"]


Unreachable: TypeAlias = Literal["accept", "refuse"]
"""What becomes of a new password that a source cannot be asked about."""

_COMPROMISED_KEPT = 5  # the dearest check there is: each costs a hash at every choice of a password


class NewPasswords:
    """Checks a new password against everything that may speak against it, and hashes it.

    Sign-up, change, reset, forced change and administration all go through `prepare`, so that no path skips a check.
    Safe for concurrent use.

    Args:
        policy: what is asked of the password itself.
        sources: of leaked passwords; local ones are asked first.
        unreachable: what becomes of a password that a source cannot be asked about. Recorded either way.
        passwords: hashes it, and compares it with hashes of earlier ones.
        history: hashes of earlier passwords.
        keep: how many earlier passwords may not come back, besides the current one and those that were retired as
            compromised; 0 to 24, by default the policy's ``history``.
        emit: records what could not be asked.
    """

    def __init__(
        self,
        *,
        policy: PasswordPolicy,
        sources: Sequence[BreachSource],
        passwords: Passwords,
        history: PasswordHistoryStore,
        emit: Emit,
        unreachable: Unreachable = "accept",
        keep: int | None = None,
    ) -> None:
        keep = policy.history if keep is None else keep
        if unreachable not in {"accept", "refuse"}:
            raise ConfigurationError('NewPasswords: unreachable is "accept" or "refuse"')
        if not 0 <= keep <= MAX_HISTORY:
            raise ConfigurationError(f"NewPasswords: keep goes from 0 to {MAX_HISTORY} earlier passwords")
        self.policy = policy
        self.unreachable = unreachable
        self.keep = keep
        self._sources = tuple(sorted(sources, key=lambda source: not source.local))
        self._passwords = passwords
        self._history = history
        self._emit = emit

    def report(
        self, password: object, *, about: Sequence[str] = (), with_second_factor: bool
    ) -> PasswordReport:
        """What the meter shows while somebody types: nothing is recorded, hashed or sent anywhere.

        A password without problems may still be refused by `prepare`, which also asks the sources that are not local,
        and looks at earlier passwords.

        Raises:
            Denied: MALFORMED where it is not text, is empty, or is over 1024 bytes; no work was done.
        """
        text = password_text(password)
        found = self.policy.report(text, about=about, with_second_factor=with_second_factor)
        if found.problems:
            return found
        for source in self._sources:
            if not source.local:
                continue
            try:
                listed = source.contains(text)
            except StoreError:
                # `prepare` records it and decides; at every key press it would fill the log.
                found = found.advising(Problem("unchecked"))
            else:
                if listed:
                    return found.refusing(Problem("breached"))
        return found

    def prepare(
        self,
        account_id: str,
        password: object,
        *,
        about: Sequence[str] = (),
        with_second_factor: bool,
        current: str | None,
        source: Source,
    ) -> str:
        """Check a new password and hash it; the result is what `AccountStore.set_password` or ``create`` stores.

        Args:
            account_id: whose it will be; the hash is bound to it.
            password: as typed.
            about: the person's own words (name, e-mail address, birth date, sign-in name).
            with_second_factor: whether every sign-in asks for a second factor too.
            current: the account's present hash, or None where it has none.
            source: where the request came from, for what is recorded.

        Raises:
            Denied: MALFORMED where it is not text, is empty, or is over 1024 bytes; no work was done.
            PasswordRefused: with what is to be mended.
            StoreError: the history cannot be read, the log cannot record, or there was no memory to hash with.
        """
        text = password_text(password)
        problems = self.policy.check_password(text, about=about, with_second_factor=with_second_factor)
        if problems:
            raise PasswordRefused(problems)
        if self._listed(text, account_id, source):
            raise PasswordRefused([Problem("breached")])
        # As typed: a hash that came from another system may be of another form than NFC.
        self._refuse_earlier(account_id, str(password), current, source)
        return self._passwords.hash(text, account_id=account_id)

    def listed_here(self, password: str, account_id: str, source: Source) -> bool:
        """Whether a password that somebody signs in with is in a local list of leaked ones; for `SignIn`.

        Servers are not asked: each sign-in would tell them of itself, and wait for them. A list that cannot be read is
        recorded and says nothing: whoever has the right password is let in.

        Args:
            password: in NFC.
        """
        listed = False
        for breached in self._sources:
            if not breached.local:
                continue
            try:
                listed = (
                    breached.contains(password) or listed
                )  # every list is asked, whatever the one before said
            except StoreError:
                pass
            else:
                continue
            self._record(f"passwords.{breached.name}", account_id, source, went_on=True)
        return listed

    def retire(
        self, account_id: str, old_hash: str | None, at: datetime, *, compromised: bool = False
    ) -> None:
        """Put a hash that is being replaced into the history; None, and what the policy does not keep, is no work.

        Args:
            account_id: whose it was.
            old_hash: the hash that was replaced.
            at: when.
            compromised: somebody else may know it: it is kept whatever ``keep`` says and however often the password
                changes afterwards, so that it never comes back (SP 800-63B-4 section 3.1.1.2 asks for a change on
                evidence of compromise). The newest five of an account are.
        """
        keep = _COMPROMISED_KEPT if compromised else self.keep
        if old_hash and keep:
            self._history.add(account_id, old_hash, at=at, keep=keep, compromised=compromised)

    # -- parts of the above -----------------------------------------------------------------------------------------

    def _listed(self, text: str, account_id: str, source: Source) -> bool:
        for breached in self._sources:
            try:
                if breached.contains(text):
                    return True
            except StoreError:
                pass
            else:
                continue
            # Outside the handler, so that no error raised here carries the failed call in its context.
            went_on = self.unreachable == "accept"
            self._record(f"passwords.{breached.name}", account_id, source, went_on=went_on)
            if not went_on:
                raise PasswordRefused([Problem("unchecked_refused")])
        return False

    def _refuse_earlier(self, account_id: str, typed: str, current: str | None, source: Source) -> None:
        if current and self._same(account_id, typed, current, source):
            raise PasswordRefused([Problem("same")])
        for earlier in self._history.of_account(account_id)[: MAX_HISTORY + _COMPROMISED_KEPT]:
            if earlier != current and self._same(account_id, typed, earlier, source):
                raise PasswordRefused([Problem("reused")])

    def _same(self, account_id: str, typed: str, stored: str, source: Source) -> bool:
        try:
            self._passwords.verify(stored, typed, account_id=account_id)
        except Denied as refusal:
            if refusal.reason is not Reason.WRONG_PASSWORD:
                raise
            return False
        except Tampered:
            pass
        else:
            return True
        # A hash that cannot be read opens nothing for anybody; it must not keep its owner from a new password.
        self._record("passwords.history", account_id, source, went_on=True)
        return False

    def _record(self, control: str, account_id: str, source: Source, *, went_on: bool) -> None:
        self._emit(
            SecurityEvent(
                name=Event.SYSTEM_CONTROL_FAILED,
                outcome=Outcome.ERROR,
                resource=ResourceRef(type="account", id=account_id),
                source=source,
                details={"control": control, "went_on": went_on},
            )
        )
