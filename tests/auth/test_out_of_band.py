"""Codes by mail and SMS: to whom, how many, how often, where they work, and what is kept of them."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from portalsec.auth.assurance import level, phishing_resistant
from portalsec.auth.notices import NoticeKind
from portalsec.auth.out_of_band import OutOfBand, OutOfBandPolicy
from portalsec.auth.ports import Account, Phone
from portalsec.auth.proof import Factor
from portalsec.auth.throttle import Lane
from portalsec.errors import ConfigurationError, Denied, Reason, StoreError, Tampered
from portalsec.events import Event
from tests.auth.mailing import SOURCE, Mailing
from tests.auth.world import together

HERE, THERE = b"h" * 32, b"t" * 32
BOTH = frozenset({Factor.EMAIL_CODE, Factor.SMS_CODE})


class Texts:
    """A `CodeSender` whose messages are a list."""

    def __init__(self, *phones: Phone) -> None:
        self.own = list(phones)
        self.sent: list[tuple[str, str]] = []
        self.failing: Exception | None = None

    def phones(self, account_id: str) -> list[Phone]:
        return self.own

    def send(self, phone: Phone, text: str) -> None:
        if self.failing is not None:
            raise self.failing
        self.sent.append((phone.number, text))


def codes(m: Mailing, texts: Texts | None = None, **policy: Any) -> OutOfBand:
    portal = m.portal
    policy.setdefault("factors", BOTH if texts else frozenset({Factor.EMAIL_CODE}))
    made = OutOfBand(
        contacts=portal.stores.contacts,
        sender=texts,
        flows=portal.stores.flows,
        notices=portal.notices,
        throttle=portal.throttle,
        mac=portal.disavowal._mac,
        policy=OutOfBandPolicy(**policy),
        portal=portal.name,
        base_url=portal.base_url,
        emit=portal.emit,
        clock=portal.clock,
    )
    portal.courier._requests[NoticeKind.REQUEST_CODE] = made.letters
    return made


def mailed(m: Mailing) -> str:
    (mail,) = m.deliver()
    found = re.findall(r"^Code: (\d+)$", mail.text, re.MULTILINE)
    assert len(found) == 1
    return str(found[0])


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 10 ** len(code):0{len(code)}}"


def refused(work: Any, *args: Any, **kwargs: Any) -> Reason:
    with pytest.raises(Denied) as caught:
        work(*args, **kwargs)
    return caught.value.reason


def send(oob: OutOfBand, robin: Account, place: bytes = HERE, factor: Factor = Factor.EMAIL_CODE) -> Any:
    return oob.send(place, robin, factor, source=SOURCE)


def test_a_mailed_code_is_accepted_once() -> None:
    with Mailing() as m:
        robin, oob = m.person(), codes(m)
        sent = send(oob, robin)
        assert (sent.factor, sent.to) == (Factor.EMAIL_CODE, "r…@mail.example")
        code = mailed(m)
        assert re.fullmatch(r"\d{6}", code)
        proof = oob.verify(HERE, robin.id, f" {code[:3]} {code[3:]} ").proof
        (contact,) = m.portal.contacts.of_account(robin.id)
        assert (proof.factor, proof.at, proof.authenticator) == (Factor.EMAIL_CODE, m.clock(), contact.id)
        assert refused(oob.verify, HERE, robin.id, code) is Reason.FLOW_UNKNOWN


def test_it_is_not_phishing_resistant_and_no_device() -> None:
    with Mailing() as m:
        robin, oob = m.person(), codes(m)
        send(oob, robin)
        proof = oob.verify(HERE, robin.id, mailed(m)).proof
        assert not phishing_resistant([proof]) and level([proof]) == 1
        assert not proof.device_bound and not proof.attested and not proof.user_verified


def test_an_sms_says_where_it_works_and_tells_no_number_back() -> None:
    with Mailing() as m:
        robin = m.person()
        texts = Texts(Phone(id="p1", account_id=robin.id, number="+34600000042", verified_at=m.clock()))
        oob = codes(m, texts, digits=8)
        sent = oob.send(HERE, robin, Factor.SMS_CODE, source=SOURCE, language="es-MX")
        assert (sent.factor, sent.to) == (Factor.SMS_CODE, "…42")
        assert "600000" not in repr(sent) and "600000" not in repr(texts.own)
        ((number, text),) = texts.sent
        assert number == "+34600000042" and text.startswith("Test Portal: ")
        found = re.search(r"\n\n@portal\.example #(\d{8})\Z", text)
        assert found and text.count(found[1]) == 2
        assert oob.verify(HERE, robin.id, found[1]).factor is Factor.SMS_CODE


def test_nothing_is_sent_by_default() -> None:
    with Mailing() as m:
        robin, oob = m.person(), codes(m, factors=frozenset())
        assert OutOfBandPolicy().factors == frozenset()
        assert oob.offered(robin.id) == frozenset()
        for factor in BOTH:
            assert refused(oob.send, HERE, robin, factor, source=SOURCE) is Reason.FACTOR_NOT_ENROLLED
        assert m.deliver() == []


@pytest.mark.parametrize("factor", [Factor.PASSWORD, Factor.TOTP, Factor.PASSKEY, Factor.RECOVERY_CODE])
def test_no_other_factor_is_sent(factor: Factor) -> None:
    with Mailing() as m:
        assert refused(codes(m).send, HERE, m.person(), factor, source=SOURCE) is Reason.FACTOR_NOT_ENROLLED
    with pytest.raises(ConfigurationError, match="factors"):
        OutOfBandPolicy(factors=frozenset({factor}))


def test_only_what_is_verified_gets_one_and_of_these_the_oldest() -> None:
    with Mailing() as m:
        robin = m.portal.accounts.create(login="robin", password="lantern orbit velvet cactus")
        texts = Texts(
            Phone(id="p1", account_id=robin.id, number="+1", verified_at=None),
            Phone(id="p2", account_id="somebody-else", number="+2", verified_at=m.clock()),
        )
        oob = codes(m, texts)
        m.contact(robin, "typed@mail.example", verified=False)
        assert oob.offered(robin.id) == frozenset()
        for factor in BOTH:
            assert refused(send, oob, robin, HERE, factor) is Reason.FACTOR_NOT_ENROLLED
        m.contact(robin, "robin@mail.example")
        m.clock.advance(timedelta(days=1))
        m.contact(robin, "thief@mail.example")
        assert oob.offered(robin.id) == {Factor.EMAIL_CODE}
        send(oob, robin)
        assert [each.to for each in m.deliver()] == ["robin@mail.example"]


def test_it_works_where_it_was_asked_for_and_nowhere_else() -> None:
    with Mailing() as m:
        robin, sam, oob = m.person(), m.person("sam"), codes(m)
        send(oob, robin)
        code = mailed(m)
        assert refused(oob.verify, THERE, robin.id, code) is Reason.FLOW_UNKNOWN
        assert refused(oob.verify, HERE, sam.id, code) is Reason.FLOW_UNKNOWN
        assert oob.verify(HERE, robin.id, code)


def test_it_is_over_after_its_time_and_late_mail_is_not_sent() -> None:
    with Mailing() as m:
        robin, oob = m.person(), codes(m)
        send(oob, robin)
        code = mailed(m)
        m.clock.advance(timedelta(minutes=10))
        assert refused(oob.verify, HERE, robin.id, code) is Reason.FLOW_UNKNOWN
        send(oob, robin)
        m.clock.advance(timedelta(minutes=10))
        assert m.deliver() == []


def test_a_few_tries_and_it_is_gone() -> None:
    with Mailing() as m:
        robin, oob = m.person(), codes(m)
        send(oob, robin)
        code = mailed(m)
        for _ in range(3):
            assert refused(oob.verify, HERE, robin.id, wrong(code)) is Reason.WRONG_CODE
        assert refused(oob.verify, HERE, robin.id, code) is Reason.FLOW_UNKNOWN


def test_what_is_no_code_costs_no_try() -> None:
    with Mailing() as m:
        robin, oob = m.person(), codes(m)
        send(oob, robin)
        code = mailed(m)
        for nothing in (None, 0, "", "abcdef", "1" * 5, "1" * 9, "1" * 10_000, [code], "١" * 3):
            assert refused(oob.verify, HERE, robin.id, nothing) is Reason.MALFORMED
        assert oob.verify(HERE, robin.id, code)


def test_a_new_one_voids_the_one_before_of_whichever_sort() -> None:
    with Mailing() as m:
        robin = m.person()
        texts = Texts(Phone(id="p1", account_id=robin.id, number="+34600000042", verified_at=m.clock()))
        oob = codes(m, texts)
        send(oob, robin)
        first = mailed(m)
        send(oob, robin, HERE, Factor.SMS_CODE)
        second = texts.sent[0][1][-6:]
        if first != second:
            assert refused(oob.verify, HERE, robin.id, first) is Reason.WRONG_CODE
        assert oob.verify(HERE, robin.id, second).factor is Factor.SMS_CODE
        assert refused(oob.verify, HERE, robin.id, first) is Reason.FLOW_UNKNOWN


def test_three_go_out_until_one_comes_back() -> None:
    with Mailing() as m:
        robin, oob = m.person(), codes(m)
        for place in (b"1", b"2", b"3"):
            send(oob, robin, place)
            code = mailed(m)
        assert refused(send, oob, robin, b"4") is Reason.THROTTLED
        (event,) = m.events.named(Event.AUTH_ATTACK_SUSPECTED)
        assert event.details["pattern"] == "mfa_fatigue"
        assert oob.verify(b"3", robin.id, code)
        send(oob, robin, b"4")


def test_accounts_that_share_a_mailbox_share_its_budget() -> None:
    with Mailing() as m:
        mother, child = m.person("mother", "home@mail.example"), m.person("child", "home+kid@mail.example")
        oob = codes(m)
        for place in (b"1", b"2", b"3"):
            send(oob, mother, place)
        assert refused(send, oob, child, b"4") is Reason.THROTTLED
        m.clock.advance(timedelta(hours=1))
        send(oob, child, b"4")


def test_codes_that_come_back_have_a_day_s_bound_of_the_account_and_of_the_number() -> None:
    """Whoever owns the number answers every code, from as many accounts as they like, and each SMS costs money."""
    with Mailing() as m:
        robin, other = m.person(), m.person("other", "other@mail.example")
        m.portal.throttle.policy = replace(
            m.portal.throttle.policy, code_total=Lane(name="code_total", limit=6, window=timedelta(days=1))
        )
        now, number = m.clock(), "+34600000001"
        texts = Texts(
            Phone(id="p", account_id=robin.id, number=number, verified_at=now),
            Phone(id="q", account_id=other.id, number=number, verified_at=now),
        )
        oob = codes(m, texts)
        for turn in range(6):
            who = (robin, other)[turn % 2]
            send(oob, who, b"%d" % turn, Factor.SMS_CODE)
            (code,) = re.findall(r"#(\d+)$", texts.sent[-1][1], re.MULTILINE)
            assert oob.verify(b"%d" % turn, who.id, code)
        for who in (robin, other):
            with pytest.raises(Denied) as caught:
                send(oob, who, b"more", Factor.SMS_CODE)
            assert caught.value.reason is Reason.THROTTLED
            assert caught.value.retry_after == timedelta(days=1)
        assert len(texts.sent) == 6
        for place in (b"a", b"b", b"c"):
            send(oob, robin, place)  # a mailbox of their own is another one: they had three of their six
        m.clock.advance(timedelta(hours=1))
        assert refused(send, oob, robin, b"d") is Reason.THROTTLED
        m.clock.advance(timedelta(hours=23))
        send(oob, robin, b"more", Factor.SMS_CODE)


def test_nothing_that_is_kept_or_told_has_the_code() -> None:
    with Mailing() as m:
        robin, oob = m.person(), codes(m)
        send(oob, robin)
        kept = repr([vars(each) if hasattr(each, "__dict__") else each for each in m.events])
        rows = [repr(flow) + repr(flow.data) for flow in m.portal.stores.flows._flows.values()]
        rows += [repr(each) + repr(each.data) for each in m.portal.stores.notices._notices.values()]
        code = mailed(m)
        assert not any(code in text for text in (kept, *rows))
        assert not any(
            str(each.kind) == "request.code" and code in repr(m.portal.notices.details(each))
            for each in m.portal.notices.of_account(robin.id)
        )
        (mail,) = m.mail
        assert code not in mail.subject and code in mail.html and "http" not in mail.text


def test_what_somebody_wrote_into_the_store_is_no_code() -> None:
    with Mailing() as m:
        robin, oob = m.person(), codes(m)
        send(oob, robin)
        flows = m.portal.stores.flows._flows
        (key,) = flows
        from dataclasses import replace

        flows[key] = replace(flows[key], data=flows[key].data[:-3] + b"]}}")
        with pytest.raises(Tampered):
            oob.verify(HERE, robin.id, "123456")


def test_where_it_cannot_be_sent_there_is_none_and_none_was_counted() -> None:
    with Mailing() as m:
        robin = m.person()
        texts = Texts(Phone(id="p1", account_id=robin.id, number="+34600000042", verified_at=m.clock()))
        oob = codes(m, texts)
        texts.failing = StoreError("the gateway does not answer")
        for _ in range(5):
            with pytest.raises(StoreError):
                send(oob, robin, HERE, Factor.SMS_CODE)
        assert m.portal.stores.flows._flows == {}
        texts.failing = None
        send(oob, robin, HERE, Factor.SMS_CODE)
        assert len(texts.sent) == 1


def test_an_address_that_is_removed_meanwhile_gets_none() -> None:
    with Mailing() as m:
        robin, oob = m.person(), codes(m)
        send(oob, robin)
        (contact,) = m.portal.contacts.of_account(robin.id)
        m.portal.stores.contacts.remove(robin.id, contact.id)
        assert m.deliver() == []


@pytest.mark.parametrize(("uses", "winners"), [(5, {1}), (50, {0, 1})])
def test_of_many_uses_at_once_one_wins(uses: int, winners: set[int]) -> None:
    """Past its tries a code is void, also for who was about to use it: of more uses than tries it may be none."""
    with Mailing() as m:
        robin, oob = m.person(), codes(m, attempts=5)
        send(oob, robin)
        code = mailed(m)
        results = together(uses, lambda _: oob.verify(HERE, robin.id, code))
        won = [each for each in results if not isinstance(each, Denied)]
        assert len(won) in winners and all(each.account_id == robin.id for each in won)


def test_an_aborted_sign_in_s_code_is_void() -> None:
    with Mailing() as m:
        robin, oob = m.person(), codes(m)
        send(oob, robin)
        code = mailed(m)
        oob.abort(HERE)
        assert refused(oob.verify, HERE, robin.id, code) is Reason.FLOW_UNKNOWN


@pytest.mark.parametrize(
    "wrong",
    [{"digits": 5}, {"digits": 9}, {"lifetime": timedelta(minutes=11)}, {"attempts": 0}, {"attempts": 6}],
)
def test_policies_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="OutOfBandPolicy"):
        OutOfBandPolicy(**wrong)


def test_a_policy_with_sms_needs_somebody_to_send_it() -> None:
    with Mailing() as m, pytest.raises(ConfigurationError, match="CodeSender"):
        codes(m, factors=BOTH)


@pytest.mark.parametrize("meanwhile", ["used", "another"])
def test_one_that_another_request_used_or_replaced_meanwhile_is_nobody_s(
    meanwhile: str, monkeypatch: Any
) -> None:
    with Mailing() as m:
        robin, oob = m.person(), codes(m)
        send(oob, robin)
        code = mailed(m)
        flows = m.portal.stores.flows
        consume = flows.consume

        def faster(*args: Any, **kwargs: Any) -> Any:
            monkeypatch.undo()
            if meanwhile == "used":
                consume(*args, **kwargs)
            else:
                send(oob, robin)
            return consume(*args, **kwargs)

        monkeypatch.setattr(flows, "consume", faster)
        assert refused(oob.verify, HERE, robin.id, code) is Reason.FLOW_UNKNOWN


def test_3_2_2_after_a_hundred_wrong_ones_in_a_row_none_is_looked_at_whatever_the_time() -> None:
    with Mailing() as m:
        robin, oob = m.person(), codes(m, attempts=5)

        def guessed(times: int) -> str:
            """So many wrong tries, a day's worth at a time; the code of the last mail."""
            code = ""
            for number in range(times):
                if number % 5 == 0:
                    m.clock.advance(timedelta(days=1))
                    send(oob, robin)
                    code = mailed(m)
                assert refused(oob.verify, HERE, robin.id, wrong(code)) is Reason.WRONG_CODE
            return code

        guessed(99)
        m.clock.advance(timedelta(days=1))
        send(oob, robin)
        assert oob.verify(HERE, robin.id, mailed(m))  # a right one begins the count anew
        guessed(100)
        m.clock.advance(timedelta(days=400))
        send(oob, robin)
        right = mailed(m)
        assert refused(oob.verify, HERE, robin.id, right) is Reason.FACTOR_DISABLED
        # Where it was confirmed anew it is another one.
        (old,) = m.portal.stores.contacts.of_account(robin.id)
        m.portal.stores.contacts.remove(robin.id, old.id)
        m.portal.stores.contacts.add(replace(old, id="confirmed-anew"))
        send(oob, robin)
        assert oob.verify(HERE, robin.id, mailed(m))
