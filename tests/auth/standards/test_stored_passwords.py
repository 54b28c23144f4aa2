"""Rows on passwords that are stored: how, and what is never kept beside them."""

from __future__ import annotations

import base64
import re
from dataclasses import fields

import pytest

from portalsec.auth.evidence import Factor
from portalsec.auth.password_policy import PasswordRefused
from portalsec.auth.passwords import Argon2Parameters
from portalsec.auth.ports import Account
from portalsec.auth.signin import Step
from portalsec.crypto.keyset import Keyset
from portalsec.crypto.prf import KeysetPepper
from portalsec.errors import Reason
from portalsec.events import Actor
from tests.auth.mail import (
    refused,
    signed_in,
)
from tests.auth.world import OTHER_PASSWORD, PASSWORD, SOURCE, World, session, token

ANN = Actor(type="user", id="desk-ann")


@pytest.fixture
def world() -> World:
    return World()


def of(world: World, account: Account) -> Account:
    found = world.account_store.get(account.id)
    assert isinstance(found, Account)
    return found


def hash_of(world: World, account: Account) -> str:
    stored = of(world, account).password_hash
    assert stored is not None
    return stored


def of_login(world: World) -> Account:
    found = world.account_store.by_login("robin")
    assert isinstance(found, Account)
    return found


def start(world: World, password: str = PASSWORD) -> Step:
    return world.sign_in.start("robin", password, source=SOURCE)


def no_hint_or_answer_anywhere() -> None:
    from portalsec.sqlalchemy.tables import security_metadata

    names = {each.name for each in fields(Account)}
    names |= {column.name for table in security_metadata.tables.values() for column in table.columns}
    assert "password_hash" in names
    assert [name for name in names if re.search("hint|question|answer|reminder", name)] == []
    ways = {"password", "totp", "passkey", "recovery_code", "email_code", "sms_code"}
    assert {kind.value for kind in Factor} == ways


def test_3_1_1_2_6b_evidence_of_compromise_forces_a_change(world: World) -> None:
    account = world.person()
    world.password_change.require(account.id, "breached", actor=ANN, source=SOURCE)
    step = world.sign_in.submit_totp(world.pending(), world.code(account), source=SOURCE)
    assert (step.next, step.session) == (("new_password",), None)
    with pytest.raises(PasswordRefused):
        world.password_change.submit_forced(token(step.pending), PASSWORD, source=SOURCE)
    session(world.password_change.submit_forced(token(step.pending), OTHER_PASSWORD, source=SOURCE))


def test_3_1_1_2_7_there_is_no_hint() -> None:
    no_hint_or_answer_anywhere()


def test_3_1_1_2_8_there_is_no_question() -> None:
    no_hint_or_answer_anywhere()


def test_3_1_1_2_9a_no_part_of_a_password_is_enough(world: World) -> None:
    world.person()
    for part in (PASSWORD[:-1], PASSWORD[1:], PASSWORD[:8], PASSWORD.split()[0], PASSWORD[::2]):
        assert refused(lambda p=part: start(world, p)) is Reason.WRONG_PASSWORD
    assert start(world).next == ("totp",)


def test_3_1_1_2_store_a_a_stored_password_is_a_salted_argon2id_hash(world: World) -> None:
    robin, sam = world.person(), world.person("sam")
    one, other = hash_of(world, robin), hash_of(world, sam)
    assert one != other
    assert [world.passwords.describe(each).scheme for each in (one, other)] == ["argon2id"] * 2
    assert PASSWORD not in one + repr(of(world, robin))


def test_3_1_1_2_store_b_a_higher_cost_is_taken_at_the_next_sign_in(world: World) -> None:
    account = world.person()
    before = world.passwords.describe(hash_of(world, account)).parameters
    world.parameters = Argon2Parameters.OWASP_2025
    world.wire()
    signed_in(world, account)
    after = world.passwords.describe(hash_of(world, account)).parameters
    assert (before, after) == ("m=8,t=1,p=1", "m=19456,t=2,p=1")
    signed_in(world, account)


def test_3_1_1_2_salt_128_random_bits_for_each_hash(world: World) -> None:
    salts = set()
    for _ in range(50):
        stored = world.passwords.hash(PASSWORD, account_id="robin")
        salt = stored.split("$")[-2]
        salts.add(base64.b64decode(salt + "=" * (-len(salt) % 4)))
    assert len(salts) == 50
    assert {len(salt) * 8 for salt in salts} == {128}


def test_3_1_1_2_ref_scheme_and_cost_stand_with_the_hash(world: World) -> None:
    stored = hash_of(world, world.person())
    assert re.search(r"\$argon2id\$v=19\$m=8,t=1,p=1\$", stored)
    assert world.passwords.describe(stored).bound


def test_3_1_1_2_pepper_a_hash_is_worth_nothing_without_the_key_that_is_kept_elsewhere() -> None:
    pepper = KeysetPepper(Keyset.generate("HMAC_SHA256_PRF"))
    peppered = World(pepper=pepper)
    account = peppered.person()
    assert start(peppered).next == ("totp",)
    for other in (None, KeysetPepper(Keyset.generate("HMAC_SHA256_PRF"))):
        peppered.pepper = other
        peppered.wire()
        assert refused(lambda: start(peppered)) is Reason.FACTOR_NOT_ENROLLED  # recorded as a damaged hash
    assert of(peppered, account).password_hash == hash_of(peppered, account)


def test_v6_4_2_no_hints_and_no_questions() -> None:
    no_hint_or_answer_anywhere()


def test_ps_5_the_pepper_is_another_keyset_than_the_store_has() -> None:
    peppered = World(pepper=KeysetPepper(Keyset.generate("HMAC_SHA256_PRF")))
    info = peppered.passwords.describe(hash_of(peppered, peppered.person()))
    assert info.pepper is not None
    assert World().passwords.describe(hash_of(peppered, of_login(peppered))).verifies is False


def test_ps_8_a_stored_hash_ends_in_a_phc_string(world: World) -> None:
    stored = hash_of(world, world.person())
    assert re.fullmatch(
        r"\$ps1\$[a-z0-9,]+\$argon2id\$v=19\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+", stored
    )
