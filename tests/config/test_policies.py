"""What a policy refuses is said in the words of whoever writes settings: file, table, key, and no name of the code."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from portalsec.auth.anomalies import AnomalyPolicy
from portalsec.auth.budgets import ThrottlePolicy
from portalsec.auth.demands import Demand, DemandRule
from portalsec.auth.device_rules import DeviceRule
from portalsec.auth.out_of_band import OutOfBandPolicy
from portalsec.auth.proof import Factor
from portalsec.auth.sessions import SessionPolicy, SessionRule
from portalsec.auth.signin import SignInPolicy
from portalsec.auth.totp import TotpParameters, TotpPolicy
from portalsec.auth.trust import TrustPolicy
from portalsec.clock import Clock, system_clock
from portalsec.config import load_settings
from portalsec.config.mail import open_notifier
from portalsec.config.policies import open_policies
from portalsec.config.settings import KEYS
from portalsec.errors import ConfigurationError
from portalsec.portal import Policies
from portalsec.testing.authenticator import SOFT_AAGUID
from tests.auth.passkeys.test_metadata import MAKER, NOW, SERVICE, entry, payload

SETTINGS = '[portal]\nname = "Riverside"\nbase_url = "https://portal.example"\n'
POLICY = 'schema = 1\n[resource.record]\nactions = ["read"]\n[role.patient]\n'


def opened(folder: Path, more: str, *, clock: Clock = system_clock) -> Policies:
    (folder / "policy.toml").write_text(POLICY)
    file = folder / "portalsec.toml"
    file.write_text(SETTINGS + more)
    settings = load_settings(file, env={})
    open_notifier(settings, env={})
    return open_policies(settings, clock=clock)


@pytest.mark.parametrize(
    ("table", "wrong", "said"),
    [
        ("passwords", 'max_age = "1h"', "max_age is at least a day"),
        ("sign_in", 'pending_lifetime = "10s"', "pending_lifetime goes from"),
        ("sign_in", 'factors = ["email_code"]', "one that is more than a code by mail or SMS"),
        ("sign_in", 'factors = ["password", "sms_code"]', "factors has codes by SMS"),
        ("sign_in", 'factors = ["password"]\nphishing_resistant = "required"', "list them in factors"),
        ("sign_in", 'rules = [{ roles = ["admin"] }]', "one of them asks nothing"),
        ("sign_in", 'rules = [{ rolls = ["admin"], level = 2 }]', "'rolls' is none of roles"),
        ("sign_in", 'rules = [{ roles = "", level = 2 }]', "roles: write a list of words"),
        ("sign_in", 'rules = [{ device = "rooted", level = 2 }]', "device: write a table"),
        ("sign_in", "rules = [{ device = { root = true }, level = 2 }]", "'root' is none of platforms"),
        ("sign_in", "rules = [{ device = {}, level = 2 }]", "device: name at least one"),
        ("sign_in", "rules = [{ since = 2027-01-31T00:00:00, level = 2 }]", "since: write a moment with its"),
        ("sign_in", "enrol_by = 2027-01-31", "enrol_by: write a moment with its"),
        ("sign_in", 'trust_browsers = "180d"', "trust_browsers goes from one hour to 90 days"),
        ("passkeys", 'rp_id = "co.uk"', "co.uk is a public suffix"),
        ("passkeys", 'origins = ["https://other.example"]', "https://other.example is not on portal.example"),
        ("passkeys", 'related_origins = ["https://a.portal.example"]', "needs no entry among related"),
        ("passkeys", 'top_origins = ["http://other.example"]', "is not https"),
        (
            "passkeys",
            'attestation = "required"',
            "attestation: no make can be proven without roots or metadata",
        ),
        ("passkeys", 'makes = ["ab"]', "makes: without attestation anybody can claim any make"),
        ("passkeys", 'roots = ["none.pem"]', "none.pem cannot be read"),
        ("passkeys", 'roots = ["policy.toml"]', "roots: one of them is no certificate"),
        ("passkeys", 'metadata = "blob.jwt"', "give metadata and metadata_root together"),
        ("totp", 'period = "10m"', "period goes from 15 to 120 seconds"),
        ("sessions", 'idle = "20m"\nabsolute = "10m"', "idle is longer"),
        ("sessions", 'warn_before = "15m"', "warn_before must"),
        ("sessions", 'policy = "KIOSK"\nwarn_before = "2m"', "warn_before must"),
        ("sessions", 'rules = [{ roles = ["admin"] }]', "it tightens nothing"),
        (
            "sessions",
            'rules = [{ min_level = 3, max_level = 1, idle = "5m" }]',
            "the lower one first",
        ),
        ("recovery", 'reset = "2d"', "reset goes from"),
        ("notices", 'keep = "1d"', "keep is shorter than disavow_for"),
        ("notices", 'unfinished_after = "1s"', "unfinished_after goes from"),
        (
            "accounts",
            'dormant_after = "2d"',
            "dormant_notice is a day or longer, and shorter than dormant_after",
        ),
        ("throttle", 'account = "9/15m"', "account allows fewer tries than account_address"),
        ("throttle", 'candidate = "1/1h"', "candidate allows one name only"),
        ("throttle", "suspect_password = 26", "suspect_password is more than candidate allows"),
        ("throttle", 'longest = "1m"', "longest is shorter than the window of account"),
        ("mail", 'sender = "notices@portal.example"', "sender is set and server is not"),
        ("mail", 'password = "env:MAIL"', "password is set and server is not"),
        (
            "mail",
            'server = "smtp://mail.example"\nsender = "a@portal.example"\nusername = "x"',
            "give username and password together",
        ),
    ],
)
def test_a_refusal_names_file_table_and_key(tmp_path: Path, table: str, wrong: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        opened(tmp_path, f"[{table}]\n{wrong}\n")
    text = str(caught.value)
    assert str(tmp_path / "portalsec.toml") in text and f"[{table}] " in text and said in text
    assert not re.search(r"Policy|Notifier|Lane|lane|None", text)
    keys = set(re.findall(r"[a-z]+_[a-z_]+", text.replace(str(tmp_path), "")))
    of_rules = {"min_level", "max_level", "app_below", "os_below"}
    assert keys <= {table, *KEYS[table], *of_rules}
    assert caught.value.__context__ is None, "the cause has the names that the text must not have"


def test_thresholds_of_attacks_and_the_portals_budget_are_settings(tmp_path: Path) -> None:
    policy = opened(
        tmp_path,
        '[throttle]\nportal = "500/1m"\nsuspect_accounts = "7/10m"\nsuspect_password = 3\n'
        'suspect_failures = "99/1m"\n',
    ).throttle
    assert policy.portal is not None
    assert (policy.portal.limit, policy.portal.window) == (500, timedelta(minutes=1))
    detection = policy.detection
    assert (detection.accounts.limit, detection.accounts.window) == (7, timedelta(minutes=10))
    assert (detection.password, detection.failures.limit) == (3, 99)
    # Their counters go on under the same names, whatever the numbers are.
    usual = ThrottlePolicy().detection
    assert (detection.accounts.name, detection.failures.name) == (usual.accounts.name, usual.failures.name)


def test_without_them_the_usual_numbers_hold_and_follow_the_candidates_budget(tmp_path: Path) -> None:
    assert opened(tmp_path, "").throttle == ThrottlePolicy()
    assert opened(tmp_path, '[throttle]\ncandidate = "4/1h"\n').throttle.detection.password == 4


def test_what_authenticators_are_like_is_a_setting(tmp_path: Path) -> None:
    usual = opened(tmp_path, "")
    assert (usual.codes, usual.authenticators) == (TotpParameters(), TotpPolicy())
    chosen = opened(
        tmp_path, '[totp]\nalgorithm = "SHA256"\ndigits = 8\nperiod = "1m"\ncap = 20\ndevices = 2\n'
    )
    assert chosen.codes == TotpParameters(algorithm="SHA256", digits=8, period=60)
    assert chosen.authenticators == TotpPolicy(cap=20, max_devices=2)


def test_passkeys_are_of_the_portals_address_unless_settings_say_otherwise(tmp_path: Path) -> None:
    assert opened(tmp_path, "").passkeys is None  # then they are of the portal's own, where it can have any
    app = "android:apk-key-hash:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    chosen = opened(tmp_path, f'[passkeys]\norigins = ["https://portal.example", "{app}"]\n').passkeys
    assert chosen is not None
    assert (chosen.rp_id, chosen.rp_name, chosen.clone) == ("portal.example", "Riverside", "step_up")
    assert chosen.accepted_origins == {"https://portal.example", app}
    ended = opened(tmp_path, '[passkeys]\nclone = "disable"\n').passkeys
    assert ended is not None
    assert (ended.clone, ended.origins) == ("disable", ("https://portal.example",))


def test_the_door_asks_what_settings_say_of_everyone_and_of_some(tmp_path: Path) -> None:
    usual = opened(tmp_path, "")
    assert (usual.sign_in, usual.out_of_band, usual.trust) == (
        SignInPolicy(),
        OutOfBandPolicy(),
        TrustPolicy(),
    )
    found = opened(
        tmp_path,
        """[sign_in]
phishing_resistant = "required"
factors = ["password", "passkey", "totp", "email_code"]
enrol_by = 2027-01-31T08:00:00+01:00
trust_browsers = "14d"
rules = [
  { roles = ["admin"], permissions = ["record:export"], tenants = ["north"], risk = 2, level = 3 },
  { since = 2027-01-31T00:00:00Z, second_factor = true, phishing_resistant = true },
  { factors = ["totp", "passkey"], allowed = ["totp", "passkey"] },
  { labels = ["abroad"], phishing_resistant = true },
  { device = { platforms = ["ios"], rooted = true, app_below = "3.2" }, level = 2 },
]
""",
    )
    day = datetime(2027, 1, 31, tzinfo=UTC)
    every = frozenset({Factor.PASSWORD, Factor.PASSKEY, Factor.TOTP, Factor.EMAIL_CODE})
    two = frozenset({Factor.TOTP, Factor.PASSKEY})
    assert found.sign_in == SignInPolicy(
        phishing_resistant="required",
        factors=every,
        enrol_by=day + timedelta(hours=7),
        rules=(
            DemandRule(
                demand=Demand(level=3),
                roles=frozenset({"admin"}),
                permissions=frozenset({"record:export"}),
                tenants=frozenset({"north"}),
                risk=2,
            ),
            DemandRule(demand=Demand(second=True, phishing_resistant=True), since=day),
            DemandRule(demand=Demand(factors=(two,), allowed=two)),
            DemandRule(demand=Demand(phishing_resistant=True), labels=frozenset({"abroad"})),
            DemandRule(
                demand=Demand(level=2),
                device=DeviceRule(platforms=frozenset({"ios"}), rooted=True, app_below="3.2"),
            ),
        ),
    )
    assert found.out_of_band == OutOfBandPolicy(factors=frozenset({Factor.EMAIL_CODE}))
    assert found.trust == TrustPolicy(enabled=True, lifetime=timedelta(days=14))


def test_the_environment_says_who_counts_and_until_when(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(POLICY)
    (tmp_path / "portalsec.toml").write_text(SETTINGS)
    env = {
        "PORTALSEC__SIGN_IN__FACTORS": "password, passkey",
        "PORTALSEC__SIGN_IN__ENROL_BY": "2027-01-31T00:00:00+00:00",
    }
    found = open_policies(load_settings(tmp_path / "portalsec.toml", env=env)).sign_in
    assert found.factors == {Factor.PASSWORD, Factor.PASSKEY}
    assert found.enrol_by == datetime(2027, 1, 31, tzinfo=UTC)


def test_passkeys_of_other_pages_and_of_proven_makes(tmp_path: Path) -> None:
    (tmp_path / "maker.pem").write_bytes(MAKER.root)
    (tmp_path / "fido.pem").write_bytes(SERVICE.authority.root)
    (tmp_path / "blob.jwt").write_bytes(SERVICE.blob(payload(entry())))
    found = opened(
        tmp_path,
        f"""[passkeys]
related_origins = ["https://portal.example.org"]
top_origins = ["https://kiosk.example"]
attestation = "required"
roots = ["maker.pem"]
metadata = "blob.jwt"
metadata_root = "fido.pem"
makes = ["{SOFT_AAGUID}"]
""",
        clock=lambda: NOW,
    ).passkeys
    assert found is not None and found.attestation is not None
    assert found.accepted_origins == {"https://portal.example", "https://portal.example.org"}
    assert found.top_origins == ("https://kiosk.example",)
    proof = found.attestation
    assert (proof.required, proof.roots, proof.aaguids) == (True, (MAKER.root,), {SOFT_AAGUID})
    assert proof.metadata is not None and proof.metadata.name_of(SOFT_AAGUID) == "Soft Key"
    (tmp_path / "fido.pem").write_bytes(MAKER.root)
    with pytest.raises(ConfigurationError, match=r"\[passkeys\] metadata: .*blob.jwt: is not signed by"):
        opened(tmp_path, '[passkeys]\nmetadata = "blob.jwt"\nmetadata_root = "fido.pem"\n', clock=lambda: NOW)


def test_sessions_follow_a_preset_and_what_is_set_beside_it(tmp_path: Path) -> None:
    assert opened(tmp_path, "").sessions == SessionPolicy.HIPAA_CLINIC
    still = opened(tmp_path, '[sessions]\naddress_changed = "record"\n').sessions.anomalies
    assert still == AnomalyPolicy(network="record", address="record")
    found = opened(
        tmp_path,
        """[sessions]
policy = "NIST_AAL2"
idle = "30m"
shared_idle = "1m"
rules = [{ roles = ["admin"], min_level = 2, absolute = "4h" }, { shared = false, idle = "20m" }]
resume = false
max = 3
at_most = "refuse"
address_changed = "step_up"
""",
    ).sessions
    assert (found.idle, found.absolute) == (timedelta(minutes=30), timedelta(hours=24))
    assert found.rules == (
        SessionRule(shared=True, idle=timedelta(minutes=1), absolute=timedelta(hours=1)),
        SessionRule(roles=frozenset({"admin"}), min_level=2, absolute=timedelta(hours=4)),
        SessionRule(shared=False, idle=timedelta(minutes=20)),
    )
    assert (found.resume, found.max_sessions, found.at_most) == (False, 3, "refuse")
    assert found.anomalies == AnomalyPolicy(browser="step_up", network="step_up", address="step_up")
