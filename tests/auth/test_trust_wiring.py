"""That a whole portal looks at the numbers which codes are texted to before it trusts a browser: where nobody handed the sender
over, another number would end no trust."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from portalsec.auth.out_of_band import OutOfBandPolicy
from portalsec.auth.ports import Phone
from portalsec.auth.proof import Factor
from portalsec.auth.signin import SignInPolicy
from portalsec.auth.trust import TrustPolicy
from portalsec.portal import Stores
from tests.abuse.doors import stores
from tests.auth.factoring import Factoring
from tests.auth.mailing import SOURCE

__all__ = ["stores"]


class Numbers:
    """A clinic's own list of numbers."""

    def __init__(self) -> None:
        self.own: dict[str, list[Phone]] = {}

    def phones(self, account_id: str) -> list[Phone]:
        return self.own.get(account_id, [])

    def send(self, phone: Phone, text: str) -> None:
        raise AssertionError("nothing is sent for that")


Change = Callable[[Phone], list[Phone]]
CHANGES: dict[str, Change] = {
    "another number": lambda phone: [replace(phone, number="+441632960001")],
    "one more": lambda phone: [phone, replace(phone, id="second", number="+441632960001")],
    "removed": lambda phone: [],
    "verified no more": lambda phone: [replace(phone, verified_at=None)],
}


@pytest.mark.parametrize("change", list(CHANGES))
@pytest.mark.parametrize("texted", [True, False], ids=["texted", "not texted"])
def test_atk_48_other_numbers_end_a_browser_s_trust_in_a_whole_portal(
    stores: Stores, change: str, texted: bool
) -> None:
    numbers, factors = Numbers(), frozenset({Factor.SMS_CODE} if texted else ())
    with Factoring(
        stores=stores,
        trust=TrustPolicy(enabled=True),
        code_sender=numbers,
        out_of_band=OutOfBandPolicy(factors=factors),
        sign_in=SignInPolicy(
            second_factor="optional", factors=frozenset({Factor.PASSWORD, Factor.TOTP}) | factors
        ),
    ) as m:
        robin = m.person()
        phone = Phone(id="first", account_id=robin.id, number="+441632960000", verified_at=m.clock())
        numbers.own[robin.id] = [phone]
        m.add_totp(m.open())
        m.clock.advance(timedelta(minutes=1))
        first = m.portal.sign_in.start("robin", "lantern orbit velvet cactus", source=SOURCE, trust=True)
        assert first.pending is not None
        done = m.portal.sign_in.submit_totp(first.pending.reveal(), m.code(robin), source=SOURCE)
        assert done.device is not None

        def spared() -> bool:
            nonlocal done
            assert done.device is not None
            step = m.portal.sign_in.start(
                "robin", "lantern orbit velvet cactus", source=SOURCE, device=done.device.reveal()
            )
            if step.session is not None:
                done = step
            return step.session is not None

        assert spared()
        numbers.own[robin.id] = CHANGES[change](phone)
        # Numbers that nothing is texted to guard nothing.
        assert spared() is not texted
        account = m.portal.stores.accounts.get(robin.id)
        assert account is not None and bool(m.portal.trust.of_account(account)) is not texted
