"""Keysets of every kind as hypothesis strategies, and what the real tink makes of bytes."""

from __future__ import annotations

import functools
import hashlib

import tink
from hypothesis import strategies as st
from tink import aead, daead, prf, proto_keyset_format, secret_key_access
from tink.proto import tink_pb2

from portalsec.crypto import Keyset
from portalsec.crypto._keys import (
    AesGcmKey,
    AesGcmSivKey,
    AesSivKey,
    HkdfPrfKey,
    HmacPrfKey,
    Key,
    Material,
    XAesGcmKey,
)
from portalsec.crypto.insecure import keyset_to_bytes
from portalsec.secret import Secret

aead.register()
daead.register()
prf.register()

IDS = st.one_of(st.sampled_from([1, 42, 2**31, 2**32 - 1]), st.integers(1, 2**32 - 1))
STATUSES = st.sampled_from(["ENABLED", "ENABLED", "DISABLED", "DESTROYED"])
PRIMITIVES = {"aead": aead.Aead, "daead": daead.DeterministicAead, "prf": prf.PrfSet}
OF_TINK = {
    AesGcmKey: "aead",
    AesGcmSivKey: "aead",
    XAesGcmKey: "aead",
    AesSivKey: "daead",
    HmacPrfKey: "prf",
    HkdfPrfKey: "prf",
}


def secrets(*sizes: int) -> st.SearchStrategy[Secret[bytes]]:
    """Keys that a small number decides: hypothesis need not draw every byte."""
    return st.builds(
        lambda seed, size: Secret(hashlib.shake_256(b"%d" % seed).digest(size)),
        st.integers(0, 2**32),
        st.sampled_from(sizes),
    )


@functools.cache  # a strategy is built once: that takes longer than a draw
def materials(primitive: str) -> st.SearchStrategy[Material]:
    return {
        "aead": st.one_of(
            st.builds(AesGcmKey, secrets(16, 32)),
            st.builds(AesGcmSivKey, secrets(16, 32)),
            st.builds(XAesGcmKey, secrets(32), st.integers(8, 12)),
        ),
        "daead": st.builds(AesSivKey, secrets(64)),
        "prf": st.one_of(
            st.builds(
                HmacPrfKey,
                secrets(16, 20, 32, 64, 200),
                st.sampled_from(["SHA1", "SHA224", "SHA256", "SHA384", "SHA512"]),
            ),
            st.builds(
                HkdfPrfKey,
                secrets(32, 33, 64, 200),
                st.sampled_from(["SHA256", "SHA512"]),
                st.binary(max_size=40),
            ),
        ),
    }[primitive]


INDEX = st.integers(0, 11)
ID_LISTS = st.lists(IDS, min_size=1, max_size=4, unique=True)
one_of = functools.cache(st.sampled_from)


@st.composite
def keysets(draw: st.DrawFn, primitive: str) -> Keyset:
    """One to four keys of any kind, state and prefix; any enabled one is primary."""
    ids = draw(ID_LISTS)
    primary = ids[draw(INDEX) % len(ids)]
    keys = []
    for key_id in ids:
        material = draw(materials(primitive))
        status = "ENABLED" if key_id == primary else draw(STATUSES)
        prefix = draw(one_of(tuple(sorted(material.prefixes))))
        kept = None if status == "DESTROYED" else material
        keys.append(Key(id=key_id, status=status, prefix=prefix, material=kept))
    return Keyset(keys, primary)


any_keyset = st.sampled_from(sorted(PRIMITIVES)).flatmap(keysets)


def of_tink(keys: Keyset | bytes) -> tink.KeysetHandle:
    data = keyset_to_bytes(keys) if isinstance(keys, Keyset) else keys
    return proto_keyset_format.parse(data, secret_key_access.TOKEN)


def tink_reads(data: bytes) -> tink_pb2.Keyset | None:
    """The keyset, where tink reads it and could use every key that is not destroyed; a disabled one may be enabled."""
    try:
        keyset = tink_pb2.Keyset.FromString(
            proto_keyset_format.serialize(of_tink(data), secret_key_access.TOKEN)
        )
        usable = tink_pb2.Keyset.FromString(data)
        for key in usable.key:
            if key.status == tink_pb2.DISABLED:
                key.status = tink_pb2.ENABLED
        urls = {key.key_data.type_url for key in usable.key if key.status == tink_pb2.ENABLED}
        primitive = (
            "prf"
            if any("Prf" in url for url in urls)
            else "daead"
            if any("AesSivKey" in url for url in urls)
            else "aead"
        )
        used = of_tink(usable.SerializeToString()).primitive(PRIMITIVES[primitive])
        if primitive == "prf":
            used.primary().compute(b"", 16)
    except tink.TinkError:
        return None
    return keyset
