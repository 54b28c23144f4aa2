from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from portalsec.auth._pending import Browser, Pending, is_password, open_data, password_digest, seal_data
from portalsec.auth.ports import Flow
from portalsec.auth.posture import DevicePosture
from portalsec.auth.proof import Factor, Proof
from portalsec.crypto.keyset import Keyset
from portalsec.crypto.prf import KeyedHash
from portalsec.errors import Tampered

MAC = KeyedHash(Keyset.generate("HMAC_SHA256_PRF"))
NOW = datetime(2026, 3, 2, 9, 0, 0, 123456, tzinfo=UTC)
STATE = Pending(
    epoch=3,
    proofs=(
        Proof(factor=Factor.PASSWORD, at=NOW, through=Factor.EMAIL_CODE),
        Proof(factor=Factor.PASSKEY, at=NOW, authenticator="k", user_verified=True, device_bound=True),
        Proof(factor=Factor.TOTP, at=NOW, authenticator="t", attested=True, explicit=True),
    ),
    password="00ff",
    device_id="d",
    begun=2,
    units=(("address", "aa", 1_700_000_000_000_000), ("name", "bb", 0)),
    named="robin",
    short=True,
    browser=Browser(
        device="ab" * 32,
        shared=True,
        trust=True,
        notice="n",
        folded=("m", "o"),
        left=(("robin", "p"),),
        posture=DevicePosture(at=datetime(2026, 3, 2, tzinfo=UTC), platform="ios", rooted=True),
        jkt="k" * 43,
    ),
)


def flow() -> Flow:
    place = {"digest": b"d" * 32, "purpose": "sign-in.factor", "account_id": "robin"}
    return Flow(
        **place,
        data=seal_data(MAC, STATE.encode(), **place),
        expires_at=datetime(2026, 3, 2, tzinfo=UTC),
    )


def test_round_trip() -> None:
    assert Pending.decode(open_data(MAC, flow())) == STATE


@pytest.mark.parametrize(
    "change",
    [
        {"digest": b"e" * 32},
        {"purpose": "invitation"},
        {"account_id": "kim"},
        {"account_id": None},
        {"data": b""},
    ],
)
def test_data_belongs_to_its_flow(change: dict[str, object]) -> None:
    with pytest.raises(Tampered):
        open_data(MAC, replace(flow(), **change))


def test_any_changed_byte_is_found() -> None:
    data = flow().data
    for index in range(len(data)):
        with pytest.raises(Tampered):
            open_data(MAC, replace(flow(), data=data[:index] + bytes([data[index] ^ 1]) + data[index + 1 :]))


def test_another_portals_key_opens_nothing() -> None:
    with pytest.raises(Tampered):
        open_data(KeyedHash(Keyset.generate("HMAC_SHA256_PRF")), flow())


def test_a_flow_outlives_a_rotation_of_the_key() -> None:
    old = Keyset.generate("HMAC_SHA256_PRF")
    both = old.add("HMAC_SHA256_PRF")
    new_id = both.info()[-1].id
    place = {"digest": b"d" * 32, "purpose": "sign-in.factor", "account_id": "robin"}

    def written(keys: Keyset) -> Flow:
        return replace(flow(), data=seal_data(KeyedHash(keys), STATE.encode(), **place))

    moved = both.promote(new_id)
    for writer, reader in ((old, both), (old, moved), (both, moved), (moved, both), (moved, moved)):
        assert Pending.decode(open_data(KeyedHash(reader), written(writer))) == STATE
        digest = password_digest(KeyedHash(writer), "hash")
        assert is_password(KeyedHash(reader), digest, "hash")
        assert not is_password(KeyedHash(reader), digest, "other")
        assert not is_password(KeyedHash(reader), digest, None)
    # A key that is no longer read opens nothing.
    gone = moved.disable(old.primary_id)
    with pytest.raises(Tampered):
        open_data(KeyedHash(gone), written(old))
    assert not is_password(KeyedHash(gone), password_digest(KeyedHash(old), "hash"), "hash")


GOOD = json.loads(STATE.encode())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"7",
        b"{}",
        b'{"v":6}',
        b"\xff",
        *(
            json.dumps({**GOOD, **change}).encode()
            for change in (
                {"v": 5},
                {"x": 1},
                {"units": 7},
                {"units": [["address", "aa"]]},
                {"proofs": 7},
                {"proofs": '[["totp"]]'},
                {"proofs": '[["charm",1,null,0]]'},
                {"browser": {}},
                {"browser": {**GOOD["browser"], "x": 1}},
                {"browser": {**GOOD["browser"], "device": "x"}},
                {"browser": {**GOOD["browser"], "left": [["robin"]]}},
            )
        ),
        *(
            json.dumps({k: v for k, v in GOOD.items() if k != gone}).encode()
            for gone in ("proofs", "browser")
        ),
    ],
)
def test_what_we_did_not_write_is_damaged(data: bytes) -> None:
    with pytest.raises(Tampered):
        Pending.decode(data)


def test_the_digest_of_a_password_tells_nothing_and_every_password_apart() -> None:
    hashes = [None, "", "$argon2id$1", "$argon2id$2"]
    digests = [password_digest(MAC, stored) for stored in hashes]
    assert len(set(digests)) == len(hashes)
    assert digests == [password_digest(MAC, stored) for stored in hashes]
    assert not set(digests) & {
        password_digest(KeyedHash(Keyset.generate("HMAC_SHA256_PRF")), s) for s in hashes
    }
