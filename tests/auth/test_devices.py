from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from portalsec._encoding import b64url, new_token
from portalsec.auth.devices import DEVICE_LIFETIME, KnownDevices, Remembered
from portalsec.errors import AuditUnavailable, Denied, Reason, StoreError
from portalsec.events import ANONYMOUS, Actor, Event, Source
from portalsec.stores.memory import MemoryDevices
from portalsec.testing import CapturedEvents, FrozenClock, SequentialIds
from tests.auth.world import together

SOURCE = Source(address="192.0.2.10", user_agent="Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0")
OWNER = Actor(type="user", id="robin")


class Setting:
    def __init__(self) -> None:
        self.clock, self.events, self.store = FrozenClock(), CapturedEvents(), MemoryDevices()
        self.devices = KnownDevices(
            store=self.store, clock=self.clock, new_id=SequentialIds(), emit=self.events
        )

    def remember(self, cookie: object = None, account: str = "robin") -> str:
        """The browser's new cookie after a completed sign-in with the old one."""
        return self.remembered(cookie, account).cookie.reveal()

    def remembered(self, cookie: object = None, account: str = "robin") -> Remembered:
        known = self.devices.find(cookie, account, source=SOURCE)
        shown = None if known is None else known.digest
        return self.devices.remember(account, shown, source=SOURCE, cookie=cookie)

    def knows(self, token: object, account: str | None = "robin") -> bool:
        return self.devices.find(token, account, source=SOURCE) is not None


@pytest.fixture
def setting() -> Setting:
    return Setting()


def test_a_device_is_known_to_its_own_account_alone(setting: Setting) -> None:
    first = setting.devices.remember("robin", None, source=SOURCE)
    token = first.token.reveal()
    assert first.new
    assert (first.device.label, first.device.address) == ("Firefox / Linux", "192.0.2.0/24")
    assert setting.devices.find(token, "robin", source=SOURCE) == first.device
    assert not setting.knows(token, "kim")
    assert not setting.knows(token, None)
    assert setting.events.names == [Event.AUTH_DEVICE_ADDED]
    assert setting.events.last.actor == OWNER


@pytest.mark.parametrize("token", [None, "", "x", 5, ["a"], b"x" * 43, "é" * 43, "x" * 100_000])
def test_what_is_no_token_is_no_device(setting: Setting, token: object) -> None:
    setting.remember()
    assert not setting.knows(token)
    kept = setting.remembered(token)
    assert kept.new
    assert kept.cookie.reveal() == kept.token.reveal()


def test_the_secret_rotates_and_the_device_stays(setting: Setting) -> None:
    first = setting.devices.remember("robin", None, source=SOURCE)
    setting.clock.advance(timedelta(days=1))
    second = setting.devices.remember("robin", first.device.digest, source=Source(address="2001:db8::1"))
    assert (second.new, second.device.id) == (False, first.device.id)
    found = setting.devices.find(second.token.reveal(), "robin", source=SOURCE)
    assert found is not None
    assert second.device == replace(found, previous=second.device.previous)
    assert second.device.address == "2001:db8::/64"
    assert setting.events.names == [Event.AUTH_DEVICE_ADDED]


def test_an_old_copy_voids_the_device_and_is_recorded(setting: Setting) -> None:
    old = setting.remember()
    new = setting.remember(old)
    assert not setting.knows(old, "kim")  # another account's sign-in changes nothing
    assert setting.knows(new)
    assert not setting.knows(old)
    assert setting.events.last.name == Event.AUTH_DEVICE_REUSED
    assert setting.events.last.actor == ANONYMOUS
    assert not setting.knows(new)
    assert setting.devices.of_account("robin") == ()
    assert not setting.knows(old)
    assert len(setting.events.named(Event.AUTH_DEVICE_REUSED)) == 1


def test_a_copy_of_any_age_is_a_copy(setting: Setting) -> None:
    cookie = oldest = setting.remember()
    for _ in range(5):
        cookie = setting.remember(cookie)
    told: list[str] = []
    assert not setting.devices.find(
        oldest, "robin", source=SOURCE, reused=lambda device: told.append(device.account_id)
    )
    assert told == ["robin"]
    assert setting.events.last.name == Event.AUTH_DEVICE_REUSED
    assert not setting.knows(cookie)


def test_an_answer_that_was_lost_leaves_the_browser_known(setting: Setting) -> None:
    cookie = setting.remember()
    for _ in range(3):
        setting.remember(cookie)  # the answer never arrives, and the browser shows what it has
        assert setting.knows(cookie)
    lost = setting.remember(cookie)
    cookie = setting.remember(cookie)
    assert setting.knows(cookie)
    assert setting.events.names == [Event.AUTH_DEVICE_ADDED]
    assert not setting.knows(lost)  # of two that were given out for one, the other is somebody's copy
    assert setting.events.last.name == Event.AUTH_DEVICE_REUSED


def test_a_request_that_died_while_it_settled_a_secret_leaves_the_browser_known(setting: Setting) -> None:
    cookie = setting.remember(setting.remember())
    rotate, calls = setting.store.rotate, []

    def once(*args: object, **kwargs: object) -> bool:
        calls.append(args)
        if len(calls) == 2:
            raise StoreError("down")
        return rotate(*args, **kwargs)  # type: ignore[arg-type]

    setting.store.rotate = once  # type: ignore[method-assign]
    with pytest.raises(StoreError):
        setting.knows(cookie)
    assert setting.knows(cookie)
    assert setting.knows(setting.remember(cookie))
    assert setting.events.names == [Event.AUTH_DEVICE_ADDED]


def test_nobody_makes_an_old_copy_of_what_is_listed(setting: Setting) -> None:
    cookie = setting.remember()
    (device,) = setting.devices.of_account("robin")
    assert cookie not in repr(device)
    forged = b64url(bytes.fromhex(device.id) + bytes(16))
    assert not setting.knows(forged)
    assert setting.knows(cookie)


def test_another_accounts_cookie_makes_a_device_of_its_own(setting: Setting) -> None:
    robins = setting.remember()
    kims = setting.remembered(robins, "kim")
    assert kims.new
    assert setting.knows(robins)
    assert setting.knows(kims.token.reveal(), "kim")


def test_a_browser_that_two_people_share_is_known_to_both(setting: Setting) -> None:
    cookie = setting.remember(setting.remember(), "kim")
    for _ in range(3):
        for account in ("robin", "kim"):
            kept = setting.remembered(cookie, account)
            assert not kept.new
            cookie = kept.cookie.reveal()
    assert [len(setting.devices.of_account(each)) for each in ("robin", "kim")] == [1, 1]
    assert setting.events.names == [Event.AUTH_DEVICE_ADDED] * 2


def test_a_cookie_carries_five_accounts_and_the_oldest_goes(setting: Setting) -> None:
    cookie = None
    for number in range(6):
        cookie = setting.remember(cookie, f"person {number}")
    assert [setting.knows(cookie, f"person {number}") for number in range(6)] == [False, *[True] * 5]
    cookie = setting.remember(cookie, "person 1")  # that one is the newest now
    cookie = setting.remember(cookie, "person 6")
    assert [setting.knows(cookie, f"person {number}") for number in range(7)] == [
        False, True, False, True, True, True, True
    ]  # fmt: skip
    assert len(cookie) == 5 * 43 + 4


def test_what_nobody_knows_is_dropped_from_a_cookie(setting: Setting) -> None:
    revoked, expired = setting.remember(account="sam"), setting.remember(account="alex")
    setting.devices.revoke_all("sam", actor=OWNER, source=SOURCE)
    setting.clock.advance(DEVICE_LIFETIME)
    kims = setting.remember(account="kim")
    kept = setting.remembered(".".join([revoked, new_token(), expired, kims]))
    assert kept.cookie.reveal() == f"{kims}.{kept.token.reveal()}"


@pytest.mark.parametrize("spoil", [
    "{0}.", ".{0}", "{0}..{1}", "{0}.{0}", "{0} {1}", "{0},{1}", "{0}.{1}.x", "{0}.{1}\n", " {0}", "{0}.{1}.{2}"
])  # fmt: skip
def test_a_cookie_is_read_strictly(setting: Setting, spoil: str) -> None:
    robins, kims = setting.remember(), setting.remember(account="kim")
    assert setting.knows(f"{robins}.{kims}")
    cookie = spoil.format(robins, kims, ".".join(new_token() for _ in range(4)))
    assert not setting.knows(cookie)
    assert not setting.knows(cookie, "kim")
    kept = setting.remembered(cookie)
    assert kept.cookie.reveal() == kept.token.reveal()


def test_an_old_copy_in_a_shared_browser_ends_only_the_device_of_who_signs_in(setting: Setting) -> None:
    stolen = setting.remember(setting.remember(), "kim")
    cookie = setting.remember(setting.remember(stolen), "kim")  # both go on
    setting.remember(stolen, "mallory")  # says nothing of the others
    assert setting.knows(cookie)
    assert not setting.events.named(Event.AUTH_DEVICE_REUSED)
    assert not setting.knows(stolen)
    assert [event.resource.id for event in setting.events.named(Event.AUTH_DEVICE_REUSED)] == ["robin"]
    assert not setting.knows(cookie)
    assert setting.knows(cookie, "kim")


def test_a_cookie_costs_the_same_look_ups_whoever_signs_in(setting: Setting) -> None:
    cookie = None
    for account in ("robin", "kim", "sam"):
        cookie = setting.remember(cookie, account)
    looked: list[bytes] = []
    find = setting.store.find
    setting.store.find = lambda digest: (looked.append(digest), find(digest))[1]  # type: ignore[method-assign]
    for account in ("robin", "sam", "nobody", None):
        setting.devices.find(cookie, account, source=SOURCE)
        assert len(looked) == 3
        looked.clear()


def test_two_sign_ins_with_one_cookie_at_once_make_two_devices(setting: Setting) -> None:
    for _ in range(5):
        digest = setting.remembered().device.digest
        before = len(setting.devices.of_account("robin"))
        done = together(2, lambda _, d=digest: setting.devices.remember("robin", d, source=SOURCE))
        assert sorted(each.new for each in done) == [False, True]
        assert all(setting.knows(each.token.reveal()) for each in done)
        assert len(setting.devices.of_account("robin")) == before + 1


def test_a_device_is_forgotten_after_400_days_without_a_sign_in(setting: Setting) -> None:
    token = setting.remember()
    setting.clock.advance(DEVICE_LIFETIME - timedelta(seconds=1))
    assert setting.knows(token)
    setting.clock.advance(timedelta(seconds=1))
    assert not setting.knows(token)


def test_an_account_has_at_most_twenty_and_the_one_unused_for_longest_goes(setting: Setting) -> None:
    tokens = []
    for _ in range(21):
        tokens.append(setting.remember())
        setting.clock.advance(timedelta(days=1))
    assert len(setting.devices.of_account("robin")) == 20
    assert not setting.knows(tokens[0])
    assert setting.knows(tokens[1])
    assert len(setting.events.named(Event.AUTH_DEVICE_REMOVED)) == 1


def test_the_owner_revokes_one_or_all(setting: Setting) -> None:
    tokens = [setting.remember() for _ in range(3)]
    first = setting.devices.find(tokens[0], "robin", source=SOURCE)
    assert first is not None
    with pytest.raises(Denied):
        setting.devices.revoke("kim", first.id, actor=OWNER, source=SOURCE)
    assert setting.knows(tokens[0])
    setting.devices.revoke("robin", first.id, actor=OWNER, source=SOURCE)
    with pytest.raises(Denied) as refusal:
        setting.devices.revoke("robin", first.id, actor=OWNER, source=SOURCE)
    assert refusal.value.reason is Reason.TOKEN_INVALID
    assert not setting.knows(tokens[0])
    assert setting.devices.revoke_all("robin", actor=OWNER, source=SOURCE) == 2
    assert setting.devices.revoke_all("robin", actor=OWNER, source=SOURCE) == 0
    assert not any(setting.knows(token) for token in tokens)
    assert len(setting.events.named(Event.AUTH_DEVICE_REMOVED)) == 2


def test_a_device_that_cannot_be_recorded_is_not_kept(setting: Setting) -> None:
    def down(event: object) -> None:
        raise AuditUnavailable("down")

    setting.devices = KnownDevices(
        store=setting.store, clock=setting.clock, new_id=SequentialIds(), emit=down
    )
    with pytest.raises(AuditUnavailable):
        setting.remember()
    assert setting.devices.of_account("robin") == ()


def test_no_secret_shows_itself(setting: Setting) -> None:
    remembered = setting.devices.remember("robin", None, source=SOURCE)
    shown = repr(remembered) + repr(setting.events)
    assert remembered.token.reveal() not in shown
    assert remembered.device.digest.hex() not in shown
    assert repr(remembered.device.digest) not in shown
    assert new_token() != remembered.token.reveal()
