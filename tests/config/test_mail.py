"""From [mail] to a notifier, and nothing of a password in what is said about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from portalsec.auth.notifiers.file import FileNotifier
from portalsec.config.mail import open_notifier
from portalsec.config.policies import _notices, dormancy_policy
from portalsec.config.settings import load_settings
from portalsec.errors import ConfigurationError

PORTAL = {"name": "Hill Clinic", "base_url": "https://portal.example"}
SENDER = "notices@portal.example"


def opened(tmp_path: Path, env: dict[str, str] | None = None, **mail: Any) -> Any:
    settings = load_settings({"portal": PORTAL, "mail": mail}, base=tmp_path, env={})
    return open_notifier(settings, env=env or {})


def test_without_a_server_there_is_no_mail(tmp_path: Path) -> None:
    assert opened(tmp_path) is None


def test_a_folder_is_relative_to_the_settings(tmp_path: Path) -> None:
    notifier = opened(tmp_path, server="file:outbox", sender=SENDER)
    assert isinstance(notifier, FileNotifier) and notifier._folder == tmp_path / "outbox"


@pytest.mark.parametrize(
    ("server", "shown"),
    [
        ("smtp://mail.example", "SmtpNotifier(mail.example:587, starttls)"),
        ("smtp://mail.example:2525", "SmtpNotifier(mail.example:2525, starttls)"),
        ("smtps://mail.example", "SmtpNotifier(mail.example:465, tls)"),
        ("smtp://localhost:1025", "SmtpNotifier(localhost:1025, none)"),
    ],
)
def test_a_server_is_reached_with_tls_unless_it_is_this_machine(
    tmp_path: Path, server: str, shown: str
) -> None:
    assert repr(opened(tmp_path, server=server, sender=SENDER)) == shown


def test_the_password_is_a_reference(tmp_path: Path) -> None:
    mail = {"server": "smtp://mail.example", "sender": SENDER, "username": "portal"}
    notifier = opened(tmp_path, {"MAIL": "s3cret"}, password="env:MAIL", **mail)
    assert notifier._password.reveal() == "s3cret"
    with pytest.raises(ConfigurationError, match="reference") as caught:
        opened(tmp_path, password="s3cret", **mail)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("mail", "said"),
    [
        ({"server": "smtp://mail.example"}, "sender is missing"),
        ({"server": "mail.example", "sender": SENDER}, "server is"),
        ({"server": "http://mail.example", "sender": SENDER}, "server is"),
        ({"server": "file:", "sender": SENDER}, "server is"),
        ({"server": "smtp://mail.example:x1y", "sender": SENDER}, "port"),
        ({"server": "smtp://portal:s3cret@mail.example", "sender": SENDER}, "username and password"),
        ({"server": "smtp://mail.example", "sender": SENDER, "username": "x"}, "together"),
        ({"server": "smtp://mail.example", "sender": "a@b.example\nBcc: x@y"}, "sender"),
    ],
)
def test_what_cannot_be_used_says_how_to_write_it(tmp_path: Path, mail: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        opened(tmp_path, **mail)
    assert "[mail]" in str(caught.value) and "s3cret" not in str(caught.value)
    assert caught.value.__context__ is None or "s3cret" not in str(caught.value.__context__)


def test_policies_of_notices_and_dormancy_come_from_the_settings(tmp_path: Path) -> None:
    settings = load_settings(
        {
            "portal": PORTAL,
            "notices": {"links": False, "language": "es"},
            "accounts": {"dormant_after": "90d"},
        },
        base=tmp_path,
        env={"PORTALSEC__ACCOUNTS__SUPPORT_BY_TWO": "false"},
    )
    assert _notices(settings).links is False and _notices(settings).language == "es"
    assert dormancy_policy(settings).after.days == 90
    assert settings["accounts", "support_by_two"] is False


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"notices": {"keep": "1d"}}, r"\[notices\]"),
        ({"accounts": {"dormant_notice": "366d"}}, r"\[accounts\]"),
    ],
)
def test_times_that_do_not_fit_together_name_their_table(
    tmp_path: Path, tables: dict[str, Any], said: str
) -> None:
    settings = load_settings({"portal": PORTAL, **tables}, base=tmp_path, env={})
    with pytest.raises(ConfigurationError, match=said):
        _notices(settings)
        dormancy_policy(settings)


def test_a_switch_is_true_or_false(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="without quotes"):
        load_settings({"portal": PORTAL, "notices": {"links": "yes"}}, base=tmp_path, env={})
