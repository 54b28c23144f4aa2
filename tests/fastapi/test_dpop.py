"""API clients over FastAPI: a sign-in that binds, and requests that a thief of the token cannot make."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Any

import pytest
from fastapi import Body, Depends
from starlette.requests import Request

from portalsec.auth.dpop import DpopPolicy, DpopProof
from portalsec.auth.sessions import ActiveSession
from portalsec.errors import ConfigurationError, Denied, Reason
from portalsec.events import Event, Purpose, Source
from portalsec.fastapi.dpop import DpopClients
from portalsec.guard import Access
from portalsec.rbac.model import Resource
from portalsec.testing.dpop import DpopClient
from portalsec.web import SESSION_COOKIE
from tests.fastapi.asgi import Answer
from tests.fastapi.support import BASE, PASSWORD, Site, make_site, record_of_path

ME = f"{BASE}/api/me"
ALGS = 'DPoP algs="ES256 Ed25519 EdDSA RS256"'


def _routes(site: Site, policy: DpopPolicy | None = None) -> None:
    api, portal, ps = DpopClients(site.ps, policy=policy), site.portal, site.ps

    async def sign_in(request: Request, proof: DpopProof, sent: dict[str, str]) -> dict[str, object]:
        source = ps.source(request)

        def operation() -> dict[str, object]:
            with api.refusals():
                if "pending" in sent:
                    step = portal.sign_in.submit_totp(sent["pending"], sent["code"], source=source)
                else:
                    step = portal.sign_in.start(sent["login"], sent["password"], source=source)
                if step.session is None:
                    assert step.pending is not None
                    return {"next": step.next, "pending": step.pending.reveal()}
                return api.granted(api.bind(request, step.session, proof))

        return await ps.lanes.offload(operation)

    sign_in.__annotations__ = {
        "request": Request,
        "proof": Annotated[DpopProof, Depends(api.proof)],
        "sent": Annotated[dict[str, str], Body()],
    }
    site.app.post("/api/sign-in")(sign_in)

    def me(session: ActiveSession) -> dict[str, str]:
        return {"account": session.account_id}

    me.__annotations__ = {"session": Annotated[ActiveSession, Depends(api.session)]}
    site.app.get("/api/me")(me)
    site.app.post("/api/me")(me)

    def record(patient_id: str, access: Access) -> dict[str, str]:
        return {"record": patient_id}

    record.__annotations__ = {
        "patient_id": str,
        "access": Annotated[
            Access, Depends(api.require("record:read", resource=record_of_path, purpose=Purpose.TREAT))
        ],
    }
    site.app.get("/api/records/{patient_id}")(record)

    site.app.post("/api/sign-out", dependencies=[Depends(api.sign_out)])(lambda: {"signed": "out"})

    release = api.require_factor("totp", within=timedelta(minutes=5))
    site.app.post("/api/release", dependencies=[Depends(release)])(lambda: {"released": True})

    async def step_up(request: Request, session: ActiveSession, code: str) -> dict[str, object]:
        source = ps.source(request)
        return await ps.lanes.offload(
            lambda: api.granted(portal.step_up.submit_totp(session, code, source=source))
        )

    step_up.__annotations__ = {
        "request": Request,
        "session": Annotated[ActiveSession, Depends(api.stepping_up)],
        "code": Annotated[str, Body(embed=True)],
    }
    site.app.post("/api/step-up")(step_up)


class App:
    """An app on a telephone: a key, a token, and no cookies."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.key = DpopClient(clock=site.clock)
        self._wire = site.client()

    def move(self, address: str) -> None:
        self._wire = self.site.client(address=address)

    def send(self, method: str, path: str, sent: object = None, **options: Any) -> Answer:
        headers = options.pop("headers", None)
        if headers is None:
            headers = list(self.key.headers(method, BASE + path).items())
        if sent is not None:
            headers = [*headers, ("content-type", "application/json")]
            options["content"] = json.dumps(sent).encode()
        answer: Answer = self._wire.request(method, path, headers=headers, **options)
        self.key.nonce = answer.headers.get("dpop-nonce", self.key.nonce)
        return answer

    def sign_in(self, login: str = "robin") -> None:
        if self.key.nonce is None:
            assert self.send("POST", "/api/sign-in", {}).status_code == 401
        first = self.send("POST", "/api/sign-in", {"login": login, "password": PASSWORD})
        assert first.status_code == 200, first.text
        pending = json.loads(first.text)["pending"]
        second = self.send("POST", "/api/sign-in", {"pending": pending, "code": self.site.code(login)})
        assert second.status_code == 200, second.text
        granted = json.loads(second.text)
        assert (granted["token_type"], granted["expires_in"]) == ("DPoP", 12 * 3600)
        self.key.token = granted["access_token"]
        self.site.next_step()


@pytest.fixture
def site() -> Iterator[Site]:
    with make_site() as made:
        _routes(made)
        made.account("robin", "clinician")
        yield made


@pytest.fixture
def app(site: Site) -> App:
    app = App(site)
    app.sign_in()
    return app


def error(answer: Answer) -> str:
    assert answer.status_code == 401
    assert json.loads(answer.text) == {"detail": "The request was refused."}
    told = answer.headers["www-authenticate"]
    assert told.startswith(ALGS)
    return told.removeprefix(ALGS).removeprefix(', error="').removesuffix('"')


def test_a_client_signs_in_and_is_known_by_its_key(app: App) -> None:
    for _ in range(2):
        answer = app.send("GET", "/api/me")
        assert answer.status_code == 200, answer.text
    assert "set-cookie" not in answer.headers
    assert answer.headers["cache-control"] == "no-store"
    assert app.send("GET", "/api/me?page=2").status_code == 200
    assert app.send("POST", "/api/me").status_code == 200  # no page's form: no value of one is asked for
    assert Event.AUTH_SESSION_BOUND in app.site.events.names


def test_a_client_is_asked_for_a_nonce_before_its_password_is_looked_at(site: Site) -> None:
    app = App(site)
    asked = app.send("POST", "/api/sign-in", {"login": "robin", "password": "wrong"})
    assert error(asked) == "use_dpop_nonce"
    assert app.key.nonce is not None
    assert Event.AUTH_LOGIN_FAILED not in site.events.names
    wrong = app.send("POST", "/api/sign-in", {"login": "robin", "password": "wrong"})
    assert error(wrong) == ""
    assert Event.AUTH_LOGIN_FAILED in site.events.names


def test_no_proof_no_sign_in(site: Site) -> None:
    app = App(site)
    sent = {"login": "robin", "password": PASSWORD}
    assert error(app.send("POST", "/api/sign-in", sent, headers=[("dpop", "x")])) == "invalid_dpop_proof"
    # Without the header it is what any other site's page could send.
    assert app.send("POST", "/api/sign-in", sent, headers=[]).status_code == 403
    assert site.events.last.reason is Reason.CROSS_SITE


@pytest.mark.parametrize("key", ["another", "none"])
def test_a_sign_in_that_was_begun_under_a_key_ends_under_no_other(site: Site, key: str) -> None:
    app, thief = App(site), App(site)
    for each in (app, thief):
        assert error(each.send("POST", "/api/sign-in", {})) == "use_dpop_nonce"
    first = app.send("POST", "/api/sign-in", {"login": "robin", "password": PASSWORD})
    sent = {"pending": json.loads(first.text)["pending"], "code": site.code("robin")}
    if key == "another":
        assert error(thief.send("POST", "/api/sign-in", sent)) == "invalid_token"
    else:  # on a page of the portal's own, in a browser
        with pytest.raises(Denied) as caught:
            site.portal.sign_in.submit_totp(sent["pending"], sent["code"], source=Source())
        assert caught.value.reason is Reason.DPOP_REFUSED
    assert site.events.last.reason is Reason.DPOP_REFUSED
    # Nor does it go on for its client, who begins anew.
    assert error(app.send("POST", "/api/sign-in", sent)) == ""
    app.sign_in()
    assert app.send("GET", "/api/me").status_code == 200


def test_hostile_proofs_open_nothing(app: App) -> None:
    token = f"DPoP {app.key.token}"
    for name, proof in app.key.hostile("GET", ME).items():
        answer = app.send("GET", "/api/me", headers=[("dpop", proof), ("authorization", token)])
        wanted = "use_dpop_nonce" if name == "a nonce of its own" else "invalid_dpop_proof"
        assert error(answer) == wanted, name
        assert app.key.nonce is not None
    assert app.send("GET", "/api/me").status_code == 200


def test_a_proof_is_taken_once(app: App) -> None:
    headers = list(app.key.headers("GET", ME).items())
    assert app.send("GET", "/api/me", headers=headers).status_code == 200
    assert error(app.send("GET", "/api/me", headers=headers)) == "invalid_dpop_proof"


def test_headers_come_once(app: App) -> None:
    proof, token = app.key.proof("GET", ME), f"DPoP {app.key.token}"
    for headers in (
        [("dpop", proof), ("dpop", proof), ("authorization", token)],
        [("dpop", app.key.proof("GET", ME) + ", x"), ("authorization", token)],
        [("authorization", token)],
    ):
        assert error(app.send("GET", "/api/me", headers=headers)) == "invalid_dpop_proof"
    twice = app.send(
        "GET", "/api/me", headers=[("dpop", proof), ("authorization", token), ("authorization", token)]
    )
    assert twice.status_code == 400
    # The scheme's name is in any case (RFC 9110 section 11.1); the proof was not taken by what was refused before.
    assert (
        app.send(
            "GET", "/api/me", headers=[("dpop", proof), ("authorization", f"dpop {app.key.token}")]
        ).status_code
        == 200
    )


def test_a_bound_token_is_no_bearer_token_and_no_cookie(app: App) -> None:
    token, proof = app.key.token, app.key.proof("GET", ME)
    assert error(app.send("GET", "/api/me", headers=[("authorization", f"Bearer {token}")])) == ""
    assert (
        error(app.send("GET", "/api/me", headers=[("authorization", f"Bearer {token}"), ("dpop", proof)]))
        == ""
    )
    assert error(app.send("GET", "/api/me", headers=[("cookie", f"{SESSION_COOKIE}={token}")])) == ""
    for path in ("/whoami", "/maybe"):
        as_cookie = app.send("GET", path, headers=[("cookie", f"{SESSION_COOKIE}={token}"), ("dpop", proof)])
        assert (as_cookie.status_code, as_cookie.text.startswith("refused 401")) == (401, True)
        assert app.site.events.last.reason is Reason.DPOP_REFUSED
    assert app.send("GET", "/api/me").status_code == 200


def test_a_browsers_session_is_no_token(site: Site) -> None:
    browser = site.client()
    site.sign_in(browser, "robin")
    app = App(site)
    app.key.token = browser.cookies[SESSION_COOKIE]
    assert error(app.send("GET", "/api/me")) == "use_dpop_nonce"
    assert error(app.send("GET", "/api/me")) == "invalid_token"
    # Beside its cookie, neither header changes anything.
    headers = [
        *app.key.headers("GET", f"{BASE}/whoami").items(),
        ("cookie", f"{SESSION_COOKIE}={app.key.token}"),
    ]
    assert app.send("GET", "/whoami", headers=headers).status_code == 200


def test_a_client_signs_out_and_a_thief_of_its_token_cannot(app: App) -> None:
    thief = DpopClient(clock=app.site.clock)
    thief.token, thief.nonce = app.key.token, app.key.nonce
    stolen = list(thief.headers("POST", f"{BASE}/api/sign-out").items())
    assert error(app.send("POST", "/api/sign-out", headers=stolen)) == "invalid_token"
    cookie = [("cookie", f"{SESSION_COOKIE}={app.key.token}"), ("sec-fetch-site", "same-origin")]
    app.send("POST", "/sign-out", headers=cookie)
    assert app.send("GET", "/api/me").status_code == 200, "as a cookie it ends nothing either"
    app.move("203.0.113.9")  # a strange session may end, too
    assert app.send("POST", "/api/sign-out").status_code == 200
    assert app.site.events.last.name == Event.AUTH_LOGOUT
    assert error(app.send("GET", "/api/me")) == "invalid_token"


def test_another_clients_key_opens_nothing(app: App) -> None:
    thief = DpopClient(clock=app.site.clock)
    thief.token, thief.nonce = app.key.token, app.key.nonce
    assert (
        error(app.send("GET", "/api/me", headers=list(thief.headers("GET", ME).items()))) == "invalid_token"
    )
    for unknown in ("A" * 43, "short", ""):
        thief.token = unknown
        assert (
            error(app.send("GET", "/api/me", headers=list(thief.headers("GET", ME).items())))
            == "invalid_token"
        )


def test_a_page_of_another_site_is_no_client(app: App) -> None:
    mine = list(app.key.headers("POST", ME).items())
    for header in (("origin", "https://evil.example"), ("sec-fetch-site", "cross-site"), ("cookie", "a=b")):
        assert app.send("POST", "/api/me", headers=[*mine, header]).status_code == 403
    # Its own pages are.
    assert app.send("POST", "/api/me", headers=[*mine, ("sec-fetch-site", "same-origin")]).status_code == 200


def test_decisions_are_those_of_the_policy(app: App, site: Site) -> None:
    refused = app.send("GET", "/api/records/p1")
    assert (refused.status_code, "www-authenticate" in refused.headers) == (403, False)
    robin = json.loads(app.send("GET", "/api/me").text)["account"]
    site.relations.facts.add(("care_team", robin, "p1"))
    answer = app.send("GET", "/api/records/p1")
    assert (answer.status_code, json.loads(answer.text)) == (200, {"record": "p1"})
    assert site.events.last.name == Event.RECORD_READ
    assert (
        app.send("GET", "/api/./records/%701").status_code == 404
    )  # as it was sent, and the route's own reading


def test_head_is_a_method_of_its_own(app: App) -> None:
    assert app.send("HEAD", "/api/me").status_code == 200
    headers = list(app.key.headers("GET", ME).items())
    assert app.send("HEAD", "/api/me", headers=headers).status_code == 401


def test_a_new_nonce_comes_before_the_old_one_ends(app: App) -> None:
    before = app.key.nonce
    assert "dpop-nonce" not in app.send("GET", "/api/me").headers
    app.site.clock.advance(timedelta(minutes=3))
    assert app.send("GET", "/api/me").status_code == 200
    assert app.key.nonce != before
    app.site.clock.advance(timedelta(minutes=4))
    assert app.send("GET", "/api/me").status_code == 200


def test_an_ended_session_says_so(app: App) -> None:
    app.site.clock.advance(timedelta(minutes=5))
    assert error(app.send("GET", "/api/me")) == "use_dpop_nonce"
    app.site.clock.advance(timedelta(minutes=11))
    app.send("GET", "/api/me")
    assert error(app.send("GET", "/api/me")) == "invalid_token"


def test_a_strange_session_steps_up_and_stays_bound(app: App) -> None:
    app.move("203.0.113.9")
    assert error(app.send("GET", "/api/me")) == "insufficient_user_authentication"
    stepped = app.send("POST", "/api/step-up", {"code": app.site.code("robin")})
    assert stepped.status_code == 200, stepped.text
    app.key.token = json.loads(stepped.text)["access_token"]
    assert app.send("GET", "/api/me").status_code == 200
    cookie = [("cookie", f"{SESSION_COOKIE}={app.key.token}")]
    assert app.send("GET", "/whoami", headers=cookie).status_code == 401


def test_what_asks_for_a_factor_again_waits_for_a_step_up(app: App) -> None:
    assert error(app.send("POST", "/api/release")) == "insufficient_user_authentication"
    assert app.send("GET", "/api/me").status_code == 200
    app.site.clock.advance(timedelta(seconds=30))
    stepped = app.send("POST", "/api/step-up", {"code": app.site.code("robin")})
    app.key.token = json.loads(stepped.text)["access_token"]
    assert app.send("POST", "/api/release").status_code == 200
    app.site.clock.advance(timedelta(minutes=4, seconds=59))
    asked = app.send("POST", "/api/release")  # by now for another nonce
    assert (app.send("POST", "/api/release") if asked.status_code == 401 else asked).status_code == 200
    app.site.clock.advance(timedelta(seconds=1))
    assert error(app.send("POST", "/api/release")) == "insufficient_user_authentication"


def test_a_factor_that_nobody_could_show_is_found_at_once(site: Site) -> None:
    with pytest.raises(ConfigurationError, match="require_factor"):
        DpopClients(site.ps).require_factor("fingerprint", within=timedelta(minutes=5))


@pytest.mark.parametrize("how", ["session", "passive session", "require", "passive require"])
def test_ses_05_what_a_client_asks_in_the_background_keeps_no_session_alive(
    site: Site, app: App, how: str
) -> None:
    robin = json.loads(app.send("GET", "/api/me").text)["account"]
    site.relations.facts.add(("care_team", robin, "p1"))
    clients, passive = DpopClients(site.ps), how.startswith("passive")
    asked: Any = clients.passive_session if passive else clients.session
    if how.endswith("require"):
        target = Resource(type="record", id="p1", attributes={"patient_id": "p1"})
        asked = clients.require("record:read", resource=target, purpose=Purpose.TREAT, passive=passive)
    site.app.get("/api/poll", dependencies=[Depends(asked)])(lambda: {"new": 0})
    for _ in range(3):
        site.clock.advance(site.portal.policies.sessions.idle * 0.4)
        answer = app.send("GET", "/api/poll")
        if answer.status_code == 401 and error(answer) == "use_dpop_nonce":
            answer = app.send("GET", "/api/poll")
    assert answer.status_code == (401 if passive else 200)
