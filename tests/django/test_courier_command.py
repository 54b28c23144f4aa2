"""``manage.py portalsec_courier``: mail goes out until it is stopped, by the notifier that the settings name."""

from __future__ import annotations

import io
import signal
import threading
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.core import mail
from django.core.management import call_command
from django.test import override_settings

from portalsec.auth.notices import NoticeKind
from portalsec.auth.ports import Contact, Message
from portalsec.django.checks import check_settings
from portalsec.django.conf import get_notifier
from portalsec.django.courier import deliver_until
from portalsec.django.notifier import DjangoNotifier
from portalsec.errors import ConfigurationError, StoreError
from portalsec.events import Source
from portalsec.testing import SentMail
from tests.django import project
from tests.django.project import World

outbox = SentMail()


class Stopping:
    """Asks the process to end while it hands a mail over, as a service manager does at any moment."""

    def __init__(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.sent: list[str] = []
        self.number = number

    def send(self, message: Message) -> None:
        signal.raise_signal(self.number)
        self.sent.append(message.to)


def told(world: World, *logins: str) -> None:
    for login in logins:
        account = world.portal.accounts.create(login=login, password="lantern orbit velvet cactus")
        now = world.clock()
        contact = Contact(
            id=str(uuid.uuid4()),
            account_id=account.id,
            address=f"{login}@mail.example",
            verified_at=now,
            created_at=now,
        )
        world.portal.stores.contacts.add(contact)
        world.portal.notices.tell(account.id, NoticeKind.FACTOR_ADDED, source=Source())


def made(**policies: Any) -> World:
    project.current = World(**policies)
    return project.current


def run(*arguments: str) -> tuple[int, str]:
    out, wrong = io.StringIO(), io.StringIO()
    try:
        call_command("portalsec_courier", *arguments, stdout=out, stderr=wrong)
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue() + wrong.getvalue()
    return 0, out.getvalue() + wrong.getvalue()


@pytest.fixture(autouse=True)
def handlers(world: World) -> Iterator[None]:
    outbox.clear()
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    yield
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_once_delivers_all_that_is_due(world: World) -> None:
    told(world, *(f"person{number}" for number in range(60)))
    assert run("--once") == (0, "60 mails sent, 0 to be tried again, 0 given up.\n")
    assert len(world.mail) == 60
    assert run("--once")[1].startswith("0 mails sent")


def test_requests_about_nobody_do_not_end_a_round(world: World) -> None:
    for number in range(3):
        world.portal.reset.request(f"absent{number}", source=Source())
    world.later(seconds=1)
    told(world, "robin")
    assert run("--once")[1].startswith("1 mails sent")


def test_a_portal_without_a_notifier_sends_through_djangos_mail_settings() -> None:
    told(made(notifier=None), "robin")
    code, said = run("--once")
    assert (code, said) == (0, "1 mails sent, 0 to be tried again, 0 given up.\n")
    (sent,) = mail.outbox
    assert sent.to == ["robin@mail.example"]
    assert sent.from_email == settings.DEFAULT_FROM_EMAIL


def test_or_through_the_notifier_that_the_settings_name() -> None:
    told(made(notifier=None), "robin")
    with override_settings(PORTALSEC={**settings.PORTALSEC, "NOTIFIER": f"{__name__}.outbox"}):
        assert run("--once")[0] == 0
    assert [message.to for message in outbox] == ["robin@mail.example"]
    assert mail.outbox == []


def test_mail_that_is_not_accepted_is_tried_again(world: World) -> None:
    told(world, "robin")
    world.mail.failing = StoreError("down")
    assert run("--once") == (1, "0 mails sent, 1 to be tried again, 0 given up.\n")
    world.mail.failing = None
    world.later(hours=1)
    assert run("--once")[0] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("arguments", [(), ("--once",)])
def test_a_signal_ends_it_after_the_mail_in_hand(number: signal.Signals, arguments: tuple[str, ...]) -> None:
    stopping = Stopping(number)
    world = made(notifier=stopping)
    told(world, "robin", "sam", "alex")
    code, said = run(*arguments)
    assert code == 0
    assert said.endswith("1 mails sent, 0 to be tried again, 0 given up.\n")
    assert len(stopping.sent) == 1
    # the other two wait for the next one, and the first is not sent twice
    assert world.portal.courier.through(outbox).deliver().sent == 2
    assert sorted(stopping.sent + [message.to for message in outbox]) == [
        "alex@mail.example", "robin@mail.example", "sam@mail.example",
    ]  # fmt: skip


def test_a_store_that_fails_is_asked_again_at_the_next_round(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(world, "robin")
    claim, failures, stop = (
        world.portal.stores.notices.claim,
        [StoreError("down"), ZeroDivisionError()],
        threading.Event(),
    )

    def fails(*arguments: Any, **more: Any) -> Any:
        if failures:
            raise failures.pop()
        found = claim(*arguments, **more)
        if not found:
            stop.set()
        return found

    monkeypatch.setattr(world.portal.stores.notices, "claim", fails, raising=True)
    assert deliver_until(stop, every=timedelta(microseconds=1)).sent == 1
    assert failures == []


def test_what_cannot_run_says_why(world: World) -> None:
    assert run("--every", "0") == (2, "Delivering mail.\nMail cannot be delivered: courier: every goes from more than nothing to one hour\n")  # fmt: skip
    made(notifier=None)
    with override_settings(PORTALSEC={**settings.PORTALSEC, "NOTIFIER": "nowhere.at.all"}):
        code, said = run("--once")
    assert code == 2
    assert "Traceback" not in said
    assert 'PORTALSEC["NOTIFIER"]' in said


# -- settings and checks ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "works"),
    [("portalsec.django.notifier.DjangoNotifier", True), (f"{__name__}.outbox", True), (f"{__name__}.told", False), ("nowhere.at.all", False)],
)  # fmt: skip
def test_the_notifier_of_the_settings(world: World, path: str, works: bool) -> None:
    with override_settings(PORTALSEC={**settings.PORTALSEC, "NOTIFIER": path}):
        if works:
            assert callable(get_notifier().send)
            return
        with pytest.raises((ConfigurationError, TypeError)):
            get_notifier()
    assert isinstance(get_notifier(), DjangoNotifier)


def ids() -> list[str | None]:
    return sorted(message.id or "" for message in check_settings(None))


def test_checks_name_what_mail_lacks(world: World) -> None:
    with override_settings(DEFAULT_FROM_EMAIL="webmaster@localhost"):
        assert ids() == []  # the portal has a notifier of its own
        made(notifier=None)
        assert ids() == ["portalsec.W005"]
    assert ids() == []
    with override_settings(PORTALSEC={**settings.PORTALSEC, "NOTIFIER": "nowhere.at.all"}):
        assert ids() == ["portalsec.E011"]
    with override_settings(PORTALSEC={**settings.PORTALSEC, "LANGUAGES": "en tlh"}):
        assert ids() == ["portalsec.E001"]


class Elsewhere:
    from django.urls import include, path

    urlpatterns = (path("portal/", include("portalsec.django.urls")),)


def test_checks_name_addresses_that_are_elsewhere(world: World) -> None:
    with override_settings(ROOT_URLCONF=Elsewhere):
        assert ids() == ["portalsec.W006"]
    with override_settings(ROOT_URLCONF=type("Empty", (), {"urlpatterns": ()})):
        assert ids() == ["portalsec.W006"]
