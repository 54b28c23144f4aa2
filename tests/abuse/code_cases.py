"""Abuse cases of authenticators and recovery codes at the services' own level, by their ids, over any store.

What the door adds (first factor first, budgets, pending sign-ins that die) is in ``tests/abuse/test_auth.py``.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any, ClassVar, Protocol

import pytest

from portalsec.auth.evidence import Evidence, Factor
from portalsec.auth.recovery_codes import RecoveryCodes, RecoveryCodeSet
from portalsec.auth.totp import CodeRefused, Totp, TotpPolicy
from portalsec.crypto.keyset import Keyset
from portalsec.crypto.prf import KeysetPepper
from portalsec.errors import Denied, Reason
from portalsec.testing import CapturedEvents, FrozenClock, SequentialIds, current_totp
from tests.abuse.test_auth import spellings
from tests.auth.world import Backing, together
from tests.stores.support import TestingSealer

__all__ = ["CodeCases"]

MANY = 50
STEP = timedelta(seconds=30)
MALFORMED: tuple[Any, ...] = (
    None, 123456, 1.5, True, b"123456", ["123456"], {"code": "123456"}, "", " ", "\0", "12345", "x" * 10_240,
    "1" * 10_240, "12345²", "½23456", "\ud800123456", "ABCD-EFGH", "U" * 24, "é" * 24, "０" * 25,
)  # fmt: skip


class _Over(Protocol):
    backing: Any

    def worker(self) -> Backing: ...


class Services:
    """The two services as workers over one database have them."""

    _MAC: ClassVar = Keyset.generate("HMAC_SHA256_PRF")

    def __init__(self, over: _Over, **policy: int) -> None:
        self.clock = FrozenClock()
        self.events = CapturedEvents()
        self._over, self._sealer, self._ids = over, TestingSealer(), SequentialIds()
        self._policy = TotpPolicy(**policy)
        self.restart(over.backing)

    def restart(self, backing: Backing | None = None) -> None:
        """As another process has them: what is not in the store is forgotten."""
        backing = backing or self._over.worker()
        self.totp = Totp(
            store=backing.totp,
            sealer=self._sealer,
            issuer="Hill Clinic",
            clock=self.clock,
            new_id=self._ids,
            policy=self._policy,
        )
        self.recovery = RecoveryCodes(
            store=backing.recovery_codes, mac=KeysetPepper(self._MAC), clock=self.clock, emit=self.events
        )

    def enrol(self, account: str = "robin", label: str = "phone") -> tuple[str, str]:
        """Id and URI of a confirmed authenticator; its first code is old by the time this returns."""
        enrolment = self.totp.begin(account, account, label)
        self.totp.confirm(account, enrolment.device_id, current_totp(enrolment, self.clock()))
        self.clock.advance(timedelta(minutes=5))
        return enrolment.device_id, enrolment.uri.reveal()

    def code(self, uri: str, steps: int = 0) -> str:
        return current_totp(uri, self.clock(), steps=steps)

    def wrong(self, *uris: str) -> str:
        """A code that is right for none of these, whatever is remembered of their clocks."""
        right = {self.code(uri, steps) for uri in uris for steps in range(-12, 13)}
        return next(code for number in range(1000) if (code := f"{number:06}") not in right)


def reason(call: Callable[[], Any]) -> Reason:
    with pytest.raises(Denied) as refusal:
        call()
    return refusal.value.reason


def won(results: list[Any]) -> list[Evidence]:
    assert all(isinstance(each, Evidence | Denied) for each in results), results
    return [each for each in results if isinstance(each, Evidence)]


def texts(made: RecoveryCodeSet) -> list[str]:
    return [code.reveal() for code in made.codes]


class CodeCases:
    """``over`` brings the stores."""

    # -- once -----------------------------------------------------------------------------------------------------

    def test_mfa_01_mfa_02_atk_06_a_code_is_good_once(self, over: _Over) -> None:
        services = Services(over)
        _, uri = services.enrol()
        code = services.code(uri)
        services.totp.verify("robin", code)
        began = services.clock()
        for seconds in (0, 1, 31, 58):  # at +31 s and +58 s nothing but its use refuses it
            services.clock.set(began + timedelta(seconds=seconds))
            assert reason(lambda: services.totp.verify("robin", code)) is Reason.CODE_REPLAYED
        services.restart()
        assert reason(lambda: services.totp.verify("robin", code)) is Reason.CODE_REPLAYED

    def test_mfa_03_atk_45_every_spelling_of_a_used_code_is_used(self, over: _Over) -> None:
        services = Services(over)
        _, uri = services.enrol()
        while not services.code(uri).startswith("0"):
            services.clock.advance(STEP)
        code = services.code(uri)
        services.totp.verify("robin", spellings(code)[0])
        for spelling in spellings(code):
            assert reason(lambda s=spelling: services.totp.verify("robin", s)) is Reason.CODE_REPLAYED
        assert reason(lambda: services.totp.verify("robin", code.lstrip("0"))) is Reason.MALFORMED

    def test_mfa_04_an_older_code_after_a_newer_one(self, over: _Over) -> None:
        services = Services(over)
        _, uri = services.enrol()
        older, newer = services.code(uri), services.code(uri, 1)
        services.totp.verify("robin", newer)
        assert reason(lambda: services.totp.verify("robin", older)) is Reason.CODE_REPLAYED

    def test_mfa_07_the_enrolments_code_is_used_up(self, over: _Over) -> None:
        services = Services(over)
        enrolment = services.totp.begin("robin", "robin")
        code = current_totp(enrolment, services.clock())
        services.totp.confirm("robin", enrolment.device_id, code)
        assert reason(lambda: services.totp.verify("robin", code)) is Reason.CODE_REPLAYED
        early = current_totp(enrolment, services.clock(), steps=-1)
        assert reason(lambda: services.totp.verify("robin", early)) is Reason.CODE_REPLAYED

    def test_mfa_05_atk_07_many_at_once_and_one_wins(self, over: _Over) -> None:
        services = Services(over)
        device, uri = services.enrol()
        for _ in range(3):
            services.clock.advance(STEP)
            code = services.code(uri)
            (proven,) = won(together(MANY, lambda _, c=code: services.totp.verify("robin", c)))
            assert (proven.account_id, proven.proof.authenticator) == ("robin", device)

    # -- what was sent --------------------------------------------------------------------------------------------

    def test_mfa_11_what_is_no_code_is_refused_and_counts_nothing(self, over: _Over) -> None:
        services = Services(over)
        device, uri = services.enrol()
        services.recovery.make("robin")
        before = over.backing.totp.devices("robin")
        for sent in MALFORMED:
            for call in (
                lambda s=sent: services.totp.verify("robin", s),
                lambda s=sent: services.totp.confirm("robin", device, s),
                lambda s=sent: services.recovery.verify("robin", s),
            ):
                assert reason(call) is Reason.MALFORMED
        assert over.backing.totp.devices("robin") == before
        assert services.recovery.left("robin") == 10
        services.totp.verify("robin", services.code(uri))

    def test_mfa_15_a_seed_has_160_bits(self, over: _Over) -> None:
        services = Services(over)
        seeds = [services.totp.begin("robin", "robin").secret.reveal() for _ in range(20)]
        assert {len(base64.b32decode(seed)) * 8 for seed in seeds} == {160}
        assert len(set(seeds)) == len(seeds)

    def test_mfa_17_another_persons_authenticator_is_like_none(self, over: _Over) -> None:
        services = Services(over)
        mine, _ = services.enrol("robin", "robin's phone")
        theirs, uri = services.enrol("kim", "kim's phone")
        for unknown in (theirs, "no-such-device", None, 7, [mine], ""):
            for call in (
                lambda d=unknown: services.totp.rename("robin", d, "mine now"),
                lambda d=unknown: services.totp.remove("robin", d),
                lambda d=unknown: services.totp.restore("robin", d),
            ):
                assert reason(call) is Reason.FACTOR_NOT_ENROLLED
        services.totp.remove("kim", theirs)
        assert reason(lambda: services.totp.restore("robin", theirs)) is Reason.FACTOR_NOT_ENROLLED
        services.totp.restore("kim", theirs)
        (shown,) = services.totp.devices("kim")
        assert (shown.id, shown.label) == (theirs, "kim's phone")
        assert services.totp.verify("kim", services.code(uri)).account_id == "kim"

    # -- a hundred guesses ----------------------------------------------------------------------------------------

    def test_atk_04_a_hundred_wrong_codes_in_a_month_and_it_is_dead(self, over: _Over) -> None:
        services = Services(over)
        device, uri = services.enrol()
        told: list[str] = []
        for number in range(1, 101):
            services.clock.advance(timedelta(days=30) / 101)
            if number % 7 == 0:
                services.restart()
            with pytest.raises(CodeRefused) as refusal:
                services.totp.verify("robin", services.wrong(uri))
            assert refusal.value.reason is Reason.WRONG_CODE
            assert (number == 100) == bool(refusal.value.disabled)
            told += refusal.value.disabled
        assert told == [device]
        for _ in range(3):
            services.clock.advance(timedelta(days=30))
            services.restart()
            assert reason(lambda: services.totp.verify("robin", services.code(uri))) is Reason.FACTOR_DISABLED
        # It still is a factor: otherwise its guesser would be asked to set up one of their own.
        assert services.totp.enrolled("robin")
        assert not services.totp.usable("robin")
        (shown,) = services.totp.devices("robin")
        assert shown.dead
        services.totp.remove("robin", device)
        services.totp.restore("robin", device)
        assert reason(lambda: services.totp.verify("robin", services.code(uri))) is Reason.FACTOR_DISABLED
        services.totp.remove("robin", device)
        _, bound = services.enrol()
        services.totp.verify("robin", services.code(bound))

    def test_atk_04_no_more_than_the_cap_at_once_and_one_is_told(self, over: _Over) -> None:
        services = Services(over, cap=5)
        device, uri = services.enrol()
        wrong = services.wrong(uri)
        results = together(MANY, lambda _: services.totp.verify("robin", wrong))
        reasons = Counter(each.reason for each in results)
        assert reasons == {Reason.WRONG_CODE: 5, Reason.FACTOR_DISABLED: MANY - 5}
        assert [gone for each in results for gone in getattr(each, "disabled", ())] == [device]

    def test_atk_05_only_its_own_right_code_starts_the_count_anew(self, over: _Over) -> None:
        services = Services(over, cap=8)  # a code that is tested against both of them counts twice
        first, one = services.enrol("robin", "phone")
        second, two = services.enrol("robin", "tablet")
        _, kims = services.enrol("kim")
        codes = texts(services.recovery.make("robin"))
        wrong = services.wrong(one, two, kims)

        def count() -> dict[str, int]:
            return {each.id: each.failures for each in over.backing.totp.devices("robin")}

        for _ in range(2):
            assert reason(lambda: services.totp.verify("robin", wrong)) is Reason.WRONG_CODE
        assert count() == {first: 4, second: 4}
        services.totp.verify("kim", services.code(kims))  # another account
        services.recovery.verify("robin", codes[0])  # another factor
        enrolment = services.totp.begin("robin", "robin")  # a new one, begun and thrown away
        services.totp.undo("robin", enrolment.device_id)
        services.totp.rename("robin", first, "renamed")
        services.totp.remove("robin", second)
        services.totp.restore("robin", second)
        services.restart()
        assert count() == {first: 4, second: 4}
        services.totp.verify("robin", services.code(one))  # its own; the other's count stays as it was
        assert count() == {first: 0, second: 4}
        assert reason(lambda: services.totp.verify("robin", services.code(one))) is Reason.CODE_REPLAYED
        assert count() == {first: 2, second: 4}
        for _ in range(2):
            assert reason(lambda: services.totp.verify("robin", wrong)) is Reason.WRONG_CODE
        assert reason(lambda: services.totp.verify("robin", services.code(two))) is Reason.WRONG_CODE
        assert count() == {first: 7, second: 8}

    def test_atk_09_a_guesser_has_a_hundred_tries_whatever_else_happens(self, over: _Over) -> None:
        # What the simulation in tests/auth/test_totp_guessing.py counts on: tries, and three right codes at a time.
        services = Services(over)
        _, uri = services.enrol()
        tested = 0
        for _ in range(130):
            services.clock.advance(timedelta(hours=3))
            tested += reason(lambda: services.totp.verify("robin", services.wrong(uri))) is Reason.WRONG_CODE
        assert tested == 100

    # -- recovery codes -------------------------------------------------------------------------------------------

    def test_mfa_06_atk_32_fifty_at_once_spend_a_code_once(self, over: _Over) -> None:
        services = Services(over)
        first, second, third, *_ = texts(services.recovery.make("robin"))
        (proven,) = won(together(MANY, lambda _: services.recovery.verify("robin", first)))
        assert (proven.factor, proven.account_id) == (Factor.RECOVERY_CODE, "robin")
        assert services.recovery.left("robin") == 9
        both = together(2, lambda number: services.recovery.verify("robin", (second, third)[number]))
        assert len(won(both)) == 2
        assert services.recovery.left("robin") == 7
        services.restart()
        for used in (first, second, third):
            for spelling in (used, used.lower(), used.replace("-", " "), f" {used.replace('-', '')} "):
                assert reason(lambda s=spelling: services.recovery.verify("robin", s)) is Reason.WRONG_CODE
        assert services.events.names.count("auth.recovery_code_used") == 3

    def test_atk_32_a_code_has_112_bits_and_more_and_opens_its_own_account_alone(self, over: _Over) -> None:
        services = Services(over)
        made = texts(services.recovery.make("robin")) + texts(services.recovery.make("kim"))
        assert len(set(made)) == 20
        assert {len(code.replace("-", "")) * 5 for code in made} == {120}
        assert reason(lambda: services.recovery.verify("kim", made[0])) is Reason.WRONG_CODE
        guesses = texts(services.recovery.make("mallory"))
        assert {reason(lambda g=each: services.recovery.verify("robin", g)) for each in guesses} == {
            Reason.WRONG_CODE
        }
        assert services.recovery.left("robin") == 10
