"""Passkeys in apps: what Android and iOS send as the origin opens a session where the settings name it, and only there.

An Android app sends the digest of its signing certificate (``android:apk-key-hash:``), an iOS app its bundle's id where its
framework does so, or ``https://`` and the RP id.
"""

from __future__ import annotations

import pytest

from portalsec.auth.step import Step
from portalsec.errors import Reason
from portalsec.testing import SoftAuthenticator
from tests.auth.door import Door, begun, refused
from tests.auth.passkeys.setting import ORIGIN, SIGN_IN, Setting
from tests.auth.world import ORIGIN as PAGE
from tests.auth.world import SOURCE

APPS = {
    "android": "android:apk-key-hash:" + "A" * 43,
    "ios": "ios:bundle-id:example.portal.app",
    "ios associated domain": PAGE,
}
OTHERS = {
    "android": "android:apk-key-hash:" + "A" * 42 + "E",  # the same app, signed by somebody else
    "ios": "ios:bundle-id:example.portal.app2",
    "ios associated domain": "https://app.portal.example.org",
}


class _App(Door):
    """A person whose passkey an app made, and the app."""

    def __init__(self, origin: str) -> None:
        super().__init__(apps=() if origin == PAGE else (origin,))
        self.soft = SoftAuthenticator()
        self.person(enrolled=False)
        pending = begun(self.start())
        options = self.sign_in.begin_passkey_enrolment(pending, source=SOURCE)
        made = self.soft.create(options.json, origin=origin)
        self.enrolled = self.sign_in.confirm_passkey_enrolment(pending, made, "Phone", source=SOURCE)

    def show(self, origin: str) -> Step:
        """Sign in with it, from there."""
        options, pending = self.sign_in.begin_passkey(source=SOURCE)
        answer = self.soft.get(options.json, origin=origin)
        return self.sign_in.submit_passkey(pending.reveal(), answer, source=SOURCE)


@pytest.mark.parametrize("app", APPS)
def test_an_app_sets_a_passkey_up_at_the_door_and_signs_in_with_it(app: str) -> None:
    door = _App(APPS[app])
    assert door.factors(door.enrolled) == ("password", "passkey")
    assert door.factors(door.show(APPS[app])) == ("passkey",)
    assert door.factors(door.show(PAGE)) == ("passkey",)  # a synced one, on the web


@pytest.mark.parametrize("app", APPS)
def test_atk_21_another_app_opens_nothing_with_it(app: str) -> None:
    door = _App(APPS[app])
    for origin in (OTHERS[app], APPS[app] + "/", APPS[app].upper(), APPS[app][:-1]):
        assert refused(lambda origin=origin: door.show(origin)) is Reason.PASSKEY_REFUSED
    assert door.factors(door.show(APPS[app]))


@pytest.mark.parametrize("app", ["android", "ios"])
def test_atk_21_an_app_that_the_settings_do_not_name_is_refused_as_another_site(app: str) -> None:
    named, plain = Setting(origins=(ORIGIN, APPS[app])), Setting()
    for setting, taken in ((named, True), (plain, False)):
        soft = SoftAuthenticator()
        if taken:
            setting.register(soft, origin=APPS[app])
            assert setting.answer(soft, purpose=SIGN_IN, verified=True, origin=APPS[app]).proof.user_verified
        else:
            assert setting.registration_refused(soft, origin=APPS[app])[1] == "R-origin"
            setting.register(soft)
            assert setting.answer_refused(soft, origin=APPS[app])[1] == "A-origin"
