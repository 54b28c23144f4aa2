"""pytest fixtures for an application's own tests: name this module once, in the conftest.py at the root of the tests.

    pytest_plugins = ["portalsec.testing.fixtures"]

| fixture | what it is |
|---|---|
| ``portal_clock`` | a `FrozenClock` |
| ``portal_mail`` | a `SentMail`: what the portal mailed |
| ``portal_policy`` | who may do what; override it with the application's own |
| ``portal`` | a whole portal in memory by these three, with cheap password hashing |
| ``authenticator`` | a `SoftAuthenticator`: a passkey authenticator and its browser |
| ``totp_code`` | `current_totp` by the portal's clock |

Each is fresh for every test. A conftest.py that defines one by the same name replaces it for all the others. Where a test
fails with `Denied`, its report says for which reason.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from portalsec.errors import Denied, MissingExtra

try:
    import pytest
except ImportError as error:
    raise MissingExtra("testing", package="pytest") from error

from portalsec.testing.authenticator import SoftAuthenticator
from portalsec.testing.clock import FrozenClock
from portalsec.testing.mail import SentMail
from portalsec.testing.totp import current_totp

if TYPE_CHECKING:
    from portalsec.auth.totp import Enrolment
    from portalsec.portal import Portal
    from portalsec.rbac.policy import Policy
    from portalsec.secret import Secret

__all__ = [
    "TotpCode",
    "authenticator",
    "portal",
    "portal_clock",
    "portal_mail",
    "portal_policy",
    "totp_code",
]


class TotpCode(Protocol):
    """What the fixture ``totp_code`` is."""

    def __call__(self, seed: Enrolment | Secret[str] | str, *, steps: int = 0) -> str:
        """The code that an authenticator shows now, or so many codes later."""
        ...


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, None, None]:
    """A refusal has one blank face for visitors; whoever reads a failed test is told its reason beside it."""
    try:
        return (yield)
    except Denied as denied:
        denied.add_note(f"portalsec: Denied.reason is {denied.reason!r}")
        raise


@pytest.fixture
def portal_clock() -> FrozenClock:
    """Stands still; ``portal_clock.advance(timedelta(minutes=15))`` lets time pass."""
    return FrozenClock()


@pytest.fixture
def portal_mail() -> SentMail:
    """A list of the messages that the portal sent."""
    return SentMail()


@pytest.fixture
def portal_policy() -> Policy | Mapping[str, Any]:
    """Nobody may do anything. Override it to read the application's own policy file."""
    return {"schema": 1, "resource": {"nothing": {"actions": ["read"]}}, "role": {"nobody": {}}}


@pytest.fixture
def portal(
    portal_policy: Policy | Mapping[str, Any], portal_clock: FrozenClock, portal_mail: SentMail
) -> Iterator[Portal]:
    """Every part does its real work, in memory; at ``https://portal.example``."""
    from portalsec.portal import close_portal
    from portalsec.testing.portal import memory_portal

    made = memory_portal(portal_policy, clock=portal_clock, notifier=portal_mail)
    yield made
    close_portal(made)


@pytest.fixture
def authenticator() -> SoftAuthenticator:
    """Verifies its user, counts its signatures, and cannot be copied."""
    return SoftAuthenticator()


@pytest.fixture
def totp_code(portal_clock: FrozenClock) -> TotpCode:
    """``totp_code(enrolment)``: the code of an authenticator app by the portal's clock."""

    def code(seed: Enrolment | Secret[str] | str, *, steps: int = 0) -> str:
        return current_totp(seed, portal_clock(), steps=steps)

    return code
