"""Importing authenticators in a session: pasted once, each counts after a current code of it, and no seed comes back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pyotp
import pytest

from portalsec.auth.notices import NoticeKind
from portalsec.auth.otpauth import ImportProblem, ImportRefused
from portalsec.auth.totp import TotpPolicy
from portalsec.errors import Denied, Reason
from tests.auth.factoring import Factoring
from tests.auth.mailing import SOURCE
from tests.auth.test_otpauth import PLAIN, SEED, TEXT, entry, payload

OTHER = b"abcdefghijklmnopqrst"
SEVERAL = payload([entry(), entry(OTHER, "kim", ""), entry(b"x" * 32, "", "", 2, 2)])


def code(m: Factoring, seed: bytes, digits: int = 6, digest: str = "sha1") -> str:
    import base64
    import hashlib

    text = base64.b32encode(seed).decode()
    return pyotp.TOTP(text, digits=digits, digest=getattr(hashlib, digest)).at(m.clock())


def refused(work: Any, *args: Any) -> Reason:
    with pytest.raises(Denied) as caught:
        work(*args, source=SOURCE)
    return caught.value.reason


def test_several_are_confirmed_one_after_the_other_and_each_is_told() -> None:
    with Factoring() as m:
        robin = m.person()
        session = m.active(m.open())
        elsewhere = m.open()
        names = m.factors.begin_import(session, SEVERAL, source=SOURCE)
        assert names == ("Hill Clinic: robin", "kim", "Authenticator app")
        assert m.factors.waiting_imports(session, source=SOURCE) == names
        assert not m.portal.totp.enrolled(robin.id) and m.alive(elsewhere)
        first = m.factors.confirm_import(session, 1, code(m, OTHER), source=SOURCE)
        assert first.codes is not None and not m.alive(elsewhere)
        session = m.active(first.session)
        assert m.factors.waiting_imports(session, source=SOURCE) == (names[0], names[2])
        m.clock.advance(timedelta(seconds=1))  # of one moment, either may come first
        second = m.factors.confirm_import(session, 1, code(m, b"x" * 32, 8, "sha256"), source=SOURCE)
        session = m.active(second.session)
        m.clock.advance(timedelta(seconds=1))
        third = m.factors.confirm_import(session, 0, code(m, SEED), source=SOURCE)
        session = m.active(third.session)
        assert (second.codes, third.codes) == (None, None)
        assert m.factors.waiting_imports(session, source=SOURCE) == ()
        assert [each.label for each in m.factors.overview(session).held] == [names[1], names[2], names[0]]
        assert m.kinds(robin).count(NoticeKind.FACTOR_ADDED) == 3
        # The code that confirmed it is used.
        assert refused_code(m, robin.id, code(m, SEED)) is Reason.CODE_REPLAYED


def refused_code(m: Factoring, account_id: str, typed: str) -> Reason:
    with pytest.raises(Denied) as caught:
        m.portal.totp.verify(account_id, typed)
    return caught.value.reason


def test_a_wrong_code_leaves_nothing_and_five_of_them_end_the_import() -> None:
    with Factoring() as m:
        robin = m.person()
        session = m.active(m.open())
        m.factors.begin_import(session, PLAIN, source=SOURCE)
        wrong = "000000" if code(m, SEED) != "000000" else "000001"
        for _ in range(5):
            assert refused(m.factors.confirm_import, session, 0, wrong) is Reason.WRONG_CODE
            assert m.portal.stores.totp.devices(robin.id) == ()
        assert refused(m.factors.confirm_import, session, 0, code(m, SEED)) is Reason.FLOW_UNKNOWN
        assert m.factors.waiting_imports(session, source=SOURCE) == ()


def test_looking_gives_no_further_tries() -> None:
    with Factoring() as m:
        m.person()
        session = m.active(m.open())
        m.factors.begin_import(session, PLAIN, source=SOURCE)
        for _ in range(5):
            refused(m.factors.confirm_import, session, 0, "12345678")
            m.factors.waiting_imports(session, source=SOURCE)
        assert refused(m.factors.confirm_import, session, 0, code(m, SEED)) is Reason.FLOW_UNKNOWN


@pytest.mark.parametrize("place", [-1, 1, 64])
def test_a_place_that_there_is_not_is_none(place: int) -> None:
    with Factoring() as m:
        m.person()
        session = m.active(m.open())
        m.factors.begin_import(session, PLAIN, source=SOURCE)
        asked = refused(m.factors.confirm_import, session, place, code(m, SEED))
        assert asked is Reason.FACTOR_NOT_ENROLLED


def test_it_is_the_session_s_that_pasted_it_for_ten_minutes_and_no_longer_with_more_codes() -> None:
    with Factoring() as m:
        m.person()
        m.person("kim")
        session, other, theirs = m.active(m.open()), m.active(m.open()), m.active(m.open("kim"))
        m.factors.begin_import(session, SEVERAL, source=SOURCE)
        for stranger in (other, theirs):
            assert m.factors.waiting_imports(stranger, source=SOURCE) == ()
            assert refused(m.factors.confirm_import, stranger, 0, code(m, SEED)) is Reason.FLOW_UNKNOWN
        m.clock.advance(timedelta(minutes=9))
        session = m.active(m.factors.confirm_import(session, 0, code(m, SEED), source=SOURCE).session)
        assert len(m.factors.waiting_imports(session, source=SOURCE)) == 2
        m.clock.advance(timedelta(minutes=1))
        assert m.factors.waiting_imports(session, source=SOURCE) == ()


def test_what_waits_is_sealed_and_opens_nowhere_else() -> None:
    with Factoring() as m:
        m.person()
        m.person("kim")
        session, theirs = m.active(m.open()), m.active(m.open("kim"))
        m.factors.begin_import(session, PLAIN, source=SOURCE)
        (flow,) = [each for each in _flows(m) if each.purpose == "factors.import"]
        for readable in (SEED, TEXT.encode(), b"robin", b"Hill"):
            assert readable not in flow.data
        from dataclasses import replace

        from portalsec.auth._importing import _place
        from portalsec.errors import Tampered

        moved = replace(flow, digest=_place(theirs.digest), account_id=theirs.account_id)
        assert m.portal.stores.flows.put(moved)
        with pytest.raises(Tampered):
            m.factors.waiting_imports(theirs, source=SOURCE)


def _flows(m: Factoring) -> list[Any]:
    store: Any = m.portal.stores.flows
    return list(store._flows.values())


def test_pasting_again_or_dropping_forgets_what_waited() -> None:
    with Factoring() as m:
        m.person()
        session = m.active(m.open())
        m.factors.begin_import(session, SEVERAL, source=SOURCE)
        assert m.factors.begin_import(session, PLAIN, source=SOURCE) == ("Hill Clinic: robin",)
        assert len(m.factors.waiting_imports(session, source=SOURCE)) == 1
        m.factors.drop_imports(session)
        assert m.factors.waiting_imports(session, source=SOURCE) == ()
        assert not [each for each in _flows(m) if each.purpose == "factors.import"]


def test_one_that_is_here_already_is_refused_and_the_limit_holds() -> None:
    with Factoring(authenticators=TotpPolicy(max_devices=2)) as m:
        m.person()
        session = m.active(m.open())
        m.factors.begin_import(session, SEVERAL, source=SOURCE)
        session = m.active(m.factors.confirm_import(session, 0, code(m, SEED), source=SOURCE).session)
        m.factors.begin_import(session, SEVERAL, source=SOURCE)
        asked = m.factors.confirm_import
        assert refused(asked, session, 0, code(m, SEED)) is Reason.FACTOR_ALREADY_ENROLLED
        session = m.active(asked(session, 1, code(m, OTHER), source=SOURCE).session)
        assert refused(asked, session, 1, code(m, b"x" * 32, 8, "sha256")) is Reason.FACTOR_LIMIT
        assert refused(m.factors.begin_import, session, PLAIN) is Reason.FACTOR_LIMIT


def test_more_than_a_flow_holds_is_refused_in_a_sentence() -> None:
    with Factoring() as m:
        m.person()
        session = m.active(m.open())
        most = payload([entry(bytes([n]) * 128, "", "", 3) for n in range(20)])
        with pytest.raises(ImportRefused) as caught:
            m.factors.begin_import(session, most, source=SOURCE)
        assert caught.value.problem is ImportProblem.TOO_LONG and caught.value.__context__ is None
