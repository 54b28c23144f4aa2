"""A trusted browser: what it takes, what ends it, and that it is never a factor."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import pytest

from portalsec.auth import trust as trust_module
from portalsec.auth.notices import NoticeKind
from portalsec.auth.ports import Account, Contact, KnownDevice, Passkey, Phone
from portalsec.auth.trust import Trust, TrustPolicy
from portalsec.errors import AuditUnavailable, ConfigurationError, Denied, Reason
from portalsec.events import Event
from portalsec.stores.memory import MemoryPasskeys
from tests.auth.world import SOURCE, World


class Numbers:
    """A clinic's own list of numbers."""

    def __init__(self) -> None:
        self.own: list[Phone] = []

    def phones(self, account_id: str) -> list[Phone]:
        return self.own

    def send(self, phone: Phone, text: str) -> None:
        raise AssertionError("nothing is sent for that")


class Trusting(World):
    """A world with trusted browsers."""

    policy = TrustPolicy(enabled=True)

    def __post_init__(self) -> None:
        self.texts = Numbers()
        self.passkey_store = MemoryPasskeys()
        super().__post_init__()

    def wire(self) -> None:
        super().wire()
        self.trust = Trust(
            devices=self.device_store,
            totp=self.totp,
            passkeys=self.passkey_store,
            notices=self.notices,
            mac=self.mac,
            policy=self.policy,
            emit=self.emit or self.events,
            clock=self.clock,
            codes=self.recovery_codes,
            contacts=self.contact_store,
            sender=self.texts,
        )

    def holds(self, account: Account, device: KnownDevice) -> bool:
        """As the door would ask: with what the stores have now."""
        now = self.account_store.get(account.id)
        known = next((each for each in self.device_store.of_account(device.account_id)), None)
        return self.trust.holds(now, known, self.clock())


@pytest.fixture
def world() -> Trusting:
    return Trusting(second_factor="optional")


def passkey(account: Account, world: World, id: str = "pk") -> Passkey:
    return Passkey(
        id=id,
        account_id=account.id,
        credential_id=id.encode(),
        user_handle=b"handle",
        public_key=b"key",
        algorithm=-7,
        sign_count=0,
        label="Phone",
        aaguid="00000000-0000-0000-0000-000000000000",
        transports=(),
        backup_eligible=False,
        backed_up=False,
        user_verified=True,
        attested=False,
        discoverable=None,
        created_at=world.clock(),
    )


def trusted(world: Trusting, login: str = "robin") -> tuple[Account, KnownDevice, str]:
    account = world.person(login)
    remembered = world.devices.remember(account.id, None, source=SOURCE)
    account = world.account_store.get(account.id)
    assert world.trust.trust(account, remembered.device, source=SOURCE)
    return account, remembered.device, remembered.cookie.reveal()


def test_a_browser_is_trusted_for_its_time_and_no_longer(world: Trusting) -> None:
    robin, device, _ = trusted(world)
    assert world.holds(robin, device)
    assert [each.id for each in world.trust.of_account(robin)] == [device.id]
    world.clock.advance(timedelta(days=30) - timedelta(seconds=1))
    assert world.holds(robin, device)
    world.clock.advance(timedelta(seconds=1))
    assert not world.holds(robin, device)
    assert world.trust.of_account(robin) == ()


def test_the_owner_is_told_and_it_is_recorded(world: Trusting) -> None:
    robin, device, _ = trusted(world)
    (event,) = world.events.named(Event.AUTH_DEVICE_TRUSTED)
    assert (event.actor.id, event.details["device"]) == (robin.id, device.id)
    assert NoticeKind.DEVICE_TRUSTED in [each.kind for each in world.notices.of_account(robin.id)]


def test_it_is_off_by_default_and_switching_it_off_ends_what_there_is(world: Trusting) -> None:
    robin, device, _ = trusted(world)
    world.trust.policy = TrustPolicy()
    assert not world.holds(robin, device)
    assert not world.trust.trust(robin, device, source=SOURCE)


def test_a_shorter_policy_ends_what_was_trusted_for_longer_and_for_good(world: Trusting) -> None:
    robin, device, _ = trusted(world)
    world.trust.policy = TrustPolicy(enabled=True, lifetime=timedelta(days=1))
    assert not world.holds(robin, device)
    world.clock.advance(timedelta(days=29, hours=12))
    assert not world.holds(robin, device)


def test_mfa_it_is_over_where_recovery_codes_or_where_codes_are_sent_are_others(world: Trusting) -> None:
    robin = world.person()
    world.recovery_codes.make(robin.id)
    device = world.devices.remember(robin.id, None, source=SOURCE).device
    robin = world.account_store.get(robin.id)
    assert world.trust.trust(robin, device, source=SOURCE)
    assert world.holds(robin, device)
    contact = Contact(
        id="new", account_id=robin.id, address="new@mail.example", verified_at=None, created_at=world.clock()
    )
    world.contact_store.add(contact)
    assert world.holds(robin, device), "an address that nobody confirmed gets no codes"
    world.contact_store.verify(robin.id, "new", at=world.clock())
    assert not world.holds(robin, device)
    world.contact_store.remove(robin.id, "new")
    assert world.holds(robin, device)
    world.clock.advance(timedelta(seconds=1))
    world.recovery_codes.make(robin.id)
    assert not world.holds(robin, device)


def test_atk_48_it_is_over_where_an_authenticator_was_guessed_to_death(world: Trusting) -> None:
    # Or the trusted browser, which is where a thief of it guesses, would go on without what it spared.
    robin, device, _ = trusted(world)
    (own,) = world.totp_store.devices(robin.id)
    cap = world.totp.policy.cap
    assert world.totp_store.try_(robin.id, own.id, cap=cap, weight=cap - 1)
    assert world.holds(robin, device), "wrong codes alone end nothing"
    assert world.totp_store.try_(robin.id, own.id, cap=cap)
    assert not world.holds(robin, device)
    assert world.trust.of_account(robin) == ()
    assert not world.trust.trust(robin, device, source=SOURCE), "there is nothing left that it could spare"


def test_a_set_up_with_a_dead_authenticator_is_not_the_one_before_it_was_added(world: Trusting) -> None:
    robin, device, _ = trusted(world)
    (own,) = world.totp_store.devices(robin.id)
    world.totp_store.add(replace(own, id="second", confirmed=True))
    assert not world.holds(robin, device)
    assert world.totp_store.try_(robin.id, "second", cap=100, weight=100)
    assert not world.holds(robin, device)
    world.passkey_store.add(passkey(robin, world), at_most=5)
    assert world.trust.trust(world.account_store.get(robin.id), device, source=SOURCE)
    assert world.holds(robin, device)
    world.passkey_store.add(passkey(robin, world, "other"), at_most=5)
    assert not world.holds(robin, device)
    world.passkey_store.suspect(robin.id, "other", at=world.clock(), disable=True)
    assert not world.holds(robin, device)


def test_it_is_over_where_the_numbers_that_codes_are_texted_to_are_others(world: Trusting) -> None:
    own = Phone(id="own", account_id="", number="+1 555 0100", verified_at=None)
    robin, device, _ = trusted(world)
    world.texts.own = [replace(own, account_id=robin.id), replace(own, verified_at=world.clock())]
    assert world.holds(robin, device), "a number that nobody confirmed, or somebody else's, gets no codes"
    first = replace(own, account_id=robin.id, verified_at=world.clock())
    world.texts.own = [first]
    assert not world.holds(robin, device)
    assert world.trust.trust(world.account_store.get(robin.id), device, source=SOURCE)
    assert world.holds(robin, device)
    world.texts.own = [replace(first, number="+1 555 0101")]
    assert not world.holds(robin, device)


def test_a_clock_that_was_set_back_trusts_nobody_for_longer(world: Trusting) -> None:
    robin, device, _ = trusted(world)
    world.clock.advance(-timedelta(seconds=1))
    assert not world.holds(robin, device)


@pytest.mark.parametrize("change", ["password", "added", "removed", "passkey", "passkey switched off"])
def test_it_is_over_where_what_guards_the_account_is_another(world: Trusting, change: str) -> None:
    if change == "passkey switched off":
        robin = world.person("robin")
        world.passkey_store.add(passkey(robin, world), at_most=5)
        device = world.devices.remember(robin.id, None, source=SOURCE).device
        assert world.trust.trust(world.account_store.get(robin.id), device, source=SOURCE)
    else:
        robin, device, _ = trusted(world)
    assert world.holds(robin, device)
    (own,) = world.totp_store.devices(robin.id)
    if change == "password":
        world.account_store.set_password(robin.id, "$other", expected=robin.password_hash)
    elif change == "added":
        world.totp_store.add(replace(own, id="second", confirmed=False))
        assert world.holds(robin, device), "one that nobody confirmed is no factor and ends nothing"
        world.totp_store.confirm(robin.id, "second", 1)
    elif change == "removed":
        world.passkey_store.add(passkey(robin, world), at_most=5)
        assert not world.holds(robin, device)
        world.passkey_store.remove(robin.id, "pk")
        assert world.holds(robin, device), "what was trusted is the set-up, and it is that one again"
        world.totp_store.remove(robin.id, own.id, at=world.clock())
    elif change == "passkey":
        world.passkey_store.add(passkey(robin, world), at_most=5)
    else:
        world.passkey_store.suspect(robin.id, "pk", at=world.clock(), disable=True)
    assert not world.holds(robin, device)


def test_an_account_with_only_a_password_trusts_nothing(world: Trusting) -> None:
    robin = world.person("robin", enrolled=False)
    device = world.devices.remember(robin.id, None, source=SOURCE).device
    assert not world.trust.trust(robin, device, source=SOURCE)
    assert not world.events.named(Event.AUTH_DEVICE_TRUSTED)


def test_another_account_s_browser_is_not_trusted_and_neither_is_its_mark(world: Trusting) -> None:
    robin, device, _ = trusted(world)
    sam = world.person("sam")
    stored = world.device_store.of_account(robin.id)[0]
    assert not world.trust.holds(sam, stored, world.clock())
    assert not world.trust.holds(sam, replace(stored, account_id=sam.id), world.clock()), "a row moved over"
    assert not world.trust.trust(sam, device, source=SOURCE)
    with pytest.raises(Denied) as other:
        world.trust.revoke(sam.id, device.id, source=SOURCE)
    with pytest.raises(Denied) as unknown:
        world.trust.revoke(sam.id, "no-such-device", source=SOURCE)
    assert other.value.reason is unknown.value.reason is Reason.TOKEN_INVALID
    assert world.holds(robin, device)


def test_whoever_writes_to_the_store_alone_trusts_nothing(world: Trusting) -> None:
    robin = world.person("robin")
    device = world.devices.remember(robin.id, None, source=SOURCE).device
    until = world.clock() + timedelta(days=1)
    world.device_store.trust(robin.id, device.id, until=until, setup=b"\0" * 32)
    assert not world.holds(robin, device)
    world.trust.trust(robin, device, source=SOURCE)
    (stored,) = world.device_store.of_account(robin.id)
    assert world.trust.holds(robin, stored, world.clock())
    world.clock.advance(timedelta(days=5))
    longer = replace(stored, trusted_until=stored.trusted_until + timedelta(days=1))
    assert not world.trust.holds(robin, longer, world.clock())
    assert not world.trust.holds(robin, replace(stored, id="another"), world.clock())


def test_one_and_all_are_taken_back_and_stay_known(world: Trusting) -> None:
    robin, device, cookie = trusted(world)
    world.trust.revoke(robin.id, device.id, source=SOURCE)
    assert not world.holds(robin, device)
    assert world.devices.find(cookie, robin.id, source=SOURCE) is not None
    world.trust.trust(robin, device, source=SOURCE)
    assert world.trust.revoke_all(robin.id, source=SOURCE) == 1
    assert not world.holds(robin, device)
    assert len(world.events.named(Event.AUTH_DEVICE_DISTRUSTED)) == 2
    assert world.trust.revoke_all(robin.id, source=SOURCE) == 0


def test_nothing_is_trusted_that_cannot_be_recorded(world: Trusting) -> None:
    robin = world.person("robin")
    device = world.devices.remember(robin.id, None, source=SOURCE).device

    def failing(event: Any) -> None:
        raise AuditUnavailable("no log")

    world.trust._emit = failing
    with pytest.raises(AuditUnavailable):
        world.trust.trust(robin, device, source=SOURCE)
    assert not world.holds(robin, device)


def test_the_stores_are_asked_the_same_whatever_the_answer(world: Trusting) -> None:
    robin, _device, _ = trusted(world)
    stored = world.device_store.of_account(robin.id)[0]
    sam = world.person("sam", enrolled=False)
    asked = []
    for account, known in ((robin, stored), (robin, None), (sam, None), (sam, stored)):
        world.calls.clear()
        world.trust.holds(account, known, world.clock())
        asked.append(tuple(world.calls))
    assert len(set(asked)) == 1


def test_atk_48_its_cookie_alone_is_no_evidence() -> None:
    # There is no way from here to the door: no proof is made, and nothing but a bool comes out.
    assert not {"mint", "Evidence", "Proof", "DOOR"} & set(vars(trust_module))
    assert [each.name for each in fields(TrustPolicy)] == ["enabled", "lifetime"]


def test_atk_48_it_rotates_with_each_sign_in_and_an_old_copy_ends_the_trust(world: Trusting) -> None:
    robin, _device, stolen = trusted(world)
    world.clock.advance(timedelta(days=1))
    known = world.devices.find(stolen, robin.id, source=SOURCE)
    assert known is not None
    fresh = world.devices.remember(robin.id, known.digest, source=SOURCE, cookie=stolen)
    assert fresh.cookie.reveal() != stolen
    assert world.holds(robin, fresh.device), "trust is the device's and outlives its secret"
    again = world.devices.find(fresh.cookie.reveal(), robin.id, source=SOURCE)
    assert again is not None
    assert world.devices.find(stolen, robin.id, source=SOURCE) is None
    assert world.device_store.of_account(robin.id) == ()
    assert world.devices.find(fresh.cookie.reveal(), robin.id, source=SOURCE) is None
    assert world.events.named(Event.AUTH_DEVICE_REUSED)
    assert world.trust.of_account(robin) == ()


@pytest.mark.parametrize("lifetime", [timedelta(minutes=59), timedelta(days=91)])
def test_policies_that_make_no_sense_are_refused(lifetime: timedelta) -> None:
    with pytest.raises(ConfigurationError, match="TrustPolicy"):
        TrustPolicy(enabled=True, lifetime=lifetime)
