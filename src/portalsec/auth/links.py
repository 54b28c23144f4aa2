"""`Links`: what a mailed link carries, and what a browser gets for one.

A token has 256 bits, is stored as its hash, and works once. It is sealed to its purpose, its account and the state
that it would change: where the password, the sign-in name or the address has become another since, it opens nothing.

A GET never uses a token. Mail scanners open links before people do, and a browser tells an address it comes from to
wherever it goes next. So the page of a link shows a button, whose POST exchanges the token for another one, which
lives in a cookie of that browser for a quarter of an hour; the address in the mail is worthless from then on.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import timedelta

from portalsec._encoding import b64url, new_token, unb64url
from portalsec.auth._input import token_text
from portalsec.auth._pending import is_password, open_data, password_digest, seal_data
from portalsec.auth.ports import Account, AccountStore, Contact, ContactStore, Flow, FlowStore, Mac, Sealer
from portalsec.clock import Clock
from portalsec.errors import ConfigurationError, StoreError, Tampered
from portalsec.secret import Secret

__all__ = ["Held", "LinkPurpose", "Links", "RecoveryPolicy"]

_USES = 1000  # tries that are counted on one link; past it the link is gone
_TAG = 16
_LOOKS = 1_000_000


class LinkPurpose:
    """What a link is for; one of another purpose is unknown."""

    RESET = "mail.reset"
    VERIFY = "mail.verify"
    UNLOCK = "mail.unlock"
    REGISTER = "mail.register"
    SIGN_IN = "mail.sign-in"


_BROWSER = {LinkPurpose.RESET: "browser.reset", LinkPurpose.REGISTER: "browser.register"}
_LOOK = ".look"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryPolicy:
    """How long links live, and what may be asked for by mail.

    Attributes:
        reset: lifetime of the link that leads to a new password.
        verify: of the one that confirms an address.
        unlock: of the one that lifts a lock; it lets nobody in, and stays good for as long as strangers can keep others
            from being mailed.
        registration: of the one that leads to a new account.
        browser: of what a browser gets for a link.
        choices: passwords that one link may try; a refused one says why and may be tried again.
        contacts: addresses that one account may have.
        open_registration: whether whoever reads mail at an address may open an account.
    """

    reset: timedelta = timedelta(minutes=30)
    verify: timedelta = timedelta(hours=24)
    unlock: timedelta = timedelta(hours=24)
    registration: timedelta = timedelta(hours=24)
    browser: timedelta = timedelta(minutes=15)
    choices: int = 100
    contacts: int = 5
    open_registration: bool = False

    def __post_init__(self) -> None:
        for name in ("reset", "verify", "unlock", "registration", "browser"):
            # SP 800-63B-4 section 4.2.1.2: what is mailed for recovery is good for 24 hours at most.
            if not timedelta(minutes=1) <= getattr(self, name) <= timedelta(hours=24):
                raise ConfigurationError(f"RecoveryPolicy: {name} goes from one minute to 24 hours")
        if not 10 <= self.choices <= 1000:
            raise ConfigurationError("RecoveryPolicy: choices goes from 10 to 1000")
        if not 1 <= self.contacts <= 20:
            raise ConfigurationError("RecoveryPolicy: contacts goes from 1 to 20")


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """What a link is bound to, as keyed digests; of an address that has no account yet, the address, sealed; of a sign-in
    the digest of the asking browser's token."""

    password: str = ""
    login: str = ""
    contact: str = ""
    address: str = ""
    sealed: str = ""
    browser: str = ""

    def encode(self) -> bytes:
        return json.dumps({"v": 1, **asdict(self)}, separators=(",", ":")).encode("ascii")

    @classmethod
    def decode(cls, data: bytes) -> _State:
        try:
            fields = json.loads(data)
            if fields.pop("v") != 1 or not all(isinstance(value, str) for value in fields.values()):
                raise ValueError("version")
            return cls(**fields)
        except (ValueError, TypeError, KeyError, AttributeError):
            pass
        raise Tampered("a mailed link's state is damaged")


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A token that is good at this moment. `Links.spend` says whether it was still there to be used.

    Attributes:
        account: whose it is, as the store has it now; None for a registration.
        address: which address it is about; None where it is about none.
        contact_id: that address's contact; "" where there is none.
        browser: what `Links.issue` was given.
    """

    flow: Flow
    account: Account | None
    address: str | None
    contact_id: str
    browser: str = ""


class Links:
    """Makes links, looks at them, and uses them once.

    Safe for concurrent use: of any number of uses of one token, the store lets one through.

    Args:
        links: mailed tokens; a durable store, since they must work once even after a failover.
        flows: browsers' tokens; may be short-lived.
        sealer: hides the address of a registration, which no other store has yet.
    """

    def __init__(
        self,
        *,
        links: FlowStore,
        flows: FlowStore,
        accounts: AccountStore,
        contacts: ContactStore,
        sealer: Sealer,
        mac: Mac,
        clock: Clock,
        policy: RecoveryPolicy,
    ) -> None:
        self._links = links
        self._flows = flows
        self._accounts = accounts
        self._contacts = contacts
        self._sealer = sealer
        self._mac = mac
        self._clock = clock
        self.policy = policy

    def issue(
        self, purpose: str, account: Account, contact: Contact, lifetime: timedelta, *, browser: str = ""
    ) -> Secret[str]:
        """A token for mail to ``contact``, bound to the account as it is now; ``browser``: to what else, for the caller."""
        state = replace(self._state_of(account, contact), browser=browser)
        return self._put(self._links, purpose, account.id, lifetime, lambda _: state)

    def issue_registration(self, address: str) -> Secret[str]:
        """A token for mail to an address that has no account."""
        return self._put(
            self._links,
            LinkPurpose.REGISTER,
            None,
            self.policy.registration,
            lambda digest: self._sealed(address, digest),
        )

    def mailed(self, token: object, purpose: str) -> Held | None:
        """What a mailed token is good for now, or None; it is not used by this."""
        return self._look(self._links, token, purpose, _USES)

    def in_browser(self, token: object, purpose: str) -> Held | None:
        """The same of a browser's token; one of the tries that it has."""
        return self._look(self._flows, token, _BROWSER[purpose], self.policy.choices)

    def looked_at(self, token: object, purpose: str) -> Held | None:
        """The same, costing none of its tries; `spend` does not take what this returns. For the meter."""
        return self._look(self._flows, token, _BROWSER[purpose] + _LOOK, _LOOKS)

    def exchange(self, token: object, purpose: str) -> Secret[str] | None:
        """Use a mailed token and get one for this browser; None where it is not good any more.

        The new one is stored before the old one is used: where a store fails in between, the link still works, and
        what was stored opens nothing, since nobody was given it.
        """
        held = self.mailed(token, purpose)
        if held is None:
            return None
        if held.account is None:
            address = held.address or ""
            browser = self._put_in_browser(purpose, None, lambda digest: self._sealed(address, digest))
        else:
            state = _State.decode(open_data(self._mac, held.flow))
            browser = self._put_in_browser(purpose, held.account.id, lambda _: state)
        return None if self.spend(held) is None else browser

    def for_browser(self, purpose: str, account: Account) -> Secret[str]:
        """A browser's token without a mailed one before it: for `portalsec.auth.disavowal`, whose link was one."""
        state = self._state_of(account, None)
        return self._put_in_browser(purpose, account.id, lambda _: state)

    def spend(self, held: Held) -> Held | None:
        """Use it; None for all callers but the one that did.

        That one gets it with the tries that were counted on it until now, those of others included. None too where
        they are more than it has: whoever was let in before the others put theirs back is held to the same number.
        """
        flow = held.flow
        browsers = flow.purpose in _BROWSER.values()
        store, limit = (self._flows, self.policy.choices) if browsers else (self._links, _USES)
        used = store.consume(flow.digest, flow.purpose, now=self._clock())
        if used is None or used.attempts > limit:
            return None
        return replace(held, flow=replace(flow, attempts=used.attempts))

    def restore(self, held: Held, *, tried: int = 0) -> None:
        """Put back what `spend` returned, where what it was used for failed; it is bound to the same state as before.

        ``tried`` counts as so many tries more. As nobody else can use it between the two, no such count is lost.
        """
        flow = held.flow
        store = self._flows if flow.purpose in _BROWSER.values() else self._links
        store.put(replace(flow, attempts=flow.attempts + tried))

    # -- parts of the above -----------------------------------------------------------------------------------------

    def _put_in_browser(
        self, purpose: str, account_id: str | None, state_for: Callable[[bytes], _State]
    ) -> Secret[str]:
        """A browser's token, and beside it what `looked_at` reads: a flow has one count, and looks are no tries."""
        purpose, lifetime = _BROWSER[purpose], self.policy.browser
        token = self._put(self._flows, purpose, account_id, lifetime, state_for)
        return self._put(self._flows, purpose + _LOOK, account_id, lifetime, state_for, token=token.reveal())

    def _put(
        self,
        store: FlowStore,
        purpose: str,
        account_id: str | None,
        lifetime: timedelta,
        state_for: Callable[[bytes], _State],
        *,
        token: str | None = None,
    ) -> Secret[str]:
        token = token or new_token()
        digest = _digest_for(token, purpose)
        data = seal_data(
            self._mac, state_for(digest).encode(), digest=digest, purpose=purpose, account_id=account_id
        )
        stored = store.put(
            Flow(
                digest=digest,
                purpose=purpose,
                account_id=account_id,
                data=data,
                expires_at=self._clock() + lifetime,
            )
        )
        if not stored:
            raise StoreError("a link could not be stored")
        return Secret(token)

    def _look(self, store: FlowStore, token: object, purpose: str, limit: int) -> Held | None:
        text = token_text(token)
        if text is None:
            return None
        flow = store.attempt(_digest_for(text, purpose), purpose, limit=limit, now=self._clock())
        if flow is None:
            return None
        state = _State.decode(open_data(self._mac, flow))
        if flow.account_id is None:
            return Held(flow=flow, account=None, address=self._opened(state, flow.digest), contact_id="")
        account = self._accounts.get(flow.account_id)
        if account is None or account.disabled:
            return None
        if not is_password(self._mac, state.password, account.password_hash):
            return None
        if not self._same("link-login", account.login, state.login):
            return None
        address = self._address(account.id, state) if state.contact else None
        if state.contact and address is None:
            return None
        return Held(
            flow=flow, account=account, address=address, contact_id=state.contact, browser=state.browser
        )

    def _address(self, account_id: str, state: _State) -> str | None:
        """The address that the link went to, where the account still has it."""
        for contact in self._contacts.of_account(account_id):
            if contact.id == state.contact and self._same("link-address", contact.address, state.address):
                return contact.address
        return None

    def _state_of(self, account: Account, contact: Contact | None) -> _State:
        return _State(
            password=password_digest(self._mac, account.password_hash),
            login=self._tag("link-login", account.login),
            contact="" if contact is None else contact.id,
            address="" if contact is None else self._tag("link-address", contact.address),
        )

    def _sealed(self, address: str, digest: bytes) -> _State:
        return _State(sealed=b64url(self._sealer.seal(address.encode("utf-8"), **_place(digest))))

    def _opened(self, state: _State, digest: bytes) -> str:
        return self._sealer.open(unb64url(state.sealed), **_place(digest)).decode("utf-8")

    def _tag(self, purpose: str, text: str) -> str:
        return self._mac(purpose, text.encode("utf-8"))[:_TAG].hex()

    def _same(self, purpose: str, text: str, digest: str) -> bool:
        hashes = self._mac.all(purpose, text.encode("utf-8"))
        return any(hmac.compare_digest(digest, each[:_TAG].hex()) for each in hashes)


def _place(digest: bytes) -> dict[str, str]:
    return {"table": "flow", "column": "data", "row": digest.hex()}


def _digest_for(token: str, purpose: str) -> bytes:
    looked_at = b"look:" if purpose.endswith(_LOOK) else b""
    return hashlib.sha256(looked_at + token.encode("ascii")).digest()
