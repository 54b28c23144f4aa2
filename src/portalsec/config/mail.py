"""From ``[mail]`` to a notifier."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from portalsec.auth.ports import Notifier
from portalsec.clock import Clock, system_clock
from portalsec.config.keys import resolve_reference
from portalsec.config.said import said_of
from portalsec.config.settings import Settings
from portalsec.errors import ConfigurationError
from portalsec.secret import Secret

__all__ = ["open_notifier"]


def open_notifier(
    settings: Settings, *, env: Mapping[str, str], clock: Clock = system_clock
) -> Notifier | None:
    """The notifier of ``[mail] server``; None where there is none, and then no mail is sent.

    Raises:
        ConfigurationError: no sender, an address of another form, a password that cannot be read.
    """
    server = settings["mail", "server"]
    if server is None:
        return None
    sender, name = settings["mail", "sender"], settings["portal", "name"]
    if sender is None:
        raise ConfigurationError(f'{settings.source}: [mail] sender is missing: write sender = "notices@..."')
    scheme, _, rest = server.partition(":")
    try:
        if scheme == "file" and rest and not rest.startswith("//"):
            from portalsec.auth.notifiers.file import FileNotifier

            return FileNotifier(settings.base / rest, sender=sender, sender_name=name, clock=clock)
        from portalsec.auth.notifiers.smtp import SmtpNotifier

        parts = urlsplit(server)
        if parts.scheme not in {"smtp", "smtps"} or not parts.hostname or parts.path.strip("/"):
            raise ConfigurationError('server is "smtp://HOST:587", "smtps://HOST:465" or "file:FOLDER"')
        if parts.username or parts.password:
            raise ConfigurationError("server has a user or password in it: write username and password")
        local = parts.scheme == "smtp" and parts.hostname == "localhost"
        return SmtpNotifier(
            host=parts.hostname,
            port=parts.port,
            sender=sender,
            sender_name=name,
            username=settings["mail", "username"],
            password=_password(settings, env),
            security="tls" if parts.scheme == "smtps" else "none" if local else "starttls",
            clock=clock,
        )
    except (ConfigurationError, ValueError) as error:
        # urlsplit's text quotes the address, which may have a password in it.
        problem = str(error) if isinstance(error, ConfigurationError) else "server has a port that is none"
    raise said_of(settings, "mail", problem)


def _password(settings: Settings, env: Mapping[str, str]) -> Secret[str] | None:
    reference = settings["mail", "password"]
    if reference is None:
        return None
    return resolve_reference(reference, key="[mail] password", base=settings.base, env=env)
