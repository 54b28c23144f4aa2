"""Pages of an account's second keys, without a framework: what each shows, and that a secret is shown once."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from portalsec.account_pages import AccountPages, Asked, Reply
from portalsec.auth._door import DOOR
from portalsec.errors import Denied, Reason
from portalsec.testing.authenticator import SoftAuthenticator
from tests.auth.factoring import Factoring
from tests.auth.mailing import PASSWORD, SOURCE
from tests.auth.world import code_of

MINUTE = timedelta(minutes=1)


class Visit:
    """One browser: it keeps its session, as cookies of answers set it."""

    def __init__(self, m: Factoring) -> None:
        self.m, self.session = m, m.open()
        self.routes = {(r.method, r.path): r.operation for r in AccountPages(m.portal).routes()}

    def ask(self, method: str, address: str, language: str = "en", **form: str) -> Reply:
        parts = urlsplit(address)
        fields = {key: values[0] for key, values in parse_qs(parts.query).items()} | form
        asked = self.asked(form=fields, source=SOURCE, session=self.session, language=language)
        reply = self.routes[method, parts.path](asked)
        for cookie in reply.cookies:
            found = re.match(r"__Host-portalsec=([A-Za-z0-9_-]{43});", cookie)
            if found:
                assert reply.session is not None
                self.session = found[1]
        return reply

    def asked(self, **given: Any) -> Asked:
        return Asked(**given)

    def get(self, address: str, **form: str) -> Reply:
        return self.ask("GET", address, **form)

    def post(self, address: str, **form: str) -> Reply:
        return self.ask("POST", address, **form)

    def step_up(self) -> None:
        active = self.m.active(self.session)
        has = self.m.portal.totp.enrolled(active.account_id)
        self.m.clock.advance(timedelta(seconds=60))
        if has:
            account = self.m.portal.stores.accounts.get(active.account_id)
            new = self.m.portal.step_up.submit_totp(active, self.m.code(account), source=SOURCE)
        else:
            new = self.m.portal.step_up.submit_password(active, PASSWORD, source=SOURCE)
        self.session = new.token.reveal()

    def add(self, label: str = "Phone") -> Reply:
        shown = self.post("/account/factors/totp", label=label)
        seed = str(shown.values["key"]).replace(" ", "")
        account_id = self.m.active(self.session).account_id
        self.m.seeds.setdefault(account_id, seed)
        return self.post("/account/factors/totp/confirm", code=code_of(seed, self.m.clock()))


@pytest.fixture
def m() -> Iterator[Factoring]:
    with Factoring() as made:
        made.person()
        yield made


@pytest.fixture
def visit(m: Factoring) -> Visit:
    return Visit(m)


def test_the_list_needs_a_session_and_no_step_up(m: Factoring, visit: Visit) -> None:
    reply = visit.get("/account/factors")
    assert (reply.page, reply.values["held"], reply.values["codes_left"]) == ("factors", (), 0)
    visit.session = "A" * 43
    with pytest.raises(Denied):
        visit.get("/account/factors")


@pytest.mark.parametrize(
    "address", ["/account/factors/totp", "/account/factors/passkey", "/account/factors/codes"]
)
def test_what_adds_leads_through_a_step_up_and_back(visit: Visit, address: str) -> None:
    reply = visit.get(address)
    assert reply.redirect == f"/account/step-up?next={address}&or=password"
    visit.step_up()
    assert visit.get(address).redirect is None


def test_removing_asks_once_more_after_a_step_up_and_keeps_what_it_is_about(
    m: Factoring, visit: Visit
) -> None:
    visit.step_up()
    visit.add()
    m.clock.advance(6 * MINUTE)  # so long its own proof was enough
    (held,) = visit.get("/account/factors").values["held"]
    reply = visit.get(f"/account/factors?remove={held.id}")
    assert (
        reply.redirect == f"/account/step-up?next=/account/factors%3Fremove%3D{held.id}&or=totp,recovery_code"
    )
    posted = visit.post("/account/factors", do="remove", id=held.id)
    assert posted.redirect == reply.redirect and m.authenticators.of_account(
        m.active(visit.session).account_id
    )
    back = parse_qs(urlsplit(reply.redirect).query)["next"][0]
    visit.step_up()
    assert visit.get(back).values["removing"].id == held.id
    done = visit.post("/account/factors", do="remove", id=held.id)
    assert done.redirect == "/account/factors?done=last"
    assert [cookie.partition(";")[0] for cookie in done.cookies] == ["__Host-portalsec="]
    with pytest.raises(Denied):  # the password stands alone: a sign-in sees how long it is
        visit.get(done.redirect)
    visit.session = m.open()
    shown = visit.get(done.redirect)
    assert shown.values["held"] == () and shown.values["done"] == "last"
    assert [each.id for each in shown.values["removed"]] == [held.id]
    visit.step_up()
    assert (
        visit.post("/account/factors", do="restore", id=held.id).redirect == "/account/factors?done=restored"
    )
    assert [each.id for each in visit.get("/account/factors").values["held"]] == [held.id]


def test_a_seed_is_in_the_answer_to_one_post_and_nowhere_else(m: Factoring, visit: Visit) -> None:
    visit.step_up()
    shown = visit.post("/account/factors/totp", label="Phone")
    seed = str(shown.values["key"]).replace(" ", "")
    assert shown.page == "factor_confirm" and str(shown.values["qr"]).startswith("<svg")
    assert len(seed) == 32 and seed not in repr(shown)
    wrong = visit.post("/account/factors/totp/confirm", code="000000")
    if wrong.page == "factor_confirm":
        assert (wrong.status, wrong.values["key"], wrong.values["qr"]) == (400, "", "")
    for address in ("/account/factors", "/account/factors/totp", "/account/factor", "/account/secure"):
        assert seed not in repr(visit.get(address).values)
    visit.post("/account/factors/totp/confirm", code=code_of(seed, m.clock()))
    for address in ("/account/factors", "/account/factors/totp", "/account/secure"):
        assert seed not in repr(visit.get(address).values)


def test_the_first_one_shows_recovery_codes_once_with_a_file_of_the_same(m: Factoring, visit: Visit) -> None:
    visit.step_up()
    reply = visit.add()
    assert reply.page == "recovery_codes" and reply.redirect is None and len(reply.cookies) == 1
    codes = reply.values["codes"]
    assert len(codes) == 10 and codes[0] not in repr(reply)
    head, _, data = str(reply.values["download"]).partition(",")
    assert head == "data:text/plain;charset=utf-8;base64"
    lines = base64.b64decode(data).decode().splitlines()
    assert lines[2:] == list(codes) and lines[0].startswith("Test Portal, ")
    account = m.active(visit.session).account_id
    assert m.portal.recovery_codes.verify(account, codes[3])
    again = visit.get("/account/factors")
    assert codes[0] not in repr(again.values) and again.values["codes_left"] == 9
    visit.step_up()
    assert visit.add("Tablet").redirect == "/account/factors?done=added"


def test_new_codes_are_made_by_a_post_alone(m: Factoring, visit: Visit) -> None:
    visit.step_up()
    visit.add()
    visit.step_up()
    before = m.portal.stores.recovery_codes.of_account(m.active(visit.session).account_id)
    asked = visit.get("/account/factors/codes")
    assert (asked.page, asked.values["codes_left"]) == ("codes_new", 10)
    assert m.portal.stores.recovery_codes.of_account(m.active(visit.session).account_id) == before
    assert visit.post("/account/factors/codes").page == "recovery_codes"
    m.clock.advance(timedelta(minutes=5))
    away = visit.post("/account/factors/codes").redirect
    assert away == "/account/step-up?next=/account/factors/codes&or=totp,recovery_code"


def test_a_name_that_is_none_is_asked_for_again_in_the_visitor_s_language(visit: Visit) -> None:
    visit.step_up()
    visit.add()
    visit.step_up()
    (held,) = visit.get("/account/factors").values["held"]
    reply = visit.ask("POST", "/account/factors", language="es", do="rename", id=held.id, label=" ")
    assert reply.status == 400 and reply.values["renaming"] == held
    (error,) = reply.values["errors"]
    assert (error.field, error.id) == ("label", "missing_label") and "nombre" in error.text
    assert visit.post("/account/factors", do="rename", id=held.id, label="Blue").redirect.endswith("renamed")
    assert visit.get("/account/factors").values["held"][0].label == "Blue"


@pytest.mark.parametrize("do", ["rename", "remove", "restore"])
def test_an_id_of_nobody_s_is_a_sentence_and_no_error(visit: Visit, do: str) -> None:
    visit.step_up()
    reply = visit.post("/account/factors", do=do, id="no-such", label="x")
    assert (reply.status, reply.page, reply.values["errors"][0].id) == (400, "factors", "no_such_factor")


def test_what_no_form_sends_is_refused(visit: Visit) -> None:
    visit.step_up()
    reply = visit.post("/account/factors", do="everything")
    assert reply.status == 400
    assert visit.get("/account/factors?done=<script>").values["done"] == ""


def test_a_wrong_passkey_is_a_mistake_and_no_missing_session(m: Factoring, visit: Visit) -> None:
    visit.step_up()
    options = visit.post("/account/passkeys/begin").json
    response = SoftAuthenticator().create(options["options"], origin="https://evil.example")
    refused = visit.post("/account/passkeys/add", response=response, label="Key")
    assert (refused.status, refused.cookies) == (400, ()) and refused.json["words"]
    assert visit.get("/account/factors").page == "factors"
    visit.session = "A" * 43
    assert visit.post("/account/passkeys/add", response=response, label="Key").status == 401


def test_a_passkey_is_added_by_the_script(m: Factoring, visit: Visit) -> None:
    visit.step_up()
    assert visit.get("/account/factors/passkey").page == "passkey_new"
    import json

    options = visit.post("/account/passkeys/begin").json
    assert options is not None
    response = SoftAuthenticator().create(json.dumps(options["options"]), origin="https://portal.example")
    done = visit.post(
        "/account/passkeys/add", response=response, label="Key", next="/account/factors?done=added"
    )
    assert done.json == {"go": "/account/factors/codes"}
    # Its proof is in the session: the codes are made without showing it once more, in a page and no script's answer.
    assert visit.get("/account/factors/codes").page == "codes_new"
    made = visit.post("/account/factors/codes")
    assert made.page == "recovery_codes" and len(made.values["codes"]) == 10
    assert visit.m.active(visit.session).factors == ("password", "passkey")
    shown = visit.get("/account/factors?done=added").values
    assert [each.factor for each in shown["held"]] == ["passkey"] and not shown["few_codes"]
    options = visit.post("/account/passkeys/begin").json
    assert options is not None
    response = SoftAuthenticator().create(json.dumps(options["options"]), origin="https://portal.example")
    again = visit.post(
        "/account/passkeys/add", response=response, label="Other", next="/account/factors?done=added"
    )
    assert again.json == {"go": "/account/factors?done=added"}
    assert shown["held"][0].id not in shown["signal"] and "allAcceptedCredentialIds" in shown["signal"]


def test_the_undo_link_s_page_shows_first_and_takes_back_on_a_post(m: Factoring, visit: Visit) -> None:
    visit.step_up()
    visit.add()
    mail = m.mail_of("second step was added")
    token = re.findall(r"/undo\?token=([A-Za-z0-9_-]{43})", mail.text)[0]
    page = visit.get("/undo", token=token)
    assert (page.page, page.values["adds"], page.values["token"]) == ("undo", False, token)
    assert page.headers["Referrer-Policy"] == "no-referrer" and token not in repr(page)
    assert visit.get("/account/factors").values["held"]
    done = visit.post("/undo", token=token)
    assert (done.page, done.values["adds"], done.cookies) == ("undone", False, ())
    for again in (visit.get("/undo", token=token), visit.post("/undo", token=token), visit.get("/undo")):
        assert (again.page, again.status, again.values["what"]) == ("link_dead", 400, "undo")


def test_somebody_who_acts_in_the_owner_s_name_sees_no_keys(m: Factoring, visit: Visit) -> None:
    from dataclasses import replace

    active = m.active(visit.session)
    impersonated = replace(active, record=replace(active.record, impersonator="staff"))
    for work in (m.factors.overview, lambda s: m.factors.distrust(s, "all", source=SOURCE)):
        with pytest.raises(Denied) as caught:
            work(impersonated)
        assert caught.value.reason is Reason.IMPERSONATED


def test_auz_04_somebody_who_acts_in_the_owner_s_name_neither_sees_nor_ends_the_owner_s_sessions(
    m: Factoring, visit: Visit
) -> None:
    m.person("kim")
    theirs, visit.session = m.active(m.open("kim")), m.open()
    owner, sessions = m.active(visit.session), m.portal.sessions
    acting = sessions.impersonate_through(
        DOOR, theirs, owner.account_id, epoch=sessions.epoch(owner.account_id), lasting=MINUTE, source=SOURCE
    )
    kept, visit.session = visit.session, acting.token.reveal()
    for ask in (
        lambda: visit.get("/account/sessions"),
        lambda: visit.post("/account/sessions", session="others"),
        lambda: visit.post("/account/sessions", session=owner.reference),
    ):
        with pytest.raises(Denied) as caught:
            ask()
        assert caught.value.reason is Reason.IMPERSONATED
    assert m.active(kept).reference == owner.reference
    visit.session = kept
    shown = visit.get("/account/sessions").values["sessions"]
    (seen,) = [each.reference for each in shown if each.impersonated]  # the owner sees it, and may end it
    assert visit.post("/account/sessions", session=seen).redirect
    with pytest.raises(Denied):
        m.active(acting.token.reveal())
