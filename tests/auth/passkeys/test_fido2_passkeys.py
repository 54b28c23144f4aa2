"""Yubico's fido2 as the browser with a CTAP2 authenticator behind it: user verification, discoverable and synced passkeys.

The client reads our options by itself: whether to verify the user, whether to store the credential, which list to send.
`test_fido2_client` has the same client with a U2F key.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from fido2.client import ClientError, DefaultClientDataCollector, Fido2Client, UserInteraction
from fido2.ctap2 import Ctap2

from portalsec.auth.assurance import level
from portalsec.auth.passkeys.attestation import AttestationPolicy
from portalsec.auth.ports import Passkey
from portalsec.auth.proof import Factor, Proof
from portalsec.errors import Reason
from portalsec.testing.attestation import SoftMaker
from portalsec.testing.authenticator import ToAttest
from portalsec.testing.portal import memory_portal
from tests.auth.passkeys.setting import MARIA, ORIGIN, PLACE, SECOND, SOURCE, Setting
from tests.auth.passkeys.soft_ctap2 import AAGUID, FLAG, Ctap2Key
from tests.auth.passkeys.test_fido2_client import browser, create, get

MAKER = SoftMaker("packed")
SYNCED = FLAG.BE | FLAG.BS
PASSWORD = "violet-anchor-mosaic-27"


def packed(authenticator_data: bytes, client_data_hash: bytes) -> tuple[str, dict[str, Any]]:
    nobody: Any = None  # the statement of this format knows no credential
    about = ToAttest(authenticator_data, client_data_hash, nobody, b"", AAGUID)
    return "packed", MAKER.statement(about)


def registered(setting: Setting, key: Ctap2Key) -> Passkey:
    response = create(browser(key), setting.creation())
    return setting.service.complete_registration(PLACE, MARIA.id, response, source=SOURCE)


def first(setting: Setting, key: Ctap2Key) -> Proof:
    """Signs in by the passkey alone: nobody is named, and the device finds the account."""
    asked = setting.request()
    assert "allowCredentials" not in asked or not asked["allowCredentials"]
    evidence = setting.complete(get(browser(key), asked), verified=True)
    assert evidence.account_id == MARIA.id
    return evidence.proof


def second(setting: Setting, key: Ctap2Key) -> Proof:
    asked = setting.request(MARIA, purpose=SECOND)
    assert len(asked["allowCredentials"]) == 1
    return setting.complete(get(browser(key), asked), MARIA, purpose=SECOND).proof


@pytest.mark.parametrize("algorithm", [-7, -8])
def test_a_passkey_of_another_s_client_is_a_first_factor_and_a_second(algorithm: int):
    setting, key = Setting(), Ctap2Key(algorithm=algorithm)
    passkey = registered(setting, key)
    (stored,) = key.stored
    assert stored.discoverable  # by its own reading of our authenticatorSelection
    assert (passkey.credential_id, passkey.algorithm) == (stored.id, algorithm)
    assert (passkey.user_verified, passkey.backup_eligible) == (True, False)
    assert passkey.user_handle == stored.user["id"]
    for count, sign_in in enumerate((first, second, first), 1):
        proof = sign_in(setting, key)
        assert (proof.factor, proof.authenticator) == (Factor.PASSKEY, passkey.id)
        assert (proof.user_verified, proof.device_bound) == (True, True)
        assert setting.store.of_account(MARIA.id)[0].sign_count == count


def test_it_names_no_credential_as_a_first_factor_and_the_account_s_as_a_second():
    setting, key = Setting(), Ctap2Key()
    passkey = registered(setting, key)
    for sign_in, named in ((first, None), (second, [{"id": passkey.credential_id, "type": "public-key"}])):
        sign_in(setting, key)
        command, asked = key.asked[-1]
        assert (command, asked.get(3), asked[5]) == (Ctap2.CMD.GET_ASSERTION, named, {"uv": True})


def test_a_key_without_user_verification_is_a_second_factor_and_no_first():
    setting, key = Setting(), Ctap2Key(verifies=False)
    passkey = registered(setting, key)
    assert not passkey.user_verified
    proof = second(setting, key)
    assert (proof.authenticator, proof.user_verified) == (passkey.id, False)
    with pytest.raises(ClientError):
        get(browser(key), setting.request())  # we require it: the client does not even ask the key
    # A page that takes our options and asks for less.
    asked = setting.request() | {"userVerification": "discouraged"}
    refused = setting.completion_refused(get(browser(key), asked), verified=True)
    assert refused == (Reason.PASSKEY_REFUSED, "A-uv")


def test_an_owner_who_is_not_verified_gets_no_answer():
    class Wrong(UserInteraction):
        def request_uv(self, *_: Any) -> bool:
            return False

    setting, key = Setting(), Ctap2Key()
    registered(setting, key)
    client = Fido2Client(key, DefaultClientDataCollector(ORIGIN), user_interaction=Wrong())
    with pytest.raises(ClientError):
        get(client, setting.request())


@pytest.mark.parametrize(("backup", "reached"), [(FLAG(0), 3), (FLAG.BE, 2), (SYNCED, 2)])
def test_a_synced_passkey_never_reaches_level_3(backup: FLAG, reached: int):
    setting = Setting(attestation=AttestationPolicy(required=True, roots=(MAKER.root,)))
    key = Ctap2Key(backup=backup, attest=packed)
    passkey = registered(setting, key)
    assert (passkey.attested, passkey.backup_eligible) == (True, bool(backup))
    password = Proof(factor=Factor.PASSWORD, at=setting.clock())
    for proof in (first(setting, key), second(setting, key)):
        assert proof.device_bound == (not backup)
        assert level([proof]) == level([proof, password]) == reached


@pytest.mark.parametrize(
    ("made", "shown", "step"),
    [
        (FLAG(0), FLAG.BE, "A-be"),
        (FLAG(0), SYNCED, "A-be"),
        (SYNCED, FLAG(0), "A-be"),
        (FLAG(0), FLAG.BS, "A-bs"),
        (SYNCED, FLAG.BS, "A-bs"),
    ],
)
def test_a_passkey_that_was_bound_to_its_device_stays_so_and_the_reverse(made: FLAG, shown: FLAG, step: str):
    setting, key = Setting(), Ctap2Key(backup=made)
    registered(setting, key)
    key.backup = shown
    answer = get(browser(key), setting.request())
    assert setting.completion_refused(answer, verified=True) == (Reason.PASSKEY_REFUSED, step)
    key.backup = made
    assert first(setting, key).user_verified  # nothing of it was kept


def test_a_backup_that_comes_later_is_recorded():
    setting, key = Setting(), Ctap2Key(backup=FLAG.BE)
    assert not registered(setting, key).backed_up
    key.backup = SYNCED
    first(setting, key)
    assert setting.store.of_account(MARIA.id)[0].backed_up


def test_it_excludes_what_the_account_has_and_takes_no_other_algorithm():
    setting, key = Setting(), Ctap2Key()
    registered(setting, key)
    with pytest.raises(ClientError):
        create(browser(key), setting.creation())
    with pytest.raises(ClientError):
        create(browser(Ctap2Key(algorithm=-8)), Setting(algorithms=(-7,)).creation())


def test_the_door_opens_to_another_s_client():
    """From the first sign-in, which has to set a factor up, to a session by the passkey alone, and with the password."""
    portal = memory_portal({"schema": 1, "resource": {"record": {"actions": ["read"]}}, "role": {}})
    account = portal.accounts.create(login="maria", password=PASSWORD)
    door, client = portal.sign_in, browser(Ctap2Key(), portal.base_url)

    def after_password() -> str:
        return door.start("maria", PASSWORD, source=SOURCE).pending.reveal()

    place = after_password()
    made = create(client, json.loads(door.begin_passkey_enrolment(place, source=SOURCE).json))
    assert door.confirm_passkey_enrolment(place, made, "key", source=SOURCE).session

    for after, factors in ((None, {Factor.PASSKEY}), (after_password, {Factor.PASSWORD, Factor.PASSKEY})):
        options, pending = door.begin_passkey(after and after(), source=SOURCE)
        step = door.submit_passkey(pending.reveal(), get(client, json.loads(options.json)), source=SOURCE)
        session = portal.stores.sessions.load(step.session.digest).record
        assert (session.account_id, session.level) == (account.id, 2)
        assert {proof.factor for proof in session.proofs} == factors
