"""From settings to what each part is told to do."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

from portalsec.auth.anomalies import AnomalyPolicy
from portalsec.auth.budgets import DetectionPolicy, Lane, ThrottlePolicy
from portalsec.auth.dormancy import DormancyPolicy
from portalsec.auth.hash_costs import Argon2Parameters, parameters_of_text
from portalsec.auth.links import RecoveryPolicy
from portalsec.auth.notice_policy import NoticePolicy
from portalsec.auth.password_policy import PasswordPolicy
from portalsec.auth.sessions import SessionPolicy, SessionRule
from portalsec.auth.totp import TotpParameters, TotpPolicy
from portalsec.clock import Clock, system_clock
from portalsec.config.said import made
from portalsec.config.settings import Settings
from portalsec.config.sign_in import passkey_policy, sent_code_policy, sign_in_policy, trust_policy
from portalsec.errors import ConfigurationError
from portalsec.portal import Policies
from portalsec.rbac.load import load_policy
from portalsec.rbac.policy import Policy

__all__ = ["dormancy_policy", "open_policies", "open_session_policy"]


def open_policies(
    settings: Settings, *, hashing: Argon2Parameters | None = None, clock: Clock = system_clock
) -> Policies:
    """Turn settings into the policies of each part.

    Raises:
        ConfigurationError: values that each part refuses; the text names file, table and key.
    """
    return Policies(
        access=_access_policy(settings.path("access", "policy")),
        passwords=_passwords(settings),
        unreachable=settings["passwords", "unreachable"],
        check_at_sign_in=settings["passwords", "check_at_sign_in"],
        hashing=hashing or parameters_of_text(settings["passwords", "hashing"]),
        hashing_concurrency=settings["passwords", "concurrency"],
        hashing_older=settings["passwords", "older"],
        require_pepper=settings["passwords", "require_pepper"],
        throttle=_throttle(settings),
        sign_in=sign_in_policy(settings),
        out_of_band=sent_code_policy(settings),
        trust=trust_policy(settings),
        passkeys=passkey_policy(settings, now=clock()),
        codes=_codes(settings),
        authenticators=TotpPolicy(cap=settings["totp", "cap"], max_devices=settings["totp", "devices"]),
        notices=_notices(settings),
        dormancy=dormancy_policy(settings),
        support_by_two=settings["accounts", "support_by_two"],
        sessions=open_session_policy(settings),
        recovery=_recovery(settings),
        events=settings["portal", "events"],
        checkpoint_interval=settings["audit", "checkpoint_interval"],
    )


def dormancy_policy(settings: Settings) -> DormancyPolicy:
    """When accounts that nobody uses are disabled."""
    keys = {"after": "dormant_after", "notice": "dormant_notice"}
    chosen = {field: settings["accounts", key] for field, key in keys.items()}
    return made(settings, "accounts", lambda: DormancyPolicy(**chosen), **keys)


def _passwords(settings: Settings) -> PasswordPolicy:
    preset: PasswordPolicy = getattr(PasswordPolicy, settings["passwords", "policy"])
    kept = settings["passwords", "history"]
    return made(
        settings,
        "passwords",
        lambda: replace(
            preset.with_words((settings["portal", "name"], *settings["passwords", "words"])),
            history=preset.history if kept is None else kept,
            max_age=settings["passwords", "max_age"],
        ),
    )


def _recovery(settings: Settings) -> RecoveryPolicy:
    names = ("reset", "verify", "unlock", "registration", "browser", "contacts", "open_registration")
    chosen = {name: settings["recovery", name] for name in names}
    return made(settings, "recovery", lambda: RecoveryPolicy(**chosen))


def _codes(settings: Settings) -> TotpParameters:
    chosen = {name: settings["totp", name] for name in ("algorithm", "digits")}
    period = int(settings["totp", "period"].total_seconds())
    return made(settings, "totp", lambda: TotpParameters(period=period, **chosen))


def open_session_policy(settings: Settings) -> SessionPolicy:
    """When sessions end, as ``[sessions]`` says."""
    preset: SessionPolicy = getattr(SessionPolicy, settings["sessions", "policy"])
    names = ("idle", "absolute", "warn_before", "resume")
    chosen = {name: settings["sessions", name] for name in names if settings["sessions", name] is not None}

    def make() -> SessionPolicy:
        shared = {key: settings["sessions", f"shared_{key}"] for key in ("idle", "absolute")}
        moved = settings["sessions", "address_changed"]
        return replace(
            preset,
            **chosen,
            rules=(
                SessionRule(shared=True, **shared),
                *(SessionRule(**rule) for rule in settings["sessions", "rules"]),
            ),
            max_sessions=settings["sessions", "max"],
            at_most=settings["sessions", "at_most"],
            anomalies=AnomalyPolicy(
                browser=settings["sessions", "browser_changed"],
                network="step_up" if moved == "jump" else moved,
                address="record" if moved == "jump" else moved,
            ),
        )

    return made(settings, "sessions", make, max_sessions="max")


def _notices(settings: Settings) -> NoticePolicy:
    names = ("links", "language", "keep", "unfinished_after", "disavow_for")
    chosen = {name: settings["notices", name] for name in names}
    return made(settings, "notices", lambda: NoticePolicy(**chosen))


def _throttle(settings: Settings) -> ThrottlePolicy:
    usual, longest, cap = ThrottlePolicy(), settings["throttle", "longest"], settings["throttle", "cap"]
    names = settings["throttle", "suspect_password"]

    def lane(key: str, name: str | None = None) -> Lane:
        limit, window = settings["throttle", key]
        return Lane(name=name or key, limit=limit, window=window)

    def climbing(key: str) -> Lane:
        return replace(lane(key), longest=longest, heals=usual.account.heals)

    def make() -> ThrottlePolicy:
        candidate = lane("candidate")
        password = min(usual.detection.password, candidate.limit) if names is None else names
        return ThrottlePolicy(
            account=climbing("account"),
            account_address=climbing("account_address"),
            address=lane("address"),
            device=climbing("device"),
            cap=cap,
            cap_devices=max(1, min(usual.cap_devices, cap // 5)),
            cap_step_up=max(1, min(usual.cap_step_up, cap // 10)),
            candidate=candidate,
            portal=None if settings["throttle", "portal"] is None else lane("portal"),
            second_factor=lane("second_factor"),
            request=lane("request"),
            mail=lane("mail"),
            invitation=lane("invitation"),
            store_down=settings["throttle", "store_down"],
            detection=DetectionPolicy(
                accounts=lane("suspect_accounts", usual.detection.accounts.name),
                password=password,
                failures=lane("suspect_failures", usual.detection.failures.name),
            ),
        )

    return made(settings, "throttle", make, **{"detection.password": "suspect_password"})


def _access_policy(path: Path) -> Policy:
    try:
        mapping = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(
            f"access policy {path} is missing: create it, or set [access] policy"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"access policy {path} cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"access policy {path} is not TOML: {error}") from error
    return load_policy(mapping, source=str(path))
