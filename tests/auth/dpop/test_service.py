"""Sessions of API clients: bound to a key, each proof taken once, nonces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from portalsec.auth import dpop as module
from portalsec.auth.dpop import Dpop, DpopPolicy, DpopRefused
from portalsec.auth.holder import Holder
from portalsec.auth.proof import Factor, Proof
from portalsec.auth.sessions import ActiveSession, NewSession
from portalsec.crypto.keyset import Keyset
from portalsec.crypto.prf import KeyedHash
from portalsec.errors import ConfigurationError, Denied, Reason, StoreError
from portalsec.events import Event
from portalsec.sqlalchemy import SqlFlows, create_schema, open_engine
from portalsec.stores.memory import MemoryFlows
from portalsec.testing.dpop import DpopClient
from tests.auth.world import PASSWORD, SOURCE, World, session, together

URI = "https://portal.example/api/records"
SECOND = timedelta(seconds=1)


class Api:
    """A world with one account whose sessions an API client holds."""

    def __init__(self, *, flows: Any = None, policy: DpopPolicy | None = None) -> None:
        self.world = World(second_factor="optional")
        self.keys = Keyset.generate("HMAC_SHA256_PRF")
        self.flows = flows or MemoryFlows()
        self.policy = policy or DpopPolicy(nonce=False)
        self.robin = self.world.person(enrolled=False)
        self.dpop = self.made(self.keys)
        self.client = DpopClient(clock=self.world.clock)

    def made(self, keys: Keyset) -> Dpop:
        return Dpop(
            sessions=self.world.sessions,
            flows=self.flows,
            mac=KeyedHash(keys),
            clock=self.world.clock,
            emit=self.world.events,
            policy=self.policy,
        )

    def opened(self) -> NewSession:
        return session(self.world.sign_in.start("robin", PASSWORD, source=SOURCE))

    def bound(self, client: DpopClient | None = None) -> NewSession:
        client = client or self.client
        client.token = None
        proof = self.dpop.read([client.proof("POST", URI)], method="POST", uri=URI, source=SOURCE)
        new = self.dpop.bind(self.opened(), proof, source=SOURCE)
        client.token = new.token.reveal()
        return new

    def use(self, text: str, *, token: str | None = None, **change: Any) -> ActiveSession:
        token = token or self.client.token
        proof = self.dpop.read([text], method="GET", uri=URI, source=SOURCE, token=token)
        holder = self.dpop.holder(proof, source=SOURCE)
        return self.world.sessions.check(token, source=SOURCE, holder=holder, **change)


def refused(call: Callable[[], object]) -> Reason:
    with pytest.raises(Denied) as caught:
        call()
    return caught.value.reason


@pytest.fixture
def api() -> Api:
    return Api()


def test_a_bound_session_goes_with_its_key_alone(api: Api) -> None:
    new = api.bound()
    assert api.world.events.last.name == Event.AUTH_SESSION_BOUND
    assert api.world.events.last.session == new.reference
    active = api.use(api.client.proof("GET", URI))
    assert (active.account_id, active.record.jkt) == (api.robin.id, api.client.thumbprint)
    token, sessions = api.client.token, api.world.sessions
    # As a cookie or a bearer token:
    assert refused(lambda: sessions.check(token, source=SOURCE)) is Reason.DPOP_REFUSED
    assert refused(lambda: sessions.check(token, source=SOURCE, passive=True)) is Reason.DPOP_REFUSED
    assert refused(lambda: sessions.check(token, source=SOURCE, stepping_up=True)) is Reason.DPOP_REFUSED
    assert dict(api.world.events.last.details) == {"check": "bound"}
    # By another key, which proves itself and this token:
    thief = DpopClient(clock=api.world.clock)
    thief.token = token
    assert refused(lambda: api.use(thief.proof("GET", URI))) is Reason.DPOP_REFUSED
    assert dict(api.world.events.last.details) == {"check": "key"}
    assert api.world.events.last.actor.id is None
    assert token is not None and token not in repr(list(api.world.events))
    api.use(api.client.proof("GET", URI))


def test_a_session_of_a_browser_goes_with_no_key(api: Api) -> None:
    api.client.token = api.opened().token.reveal()
    assert refused(lambda: api.use(api.client.proof("GET", URI))) is Reason.DPOP_REFUSED
    assert dict(api.world.events.last.details) == {"check": "unbound"}
    api.world.sessions.check(api.client.token, source=SOURCE)


def test_the_token_of_before_the_binding_is_dead(api: Api) -> None:
    before = api.opened()
    proof = api.dpop.read([api.client.proof("POST", URI)], method="POST", uri=URI, source=SOURCE)
    after = api.dpop.bind(before, proof, source=SOURCE)
    assert before.token.reveal() != after.token.reveal()
    assert (after.account_id, after.absolute_until, after.jkt) == (
        before.account_id,
        before.absolute_until,
        proof.jkt,
    )
    assert (
        refused(lambda: api.world.sessions.check(before.token.reveal(), source=SOURCE))
        is Reason.SESSION_UNKNOWN
    )


def test_a_thief_of_the_token_neither_keeps_it_alive_nor_makes_it_look_strange(api: Api) -> None:
    api.bound()
    before = api.world.sessions.of_account(api.robin.id)
    api.world.clock.advance(timedelta(minutes=5))
    away = replace(SOURCE, address="203.0.113.9", user_agent="another")
    assert refused(lambda: api.world.sessions.check(api.client.token, source=away)) is Reason.DPOP_REFUSED
    proof = api.client.proof("GET", URI)
    api.use(proof)
    moved = api.world.sessions.of_account(api.robin.id)
    api.world.clock.advance(SECOND * 30)
    assert refused(lambda: api.use(proof)) is Reason.DPOP_REFUSED
    assert before != moved
    assert api.world.sessions.of_account(api.robin.id) == moved


def test_a_thief_of_the_token_ends_nothing_with_it(api: Api) -> None:
    api.bound()
    for jkt in (None, "another"):
        api.world.sessions.logout(api.client.token, source=SOURCE, jkt=jkt)
    assert api.world.sessions.of_account(api.robin.id)
    [record] = api.world.sessions.of_account(api.robin.id)
    api.world.sessions.logout(api.client.token, source=SOURCE, jkt=record.jkt)
    assert not api.world.sessions.of_account(api.robin.id)


def test_a_proof_is_taken_once(api: Api) -> None:
    api.bound()
    proof = api.client.proof("GET", URI)
    api.use(proof)
    assert refused(lambda: api.use(proof)) is Reason.DPOP_REFUSED
    assert dict(api.world.events.last.details) == {"check": "jti"}
    # The same name in another proof, signed anew and a second later:
    api.use(api.client.proof("GET", URI, jti="one"))
    api.world.clock.advance(SECOND)
    assert refused(lambda: api.use(api.client.proof("GET", URI, jti="one"))) is Reason.DPOP_REFUSED
    # Another client's names are its own.
    other = DpopClient(clock=api.world.clock)
    api.bound(other)
    api.use(other.proof("GET", URI, jti="one"), token=other.token)


def test_a_used_proof_is_remembered_for_as_long_as_it_would_hold(api: Api) -> None:
    api.bound()
    ahead = int((api.world.clock() + api.policy.skew).timestamp())
    proof = api.client.proof("GET", URI, iat=ahead)
    api.use(proof)
    api.world.clock.advance(api.policy.window + api.policy.skew)
    api.flows.purge(now=api.world.clock())
    assert dict(_last(api, lambda: api.use(proof)).details) == {"check": "jti"}
    api.world.clock.advance(SECOND)
    assert dict(_last(api, lambda: api.use(proof)).details) == {"check": "iat"}
    api.world.clock.advance(api.policy.skew + SECOND)
    assert api.flows.purge(now=api.world.clock()) == 2  # and not longer: the sign-in's and this


def _last(api: Api, call: Callable[[], object]) -> Any:
    assert refused(call) is Reason.DPOP_REFUSED
    return api.world.events.last


def test_nobody_without_a_session_of_the_key_fills_the_store(api: Api) -> None:
    api.bound()
    put: list[object] = []
    api.dpop._flows = type("Flows", (), {"put": lambda self, flow: put.append(flow) or True})()
    stranger = DpopClient(clock=api.world.clock)
    for token in ("A" * 43, api.client.token):
        stranger.token = token
        refused(lambda: api.use(stranger.proof("GET", URI), token=stranger.token))
    assert put == []
    api.world.clock.advance(timedelta(hours=13))
    assert refused(lambda: api.use(api.client.proof("GET", URI))) is Reason.SESSION_EXPIRED
    assert put == []


def test_5_1_g_both_limits_hold_for_a_bound_session(api: Api) -> None:
    api.bound()
    limits, opened = api.world.sessions.policy, api.world.clock()
    while api.world.clock() + limits.idle < opened + limits.absolute:
        api.world.clock.advance(limits.idle - SECOND)
        api.use(api.client.proof("GET", URI))
    api.world.clock.set(opened + limits.absolute)
    assert refused(lambda: api.use(api.client.proof("GET", URI))) is Reason.SESSION_EXPIRED
    api.bound()
    api.world.clock.advance(limits.idle)
    assert refused(lambda: api.use(api.client.proof("GET", URI))) is Reason.SESSION_IDLE


def test_what_ends_an_account_frees_no_used_proof(api: Api) -> None:
    api.bound()
    used = len(api.flows._flows)
    api.flows.drop_account(api.robin.id)
    assert len(api.flows._flows) == used == 1


@contextmanager
def _memory(path: Path) -> Iterator[Any]:
    yield MemoryFlows()


@contextmanager
def _sqlite(path: Path) -> Iterator[Any]:
    engine = open_engine(f"sqlite:///{path / 'flows.db'}")
    try:
        create_schema(engine, "security")
        yield SqlFlows(engine)
    finally:
        engine.dispose()


@pytest.mark.parametrize("opened", [_memory, _sqlite], ids=["memory", "sqlite"])
def test_of_fifty_bindings_with_one_proof_one_leaves_a_session(
    opened: Callable[[Path], Any], tmp_path: Path
) -> None:
    with opened(tmp_path) as flows:
        api = Api(flows=flows)
        proof = api.dpop.read([api.client.proof("POST", URI)], method="POST", uri=URI, source=SOURCE)
        new = [api.opened() for _ in range(8)]

        def one(number: int) -> bool:
            try:
                api.dpop.bind(new[number % 8], proof, source=SOURCE)
            except Denied:
                return False
            return True

        assert sum(together(50, one)) <= 1
        assert {record.jkt for record in api.world.sessions.of_account(api.robin.id)} <= {proof.jkt}


def test_what_could_not_be_bound_is_no_session(api: Api) -> None:
    proof = api.dpop.read([api.client.proof("POST", URI)], method="POST", uri=URI, source=SOURCE)
    api.dpop.bind(api.opened(), proof, source=SOURCE)
    # Its proof was used:
    again = api.opened()
    assert refused(lambda: api.dpop.bind(again, proof, source=SOURCE)) is Reason.DPOP_REFUSED
    # It is bound already:
    fresh = api.dpop.read([api.client.proof("POST", URI)], method="POST", uri=URI, source=SOURCE)
    bound = api.bound()
    assert refused(lambda: api.dpop.bind(bound, fresh, source=SOURCE)) is Reason.SESSION_UNKNOWN
    # It cannot be recorded:
    for verb in ("events", "flows"):
        unlucky, other = api.opened(), DpopClient(clock=api.world.clock)
        fresh = api.dpop.read([other.proof("POST", URI)], method="POST", uri=URI, source=SOURCE)
        with pytest.MonkeyPatch.context() as patch:
            if verb == "events":
                patch.setattr(api.world.sessions, "_emit", _fails)
            else:
                patch.setattr(api.dpop, "_flows", type("Flows", (), {"put": _fails})())
            with pytest.raises(StoreError):
                api.dpop.bind(unlucky, fresh, source=SOURCE)
    assert len(api.world.sessions.of_account(api.robin.id)) == 1


def _fails(*_: object) -> None:
    raise StoreError("down")


def test_a_session_is_bound_by_auth_alone(api: Api) -> None:
    with pytest.raises(TypeError, match="sign in through SignIn"):
        api.world.sessions.bind_through(object(), api.opened(), "x", source=SOURCE)


def test_the_binding_stays_under_every_later_id(api: Api) -> None:
    from portalsec.auth._door import DOOR

    api.bound()
    active = api.use(api.client.proof("GET", URI))
    shown = Proof(factor=Factor.TOTP, at=api.world.clock(), authenticator="one")
    stepped = api.world.sessions.rotate_through(DOOR, active, proofs=[shown], source=SOURCE)
    assert stepped.jkt == api.client.thumbprint
    api.client.token = stepped.token.reveal()
    again = api.use(api.client.proof("GET", URI))
    kept = api.world.sessions.end_others(api.robin.id, keep=again.digest, source=SOURCE, actor=again.actor)
    assert kept is not None
    assert (
        refused(lambda: api.world.sessions.check(kept.token.reveal(), source=SOURCE)) is Reason.DPOP_REFUSED
    )
    api.client.token = kept.token.reveal()
    staff = api.use(api.client.proof("GET", URI))
    acting = api.world.sessions.impersonate_through(
        DOOR,
        staff,
        api.robin.id,
        epoch=api.world.sessions.epoch(api.robin.id),
        lasting=SECOND * 60,
        source=SOURCE,
    )
    assert acting.jkt == api.client.thumbprint


def test_a_factor_that_is_set_up_in_a_bound_session_leaves_it_bound(api: Api) -> None:
    from portalsec.auth.evidence import mint

    new = api.bound()
    proven = mint(
        Proof(factor=Factor.TOTP, at=api.world.clock(), authenticator="one"),
        api.robin.id,
        epoch=api.world.sessions.epoch(api.robin.id),
    )
    stepped = api.world.step_up.by_new_factor(new, proven, source=SOURCE)
    api.client.token = stepped.token.reveal()
    assert api.use(api.client.proof("GET", URI)).factors == ("password", "totp")


def test_no_single_factor_resumes_a_bound_session(api: Api) -> None:
    api.bound()
    api.world.clock.advance(timedelta(minutes=20))
    resumed = refused(lambda: api.world.sessions.resumable(api.client.token, source=SOURCE))
    assert resumed is Reason.SESSION_IDLE
    assert api.world.sessions.of_account(api.robin.id) == ()


# -- nonces ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def fresh() -> Api:
    return Api(policy=DpopPolicy())


def _error(call: Callable[[], object]) -> str:
    with pytest.raises(DpopRefused) as caught:
        call()
    return caught.value.error


def test_a_proof_holds_a_nonce_of_ours(fresh: Api) -> None:
    client = fresh.client
    before = len(fresh.world.events.names)
    for wrong in (
        None,
        "",
        "x",
        "A" * 32,
        fresh.made(Keyset.generate("HMAC_SHA256_PRF")).nonce(),
        fresh.dpop.nonce() + "A",
    ):
        client.nonce = wrong
        assert _error(lambda: fresh.bound()) == "use_dpop_nonce"
    assert len(fresh.world.events.names) == before  # asked for one, as every client is at first
    client.nonce = fresh.dpop.nonce()
    fresh.bound()
    fresh.use(client.proof("GET", URI))
    fresh.use(client.proof("GET", URI))
    # A proof that is wrong in other ways is told so, whatever its nonce.
    assert _error(lambda: fresh.use(client.proof("POST", URI, nonce=None))) == "invalid_dpop_proof"


def test_a_nonce_is_good_for_its_time_and_not_before(fresh: Api) -> None:
    client = fresh.client
    client.nonce = fresh.dpop.nonce()
    fresh.bound()
    fresh.world.clock.advance(timedelta(minutes=5) - SECOND)
    fresh.use(client.proof("GET", URI))
    fresh.world.clock.advance(SECOND)
    assert _error(lambda: fresh.use(client.proof("GET", URI))) == "use_dpop_nonce"
    client.nonce = fresh.dpop.nonce()
    fresh.world.clock.advance(-timedelta(seconds=5))
    fresh.use(client.proof("GET", URI))
    fresh.world.clock.advance(-SECOND)
    assert _error(lambda: fresh.use(client.proof("GET", URI))) == "use_dpop_nonce"


def test_a_nonce_of_a_key_before_the_rotation_is_good(fresh: Api) -> None:
    fresh.client.nonce = fresh.dpop.nonce()
    newer = fresh.keys.add("HMAC_SHA256_PRF")
    newer = newer.promote(newer.info()[-1].id)
    fresh.dpop = fresh.made(newer)
    fresh.bound()


def test_a_new_nonce_comes_before_the_old_one_ends(fresh: Api) -> None:
    fresh.client.nonce = fresh.dpop.nonce()
    proof = fresh.dpop.read([fresh.client.proof("GET", URI)], method="GET", uri=URI, source=SOURCE)
    assert fresh.dpop.next_nonce(proof) is None
    fresh.world.clock.advance(timedelta(minutes=3))
    newer = fresh.dpop.next_nonce(proof)
    assert newer is not None and newer != fresh.client.nonce
    without = replace(fresh.policy, nonce=False)
    fresh.dpop.policy = without
    assert fresh.dpop.next_nonce(proof) is None


@pytest.mark.parametrize(
    "change",
    [
        {"window": timedelta(0)},
        {"window": timedelta(minutes=6)},
        {"skew": timedelta(seconds=60)},
        {"skew": -SECOND},
        {"nonce_lifetime": timedelta(milliseconds=999)},
        {"nonce_lifetime": timedelta(hours=2)},
    ],
    ids=range(6),
)
def test_a_policy_that_exists_is_valid(change: dict[str, timedelta]) -> None:
    with pytest.raises(ConfigurationError, match="DpopPolicy"):
        DpopPolicy(**change)


def test_a_holder_shows_nothing_of_the_proof() -> None:
    assert repr(Holder("jkt", spend=lambda: None)) == "Holder(jkt='jkt')"
    assert set(module.__all__) >= {"Dpop", "DpopPolicy", "DpopRefused"}
