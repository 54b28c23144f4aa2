"""Password hashing: argon2id (RFC 9106), peppered, bound to the account, bounded in parallelism and memory.

What argon2id gets is an injective encoding of a label, the account's id and the password in NFC; with a pepper, its HMAC
under the pepper's key. So a hash that is put into another account's row verifies no more, and a stolen table without
the pepper cannot be guessed at.

**Equal work.** Stored hashes of different ages cost differently: other argon2id parameters, or a hash of another system
inside (see `Passwords.wrap`). `verify` therefore does each cost that is listed in ``older``, and today's, exactly once,
whatever the account has, and also for an account that does not exist: one of each kind for real, the others for nothing.
That holds for what is listed. A stored hash with argon2id parameters that are not takes the place of today's, and one around
a cost that is not does that as well as the others, so that its age shows: ``portalsec passwords report`` names those. What
is out of all proportion is not computed at all, nor is what no pepper that is here made.
"""

from __future__ import annotations

import hmac
import os
import secrets
import threading
import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

from argon2 import exceptions, low_level

from portalsec.auth import legacy_hashes
from portalsec.auth._input import password_text
from portalsec.auth._stored_hash import (
    FORMS,
    Inner,
    Outer,
    StoredHash,
    message,
    parse,
)
from portalsec.auth.hash_costs import Argon2Parameters, Cost, OlderArgon2
from portalsec.auth.legacy_hashes import LegacyCost
from portalsec.auth.ports import Pepper
from portalsec.errors import ConfigurationError, Denied, Reason, StoreError, Tampered

__all__ = ["Argon2Parameters", "Cost", "HashInfo", "LegacyCost", "OlderArgon2", "Passwords", "Verified"]

_LABEL = b"portalsec password 1"
_WRAPPED = b"portalsec wrapped password 1"
_NOBODY = "-"
_STRANGE = (
    2.5  # seconds, about: what is not listed and takes longer was not written by a portal that was in order
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A password was right.

    Attributes:
        rehash_due: the stored hash is not as one would be made today: other parameters, no pepper or an older key of
            it, or wrapped. Hash the password anew and store it.
    """

    rehash_due: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HashInfo:
    """What may be shown of a stored hash; nothing of it can be guessed at.

    Attributes:
        scheme: "argon2id", the name of the scheme inside, or "unknown".
        parameters: of that scheme, as "m=65536,t=3,p=4"; empty where it has none.
        wrapped: a hash of another system with argon2id around it.
        bound: to its account, as every hash of portalsec's is.
        pepper: id of the pepper's key as 8 hexadecimal digits, or None.
        verifies: False for a raw hash of another system, and where the pepper's key is not enabled: nobody signs in
            with it.
        current: as one would be made today.
        listed: its costs are among those that every `Passwords.verify` does.
    """

    scheme: str
    parameters: str
    wrapped: bool
    bound: bool
    pepper: str | None
    verifies: bool
    current: bool
    listed: bool


class Passwords:
    """Hashes and verifies passwords.

    Safe for concurrent use. At most ``concurrency`` hashes run at once, whatever the number of threads: that bounds
    memory (``concurrency`` times the largest of the costs) and leaves a core for everything else.

    Args:
        parameters: of every new hash; stored hashes keep theirs until the next sign-in.
        concurrency: by default one less than the number of cores, at least one.
        pepper: keys new hashes with its primary key; hashes under its other keys verify and are due for a rehash.
            A hash under a key that it does not have verifies no more.
        older: the other costs that stored hashes have. Each makes every sign-in that much longer: take one out when
            ``portalsec passwords report`` counts none of it. Each cost of another system is done once here, so that one
            that this machine cannot do fails now.
        require_pepper: a hash without a pepper verifies no more, whatever wrote it. For a portal all of whose hashes
            have one: without it, whoever can write the table can make a hash of a password of their own.

    Raises:
        ConfigurationError: ``concurrency`` is below one; a cost of ``older`` cannot be computed here; a pepper is
            required and there is none.
        MissingExtra: a cost of ``older`` needs a package that is not installed.
    """

    def __init__(
        self,
        *,
        parameters: Argon2Parameters = Argon2Parameters.OWASP_2025,
        concurrency: int | None = None,
        pepper: Pepper | None = None,
        older: Sequence[Cost] = (),
        require_pepper: bool = False,
    ) -> None:
        if concurrency is None:
            concurrency = max(1, (os.cpu_count() or 1) - 1)
        if concurrency < 1:
            raise ConfigurationError("Passwords: concurrency must be at least 1")
        if isinstance(parameters, OlderArgon2):
            raise ConfigurationError(
                "Passwords: OlderArgon2 is for older, not for the parameters of new hashes"
            )
        if require_pepper and pepper is None:
            raise ConfigurationError(
                "Passwords: require_pepper needs a pepper: make one with  portalsec keys new pepper  and name it in "
                "[keys] pepper, or leave require_pepper = false in [passwords]"
            )
        self.parameters = parameters
        self.concurrency = concurrency
        self.older = tuple(older)
        self._pepper = pepper
        self._require_pepper = require_pepper
        self._running = threading.BoundedSemaphore(concurrency)
        outers = [_outer(each) for each in (parameters, *older) if isinstance(each, Argon2Parameters)]
        self._outers = tuple(dict.fromkeys(outers))  # each once, today's first
        self._inners = tuple(dict.fromkeys(each for each in older if isinstance(each, LegacyCost)))
        for cost in self._inners:
            _try_out(cost)
        listed: list[Outer | LegacyCost] = [*self._outers, *self._inners]
        self._limit = max(_STRANGE, 4 * max(map(_seconds, listed)))
        self._dummy_salt = secrets.token_bytes(parameters.salt_len)

    def hash(self, password: object, *, account_id: str) -> str:
        """Hash a new password.

        Args:
            password: as typed.
            account_id: whose it is; the hash verifies for no other.

        Returns:
            What to store: at most 128 characters with every preset.

        Raises:
            Denied: MALFORMED (see `verify`).
            StoreError: there was no memory to hash with.
        """
        return self._made(message(_LABEL, account_id, password_text(password).encode("utf-8"))).text()

    def verify(self, stored: str | None, password: object, *, account_id: str | None) -> Verified:
        """Check a password against a stored hash, or against none at the same cost.

        Args:
            stored: as `hash` or `wrap` returned it; None where the account is unknown or has no password.
            password: as typed.
            account_id: whose hash it is; None where the account is unknown.

        Raises:
            Denied: MALFORMED (not text, empty, over 1024 bytes; nothing was hashed), UNKNOWN_ACCOUNT (``stored`` is
                None), WRONG_PASSWORD.
            Tampered: ``stored`` is not a hash that portalsec wrote, is under a pepper key that is not enabled, has no
                pepper where one is required, or asks for far more work than any listed cost. Nothing was hashed: do the work with a ``stored`` of None.
            StoreError: there was no memory to hash with.
        """
        nfc = password_text(password)
        held = None if stored is None else parse(stored)
        if held is not None:
            self._require_readable(held)
        raw = str(password)
        with self._running:
            right = self._worked(held, raw, nfc, _NOBODY if account_id is None else account_id)
        if held is None:
            raise Denied(Reason.UNKNOWN_ACCOUNT)
        if not right or account_id is None:
            raise Denied(Reason.WRONG_PASSWORD)
        return Verified(rehash_due=not self._is_current(held))

    def wrap(
        self,
        stored_legacy: str,
        *,
        account_id: str,
        form: Literal["raw", "nfc", "nfkc"] = "raw",
        scheme: str | None = None,
    ) -> str:
        """Put argon2id around a hash of another system, whose digest is not kept.

        So it is as hard to guess at as any other, and a sign-in costs what any other does. The password itself
        is not needed; at its first right use the account gets a hash of its own.

        Args:
            stored_legacy: as the other system stored it; see `portalsec.auth.legacy_hashes`.
            account_id: whose it is here.
            form: what the other system did to the password before hashing: "raw" where it took it as typed.
            scheme: what it is where it does not say so itself: "md5", "sha1" or "nthash"; "werkzeug" for its
                ``md5$salt$`` and ``sha1$salt$``, which would be taken for Django's.

        Raises:
            Tampered: no hash of a known system.
            ConfigurationError: its cost is not listed in ``older``, so that its age would show at every sign-in; or it
                is a hash of portalsec's.
            StoreError: there was no memory to hash with.
        """
        if form not in FORMS:
            raise ConfigurationError('wrap: form is "raw", "nfc" or "nfkc"')
        if stored_legacy.startswith("$ps1$"):
            raise ConfigurationError("wrap: this is a hash of portalsec's already")
        legacy = legacy_hashes.read(stored_legacy, scheme=scheme)
        if legacy.cost not in self._inners:
            raise ConfigurationError(
                f'wrap: add "{legacy.cost}" to [passwords] older, so that every sign-in costs the same'
            )
        inner = Inner(legacy.cost, legacy.salt)
        return replace(
            self._made(_inner_message(account_id, inner, legacy.digest)), form=form, inner=inner
        ).text()

    def describe(self, stored: str, *, scheme: str | None = None) -> HashInfo:
        """What may be shown of a stored hash; never raises for what it holds.

        Args:
            scheme: as for `wrap`.
        """
        try:
            held = parse(stored)
        except Tampered:
            return _foreign(stored, scheme)
        inner = held.inner
        outer = f"m={held.outer.memory_kib},t={held.outer.time_cost},p={held.outer.lanes}"
        return HashInfo(
            scheme="argon2id" if inner is None else inner.cost.scheme,
            parameters=outer if inner is None else str(inner.cost).partition(":")[2],
            wrapped=inner is not None,
            bound=True,
            pepper=None if held.pepper is None else f"{held.pepper:08x}",
            verifies=self._unreadable(held) is None,
            current=self._is_current(held),
            listed=held.outer in self._outers and (inner is None or inner.cost in self._inners),
        )

    # -- parts of the above -----------------------------------------------------------------------------------------

    def _worked(self, held: StoredHash | None, raw: str, nfc: str, account_id: str) -> bool:
        """Every listed cost once. Whether the password is the one of ``held``; False for None."""
        digest: bytes | None = None
        own_inner = None if held is None else held.inner
        inners = self._inners
        if own_inner is not None and own_inner.cost not in inners:
            inners = (
                *inners,
                own_inner.cost,
            )  # taken out of the list too early: it verifies, and its age shows
        for cost in inners:
            if held is not None and own_inner is not None and cost == own_inner.cost:
                typed = {"raw": raw, "nfc": nfc}.get(held.form) or unicodedata.normalize("NFKC", raw)
                digest = legacy_hashes.compute(cost, typed, own_inner.salt)
            else:
                legacy_hashes.compute(cost, nfc, None)
        right = False
        # Parameters that are not listed take the place of today's: one hash, as ever.
        own = None if held is None else held.outer if held.outer in self._outers else self._outers[0]
        for outer in self._outers:
            if held is not None and outer == own:
                tag = _argon2id(
                    self._text(held, digest, nfc, account_id), held.salt, held.outer, len(held.tag)
                )
                right = hmac.compare_digest(tag, held.tag) and (own_inner is None or digest is not None)
            else:
                text = self._keyed(message(_LABEL, account_id, nfc.encode("utf-8")), None)
                _argon2id(text, self._dummy_salt, outer, self.parameters.hash_len)
        return right

    def _text(self, held: StoredHash, digest: bytes | None, nfc: str, account_id: str) -> bytes:
        """What argon2id got when this hash was made, if the password is the same."""
        if held.inner is not None:
            return self._keyed(_inner_message(account_id, held.inner, digest or b""), held)
        return self._keyed(message(_LABEL, account_id, nfc.encode("utf-8")), held)

    def _made(self, text: bytes) -> StoredHash:
        mine = self.parameters
        salt, outer = secrets.token_bytes(mine.salt_len), _outer(mine)
        key = None if self._pepper is None else self._pepper.primary_id
        held = StoredHash(outer=outer, salt=salt, tag=b"", pepper=key)
        keyed = self._keyed(text, held)
        with self._running:
            return replace(held, tag=_argon2id(keyed, salt, outer, mine.hash_len))

    def _keyed(self, text: bytes, held: StoredHash | None) -> bytes:
        """Under the pepper's key of a stored hash; for a dummy (None) under the one that new hashes have."""
        if self._pepper is None or (held is not None and held.pepper is None):
            return text
        key = self._pepper.primary_id if held is None or held.pepper is None else held.pepper
        tag = self._pepper.tag(key, text)
        if tag is None:
            raise StoreError("the pepper's keys changed while a password was hashed: try again")
        return tag

    def _has_key(self, held: StoredHash) -> bool:
        if held.pepper is None:
            return True
        return self._pepper is not None and self._pepper.tag(held.pepper, b"") is not None

    def _unreadable(self, held: StoredHash) -> str | None:
        """Why a stored hash verifies for nobody here, as a sentence."""
        if not self._has_key(held):
            return "a stored password hash is under a pepper key that is not enabled"
        if self._require_pepper and held.pepper is None:
            return "a stored password hash has no pepper, and [passwords] require_pepper is set"
        costs: list[Outer | LegacyCost] = [held.outer]
        if held.inner is not None:
            costs.append(held.inner.cost)
        if any(_seconds(each) > self._limit for each in costs):
            return "a stored password hash asks for far more work than any cost that is listed"
        return None

    def _require_readable(self, held: StoredHash) -> None:
        problem = self._unreadable(held)
        if problem is not None:
            raise Tampered(problem)

    def _is_current(self, held: StoredHash) -> bool:
        mine = self.parameters
        key = None if self._pepper is None else self._pepper.primary_id
        made = (held.outer, len(held.tag), len(held.salt), held.pepper, held.inner)
        return made == (_outer(mine), mine.hash_len, mine.salt_len, key, None)


def _inner_message(account_id: str, inner: Inner, digest: bytes) -> bytes:
    return message(_WRAPPED, account_id, str(inner.cost).encode("ascii"), inner.salt, digest)


def _foreign(stored: str, scheme: str | None) -> HashInfo:
    try:
        cost = str(legacy_hashes.read(stored, scheme=scheme).cost)
    except Tampered:
        cost = "unknown"
    name, _, parameters = cost.partition(":")
    return HashInfo(
        scheme=name,
        parameters=parameters,
        wrapped=False,
        bound=False,
        pepper=None,
        verifies=False,
        current=False,
        listed=False,
    )


def _outer(parameters: Argon2Parameters) -> Outer:
    return Outer(parameters.memory_kib, parameters.time_cost, parameters.parallelism)


def _seconds(cost: Outer | LegacyCost) -> float:
    """About, for what is out of all proportion."""
    return 1e-6 * cost.memory_kib * cost.time_cost if isinstance(cost, Outer) else legacy_hashes.seconds(cost)


def _try_out(cost: LegacyCost) -> None:
    cost.require()
    with suppress(StoreError):
        legacy_hashes.compute(cost, "a password of some bytes", None)
        return
    raise ConfigurationError(f'Passwords: "{cost}" of [passwords] older cannot be computed on this machine')


def _argon2id(text: bytes, salt: bytes, cost: Outer, size: int) -> bytes:
    with suppress(exceptions.HashingError):  # its frames hold the password: it is no error's cause
        return low_level.hash_secret_raw(
            text,
            salt,
            time_cost=cost.time_cost,
            memory_cost=cost.memory_kib,
            parallelism=cost.lanes,
            hash_len=size,
            type=low_level.Type.ID,
        )
    raise StoreError("argon2id could not get its memory")
