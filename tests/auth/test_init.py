from __future__ import annotations

import subprocess
import sys

import pytest

import portalsec.auth


def test_importing_the_package_loads_no_third_party_part() -> None:
    code = (
        "import sys, portalsec.auth, portalsec.auth.ports, portalsec.auth.sessions, portalsec.auth.signin\n"
        "heavy = {'argon2', 'zxcvbn', 'pyotp', 'segno', 'webauthn', 'cryptography'} & set(sys.modules)\n"
        "print(*sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "\n")


def test_every_name_is_there_and_nothing_else() -> None:
    for name in portalsec.auth.__all__:
        assert getattr(portalsec.auth, name).__module__.startswith("portalsec.auth.")
    assert dir(portalsec.auth) == sorted(portalsec.auth.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        getattr(portalsec.auth, "nonsense")  # noqa: B009
