from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalsec.audit.record import MAX_BYTES, MAX_SUBJECTS, AddressPolicy, decode, encode
from portalsec.errors import ConfigurationError, Reason, Tampered
from portalsec.events import Actor, Event, Outcome, Purpose, ResourceRef, SecurityEvent, Source, Vocabulary
from portalsec.secret import Secret
from tests.audit.support import VAULT, read_event, sign_in_event

AT = datetime(2026, 3, 2, 9, 0, 0, 42, tzinfo=UTC)


def line(event: SecurityEvent, **changes: Any) -> bytes:
    parts: dict[str, Any] = {"id": "id-1", "at": AT, "vocabulary": Vocabulary(), "pseudonym": VAULT.pseudonym}
    return encode(event, **(parts | changes))


def test_a_record_read_is_this_line() -> None:
    """The format is a promise: old lines must be readable for as long as they must be kept."""
    expected = (
        '{"v":1,"id":"id-1","t":"2026-03-02T09:00:00.000042Z","act":"record.read","out":"success",'
        '"who":{"type":"user","id":"account-7","role":"clinician"},'
        f'"subj":["{VAULT.pseudonym("patient-1")}"],'
        '"res":{"type":"record","id":"record-of-patient-1"},"why":{"use":"TREAT"},'
        '"src":{"ip":"192.0.2.0/24","ua":"54a43dcdecb4e614"},"req":"req-1",'
        '"rule":{"id":"clinician-reads-own","ver":"3"},"sess":"5e55"}'
    )
    assert line(read_event()).decode() == expected


def test_every_field_comes_back() -> None:
    event = read_event(
        outcome=Outcome.DENIED,
        reason=Reason.NO_GRANT,
        actor=Actor(type="patient", id="a", role="proxy", on_behalf_of="patient-9"),
        resource=ResourceRef(type="lab", id="lab-3", count=4),
        changed=("phone", "address.city"),
        details={"days": 3, "urgent": True, "note": "x", "none": None},
    )
    record = decode(line(event))
    assert record.id == "id-1"
    assert record.at == AT
    assert (record.name, record.outcome) == ("record.read", Outcome.DENIED)
    assert record.actor == Actor(
        type="patient", id="a", role="proxy", on_behalf_of=VAULT.pseudonym("patient-9")
    )
    assert record.subjects == (VAULT.pseudonym("patient-1"),)
    assert record.resource == ResourceRef(type="lab", id="lab-3", count=4)
    assert (record.purpose, record.reason) == ("TREAT", "no_grant")
    assert (record.address, record.request_id, record.session) == ("192.0.2.0/24", "req-1", "5e55")
    assert (record.rule, record.policy_version) == ("clinician-reads-own", "3")
    assert record.changed == ("phone", "address.city")
    assert record.details == {"days": 3, "urgent": True, "note": "x", "none": None}


def test_the_least_event_comes_back() -> None:
    record = decode(line(SecurityEvent(name=Event.SYSTEM_STARTED)))
    assert record.actor == Actor()
    assert record.resource is record.purpose is record.reason is record.address is record.rule is None
    assert record.subjects == record.changed == ()
    assert record.details == {}


texts = st.text(max_size=300)


@given(
    st.builds(
        SecurityEvent,
        name=st.sampled_from([Event.ACCESS_DENIED, Event.AUTH_LOGIN_FAILED]),
        outcome=st.sampled_from([Outcome.DENIED, Outcome.FAILURE, Outcome.ERROR]),
        actor=st.builds(Actor, type=st.sampled_from(["user", "service"]), id=texts, role=texts),
        subjects=st.lists(st.text(min_size=1), max_size=5).map(tuple),
        resource=st.builds(ResourceRef, type=st.text(min_size=1), id=texts, count=st.integers(0, 10**9)),
        reason=st.sampled_from(Reason),
        source=st.builds(Source, address=texts, user_agent=texts, request_id=texts),
        rule=texts,
        session=texts,
        details=st.dictionaries(
            st.from_regex(r"[a-z][a-z_]{0,8}", fullmatch=True),
            texts | st.integers() | st.booleans(),
            max_size=12,
        ),
    )
)
def test_any_text_makes_one_printable_line_that_reads_back(event: SecurityEvent) -> None:
    body = line(event)
    assert all(0x20 <= byte <= 0x7E for byte in body)
    assert len(body) <= MAX_BYTES
    record = decode(body)
    assert record.name == event.name
    assert record.subjects == tuple(VAULT.pseudonym(s) for s in dict.fromkeys(event.subjects))


@pytest.mark.parametrize("filler", ["a", "é", "\U0001f600", "\x00", "\u202e", '"', "\\"])
def test_atk_39_visitors_cannot_make_a_record_too_long(filler: str) -> None:
    """A refusal for length would be a way to act unrecorded, or to fail every request of others."""
    long = filler * 1_000_000
    event = SecurityEvent(
        name=Event.RECORD_LISTED,
        subjects=tuple(f"patient-{n}" for n in range(MAX_SUBJECTS)),
        purpose=Purpose.TREAT,
        actor=Actor(type="user", id=long, role=long),
        resource=ResourceRef(type=long, id=long, count=256),
        source=Source(address=long, user_agent=long, request_id=long),
        rule=long,
        policy_version=long,
        session=long,
        details={f"d{n}": long for n in range(12)},
    )
    body = line(event, id="0" * 36)
    assert len(body) <= MAX_BYTES
    assert decode(body).address == "unreadable"


def test_two_long_ids_stay_two() -> None:
    def id_of(tail: str) -> str | None:
        event = SecurityEvent(
            name=Event.ACCESS_DENIED, resource=ResourceRef(type="record", id="r" * 5000 + tail)
        )
        resource = decode(line(event)).resource
        return resource.id if resource else None

    assert id_of("1") != id_of("2")
    assert len(id_of("1") or "") <= 200


def test_a_subjects_id_never_stands_beside_its_pseudonym() -> None:
    event = read_event(
        "patient-1",
        resource=ResourceRef(type="patient", id="patient-1"),
        actor=Actor(type="patient", id="account-9", on_behalf_of="patient-1"),
    )
    body = line(event)
    assert b"patient-1" not in body
    record = decode(body)
    assert record.resource is not None
    assert record.resource.id == record.subjects[0] == record.actor.on_behalf_of


@pytest.mark.parametrize(
    ("address", "policy", "expected"),
    [
        ("192.0.2.17", AddressPolicy.NETWORK, "192.0.2.0/24"),
        ("192.0.2.17", AddressPolicy.FULL, "192.0.2.17"),
        ("192.0.2.17", AddressPolicy.NONE, None),
        ("::ffff:192.0.2.17", AddressPolicy.NETWORK, "192.0.2.0/24"),
        ("2001:db8:1:2::3", AddressPolicy.NETWORK, "2001:db8:1::/48"),
        ("fe80::1%eth0\r\nx", AddressPolicy.FULL, "fe80::1"),
        ("192.0.2.17\r\nadmin", AddressPolicy.FULL, "unreadable"),
        (None, AddressPolicy.FULL, None),
    ],
)
def test_addresses(address: str | None, policy: AddressPolicy, expected: str | None) -> None:
    event = SecurityEvent(name=Event.AUTH_LOGIN, source=Source(address=address))
    assert decode(line(event, address=policy)).address == expected


def test_the_user_agent_is_a_hash() -> None:
    event = SecurityEvent(name=Event.AUTH_LOGIN, source=Source(user_agent="Browser/1.0 (secret)"))
    body = line(event)
    assert b"Browser" not in body
    assert len(decode(body).user_agent or "") == 16


@pytest.mark.parametrize("name", ["record.read", "record.listed", "record.updated", "record.exported"])
def test_a_successful_access_names_whose_and_why(name: str) -> None:
    with pytest.raises(ConfigurationError, match="subjects"):
        line(SecurityEvent(name=name, purpose=Purpose.TREAT))
    with pytest.raises(ConfigurationError, match="purpose"):
        line(SecurityEvent(name=name, subjects=("p",)))
    line(SecurityEvent(name=name, subjects=("p",), purpose=Purpose.TREAT))
    line(SecurityEvent(name=name, outcome=Outcome.DENIED))  # a refusal may know neither


def test_an_empty_list_showed_nobody() -> None:
    line(
        SecurityEvent(
            name=Event.RECORD_LISTED, purpose=Purpose.TREAT, resource=ResourceRef(type="patient", count=0)
        )
    )


def test_an_applications_own_event_is_held_to_its_class() -> None:
    vocabulary = Vocabulary({"lab.released": "record.updated"})
    with pytest.raises(ConfigurationError, match="subjects"):
        line(SecurityEvent(name="lab.released"), vocabulary=vocabulary)
    body = line(SecurityEvent(name="lab.released", subjects=("p",)), vocabulary=vocabulary)
    assert decode(body).name == "lab.released"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": "record.rread"}, "not in the vocabulary"),
        ({"actor": Actor(type="root")}, "actor's type"),
        ({"subjects": tuple(str(n) for n in range(257))}, "at most 256"),
        ({"changed": ("phone=555",)}, "never values"),
        ({"changed": tuple(f"f{n}" for n in range(65))}, "at most 64"),
        ({"details": {"a b": 1}}, "plain names"),
        ({"details": {f"d{n}": 1 for n in range(13)}}, "at most 12"),
        ({"details": {"d": 1.5}}, "text, whole numbers"),
        ({"details": {"d": ["x"]}}, "text, whole numbers"),
    ],
)
def test_events_that_are_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        line(read_event(**changes))


def test_atk_40_a_secret_in_the_details_is_refused_without_being_shown() -> None:
    with pytest.raises(ConfigurationError) as caught:
        line(read_event(details={"token": Secret("hunter2")}))
    assert "hunter2" not in str(caught.value)


def test_a_clock_that_is_not_utc_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        line(read_event(), at=datetime(2026, 3, 2, 9))
    with pytest.raises(ConfigurationError):
        line(read_event(), at=datetime(2026, 3, 2, 9, tzinfo=timezone(timedelta(hours=1))))


GOOD = json.loads(line(read_event()))


def changed(**changes: Any) -> bytes:
    body = GOOD | changes
    return json.dumps({key: value for key, value in body.items() if value is not ...}).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"{",
        b"[" * 5000,
        b"\xff\xfe",
        json.dumps(GOOD).encode() + b"\n",
        json.dumps(GOOD).encode() + b"{}",
        json.dumps(GOOD | {"req": "é"}, ensure_ascii=False).encode(),
        b'{"v":1,' + json.dumps(GOOD).encode()[1:],  # a key twice
        changed(v=2),
        changed(v=True),
        changed(v=...),
        changed(id=...),
        changed(id=""),
        changed(id=7),
        changed(t="2026-03-02T09:00:00Z"),
        changed(t="2026-13-02T09:00:00.000000Z"),
        changed(t="2026-03-02T09:00:00.000000+00:00"),
        changed(act="recordread"),
        changed(act="Record.read"),
        changed(out="maybe"),
        changed(out=...),
        changed(who=...),
        changed(who="account-7"),
        changed(who={"type": "root"}),
        changed(who={"type": "user", "name": "Ann"}),
        changed(subj="p"),
        changed(subj=["p", "p"]),
        changed(subj=[1]),
        changed(subj=[""]),
        changed(subj=None),
        changed(res={"id": "x"}),
        changed(res={"type": "record", "n": 1.5}),
        changed(res=None),
        changed(why={"use": "TREAT "}),
        changed(why={"text": "because"}),
        changed(src={"ip": 1}),
        changed(req=["x"]),
        changed(x={"a": {}}),
        changed(x={"a": float("nan")}),
        changed(x={"a": 1.0}),
        changed(extra=1),
        b" " * (MAX_BYTES + 1),
    ],
)
def test_lines_that_are_refused(body: bytes) -> None:
    with pytest.raises(Tampered) as caught:
        decode(body)
    assert "account-7" not in str(caught.value)
    assert caught.value.__cause__ is None


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_in_one_way(body: bytes) -> None:
    with pytest.raises(Tampered):
        decode(body)


def test_codes_of_a_later_version_are_read() -> None:
    record = decode(changed(why={"use": "NEWCODE", "reason": "new_reason"}))
    assert (record.purpose, record.reason) == ("NEWCODE", "new_reason")


def test_a_sign_in_needs_no_subject() -> None:
    assert decode(line(sign_in_event())).subjects == ()
