"""The page that takes over an authenticator: what was pasted is in no answer, and names alone come back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from portalsec.account_pages.importing import SPANISH
from portalsec.auth._door import DOOR
from portalsec.auth.notices import NoticeKind
from portalsec.auth.otpauth import SENTENCES
from portalsec.errors import Denied, Reason
from tests.auth.factoring import Factoring
from tests.auth.mailing import SOURCE
from tests.auth.test_importing import OTHER, SEVERAL, code
from tests.auth.test_otpauth import PLAIN, SEED, TEXT
from tests.test_factor_pages import Visit

AT = "/account/factors/import"
SECRETS = (TEXT, SEED.decode(), OTHER.decode(), SEVERAL.partition("=")[2][:40])


@pytest.fixture
def m() -> Iterator[Factoring]:
    with Factoring() as made:
        made.person()
        yield made


@pytest.fixture
def visit(m: Factoring) -> Visit:
    return Visit(m)


def shows_none(reply: object) -> None:
    """Neither its text nor its values: a template could print any of them."""
    values = repr(getattr(reply, "values", ""))
    assert not any(secret in values for secret in SECRETS), values


def test_from_a_paste_of_several_to_recovery_codes_and_the_rest(m: Factoring, visit: Visit) -> None:
    assert visit.get(AT).redirect == f"/account/step-up?next={AT}&or=password"
    assert visit.post(AT, pasted=SEVERAL).redirect == f"/account/step-up?next={AT}&or=password"
    visit.step_up()
    assert visit.get(AT).page == "factor_import"
    assert visit.post(AT, pasted=SEVERAL).redirect == AT
    listed = visit.get(AT)
    shows_none(listed)
    assert listed.page == "factor_import_code" and listed.values["entry"] is None
    assert [(each.place, each.label) for each in listed.values["waiting"]] == [
        (0, "Hill Clinic: robin"),
        (1, "kim"),
        (2, "Authenticator app"),
    ]
    m.clock.advance(timedelta(minutes=6))  # the step-up is old: what was begun goes on
    first = visit.post(f"{AT}/confirm", entry="1", code=code(m, OTHER))
    assert first.page == "recovery_codes" and first.values["onward"] == AT
    assert [each.label for each in visit.get(AT).values["waiting"]] == [
        "Hill Clinic: robin",
        "Authenticator app",
    ]
    second = visit.post(f"{AT}/confirm", entry="0", code=code(m, SEED))
    assert second.redirect == f"{AT}?done=added" and visit.get(second.redirect).values["done"] == "added"
    assert visit.post(f"{AT}/confirm", do="drop").redirect == "/account/factors"
    assert visit.get(AT).page == "factor_import"  # the first one's code was a step-up too
    assert [each.label for each in visit.get("/account/factors").values["held"]] == [
        "kim",
        "Hill Clinic: robin",
    ]
    robin = m.portal.stores.accounts.by_login("robin")
    assert robin is not None and m.kinds(robin).count(NoticeKind.FACTOR_ADDED) == 2


def test_one_alone_needs_no_choice_and_leads_to_the_list(m: Factoring, visit: Visit) -> None:
    visit.step_up()
    visit.add()
    visit.step_up()
    visit.post(AT, pasted=f"  {PLAIN}\n")
    (waiting,) = visit.get(AT).values["waiting"]
    done = visit.post(f"{AT}/confirm", entry=str(waiting.place), code=code(m, SEED))
    assert done.redirect == "/account/factors?done=added"


@pytest.mark.parametrize("language", ["en", "es"])
@pytest.mark.parametrize(
    ("pasted", "id"),
    [
        ("", "import_not_otpauth"),
        (f"https://mail.example/?secret={TEXT}", "import_not_otpauth"),
        (f"otpauth://hotp/x?secret={TEXT}", "import_not_totp"),
        (f"otpauth://totp/x?secret={TEXT}1", "import_bad_secret"),
        ("otpauth://totp/x?secret=JBSWY3DPEHPK3PXP", "import_short_secret"),
        (f"otpauth://totp/x?secret={TEXT}&x={'y' * 4096}", "import_too_long"),
        ("otpauth-migration://offline?data=AAAA", "import_damaged"),
    ],
)
def test_a_mistake_is_one_sentence_and_nothing_of_what_was_pasted(
    visit: Visit, pasted: str, id: str, language: str
) -> None:
    visit.step_up()
    reply = visit.ask("POST", AT, language=language, pasted=pasted)
    assert (reply.status, reply.page, set(reply.values)) == (
        400,
        "factor_import",
        {"session", "errors", "wait"},
    )
    (error,) = reply.values["errors"]
    assert (error.field, error.id) == ("pasted", id)
    words = SENTENCES if language == "en" else SPANISH
    assert error.text in words.values()
    shows_none(reply)


def test_every_problem_has_a_sentence_in_both_languages() -> None:
    assert set(SPANISH) == set(SENTENCES) and not set(SPANISH.values()) & set(SENTENCES.values())


def test_a_wrong_code_keeps_the_choice_and_a_missing_choice_costs_no_try(m: Factoring, visit: Visit) -> None:
    visit.step_up()
    visit.post(AT, pasted=SEVERAL)
    for chosen in ("", "3", "-1", "x", "²"):
        reply = visit.post(f"{AT}/confirm", entry=chosen, code=code(m, SEED))
        assert (reply.status, reply.values["errors"][0].id) == (400, "import_which")
    for typed in ("", "12345678", code(m, OTHER)):
        reply = visit.post(f"{AT}/confirm", entry="0", code=typed)
        assert (reply.status, reply.page, reply.values["entry"]) == (400, "factor_import_code", 0)
        assert (reply.values["errors"][0].field, reply.values["errors"][0].id) == ("code", "import_code")
        shows_none(reply)
    assert visit.post(f"{AT}/confirm", entry="0", code=code(m, SEED)).page == "recovery_codes"


def test_where_nothing_waits_the_visitor_begins_again(m: Factoring, visit: Visit) -> None:
    visit.step_up()
    visit.post(AT, pasted=PLAIN)
    for _ in range(5):
        visit.post(f"{AT}/confirm", entry="0", code="12345678")
    reply = visit.post(f"{AT}/confirm", entry="0", code=code(m, SEED))
    assert (reply.status, reply.page, reply.values["errors"][0].id) == (400, "factor_import", "begin_again")


def test_one_that_is_on_the_list_is_a_sentence(m: Factoring, visit: Visit) -> None:
    visit.step_up()
    visit.post(AT, pasted=PLAIN)
    visit.post(f"{AT}/confirm", entry="0", code=code(m, SEED))
    m.seeds[m.active(visit.session).account_id] = TEXT
    visit.step_up()
    visit.post(AT, pasted=PLAIN)
    reply = visit.post(f"{AT}/confirm", entry="0", code=code(m, SEED))
    assert (reply.status, reply.values["errors"][0].id) == (400, "import_here")


def test_auz_04_somebody_who_acts_in_the_owner_s_name_imports_nothing(m: Factoring, visit: Visit) -> None:
    m.person("kim")
    theirs, visit.session = m.active(m.open("kim")), m.open()
    owner, sessions = m.active(visit.session), m.portal.sessions
    acting = sessions.impersonate_through(
        DOOR,
        theirs,
        owner.account_id,
        epoch=sessions.epoch(owner.account_id),
        lasting=timedelta(minutes=1),
        source=SOURCE,
    )
    visit.session = acting.token.reveal()
    for ask in (
        lambda: visit.get(AT),
        lambda: visit.post(AT, pasted=PLAIN),
        lambda: visit.post(f"{AT}/confirm", entry="0", code="123456"),
        lambda: visit.post(f"{AT}/confirm", do="drop"),
        lambda: m.factors.waiting_imports(m.active(visit.session), source=SOURCE),
        lambda: m.factors.confirm_import(m.active(visit.session), 0, "123456", source=SOURCE),
        lambda: m.factors.drop_imports(m.active(visit.session)),
    ):
        with pytest.raises(Denied) as caught:
            ask()
        assert caught.value.reason is Reason.IMPERSONATED
