from __future__ import annotations

import pytest

from portalsec.auth.hash_costs import (
    PRESETS,
    Argon2Parameters,
    OlderArgon2,
    cost_of_text,
    cost_text,
    parameters_of_text,
)
from portalsec.auth.legacy_hashes import LegacyCost
from portalsec.errors import ConfigurationError


@pytest.mark.parametrize(
    "text",
    ["argon2id:m=8,t=1,p=1", "argon2id:m=65536,t=3,p=4", "pbkdf2_sha256:i=870000", "bcrypt:r=12", "md5",
     "scrypt:n=16384,r=8,p=5", "phc_argon2id:v=19,m=102400,t=2,p=8,l=32", "firebase_scrypt:n=16384,r=8"],
)  # fmt: skip
def test_a_cost_is_what_its_text_says(text: str) -> None:
    assert cost_text(cost_of_text(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "argon2id", "argon2id:t=3,m=65536,p=4", "argon2id:m=65536,t=3", "argon2id:m=0,t=3,p=4", "rot13",
     "pbkdf2_sha256", "pbkdf2_sha256:i=0", "pbkdf2_sha256:i=30000000", "pbkdf2_sha256:n=1", "md5:i=1",
     "bcrypt:r=31", "scrypt:n=16383,r=8,p=1", "scrypt:n=4194304,r=64,p=1", "phc_argon2id:v=18,m=8,t=1,p=1,l=32",
     "phc_argon2id:v=19,m=8,t=1,p=2,l=32", "argon2id:m=8,t=1,p=4", "bcrypt:r=012", "md5 "],
)  # fmt: skip
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        cost_of_text(text)


def test_parameters_of_new_hashes_are_a_preset_or_numbers_above_the_floor() -> None:
    assert parameters_of_text("OWASP_2025") is Argon2Parameters.OWASP_2025
    assert parameters_of_text("m=65536,t=3,p=4") == PRESETS["RFC_9106_LOW_MEMORY"]
    for text in ("m=8,t=1,p=1", "OWASP", "m=65536", "argon2id:m=65536,t=3,p=4", ""):
        with pytest.raises(ConfigurationError):
            parameters_of_text(text)


def test_what_is_older_may_be_below_the_floor_and_out_of_range_nothing_may() -> None:
    assert OlderArgon2(memory_kib=8, time_cost=1, parallelism=1).memory_kib == 8
    with pytest.raises(ConfigurationError):
        OlderArgon2(memory_kib=8, time_cost=1, parallelism=4)
    with pytest.raises(ConfigurationError):
        LegacyCost("md5", (1,))
