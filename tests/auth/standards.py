"""Rows of the vendored standards on throttling, recovery, notices and stored passwords, and where each is shown.

A row is shown by a test with its id in the name (`test_throttle_standards`, `test_recovery_standards`), by a test that
is named here, or not by this part of portalsec, for the reason given here. `test_recovery_standards` holds this to the
tables and to the tests.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from tests.support import shared

__all__ = ["NOT_HERE", "SHOWN_BY", "rows", "slug"]

_SECTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "nist_sp800_63b_4.csv": ("3.2.2", "4.2.", "4.6", "3.1.1.2-", "3.1.2.", "3.1.4."),
        "owasp_asvs_5.0.0.csv": ("V6.1.", "V6.3.", "V6.4.", "V6.5.", "V7.4.", "V7.5."),
        "owasp_cheat_sheets.csv": ("PS-", "AU-", "FP-", "CS-"),
        "hipaa_164_312_and_nprm_2025.csv": (
            "164.308(a)(5)(ii)(C)", "164.308(a)(5)(ii)(D)", "NPRM-312(a) log-in", "NPRM-312(f) no default",
        ),
        "hipaa_administrative_and_privacy.csv": ("164.308(a)(5)(ii)(C)", "164.308(a)(5)(ii)(D)"),
    }
)  # fmt: skip

_NEW_PASSWORDS = tuple(
    f"3.1.1.2-{name}"
    for name in (
        "1a", "1b", "2", "3", "4a", "4b", "5", "6a", "9b", "nfc", "advise", "bl-a", "bl-b", "bl-c", "bl-d", "guid",
    )
)  # fmt: skip

SHOWN_BY: Mapping[str, str] = MappingProxyType(
    {
        "PS-1": "auth/test_passwords.py::test_presets_are_what_their_names_say",
        "PS-7": "abuse/test_hashing.py::test_an_imported_hash_signs_in_once_and_is_portalsecs_own_afterwards",
        "PS-9": "auth/test_password_standards.py::test_3_1_1_2_4a_unicode_is_accepted",
        "3.1.2.1-a": "auth/test_recovery_codes.py::test_a_set_is_ten_codes_of_120_bits_that_read_well",
        "3.1.2.1-b": "abuse/code_cases.py::test_atk_32_a_code_has_112_bits_and_more_and_opens_its_own_account_alone",
        "3.1.2.2-a": "abuse/code_cases.py::test_mfa_06_atk_32_fifty_at_once_spend_a_code_once",
        "3.1.2.2-b": "auth/test_recovery_codes.py::test_the_store_has_keyed_hashes_bound_to_the_account",
        "3.1.4.1-a": "abuse/code_cases.py::test_mfa_15_a_seed_has_160_bits",
        "3.1.4.1-b": "auth/test_totp.py::test_parameters_out_of_range_are_refused",
        "3.1.4.2-a": "auth/test_totp.py::test_the_store_never_sees_the_seed",
        "3.1.4.2-b": "abuse/code_cases.py::test_mfa_01_mfa_02_atk_06_a_code_is_good_once",
        "3.1.4.2-d": "auth/test_totp_devices.py::test_the_window_moves_with_what_is_remembered_and_grows_no_wider",
        "3.1.4.2-e": "abuse/code_cases.py::test_atk_04_a_hundred_wrong_codes_in_a_month_and_it_is_dead",
        "4.2.1.1-a": "abuse/code_cases.py::test_atk_32_a_code_has_112_bits_and_more_and_opens_its_own_account_alone",
        "4.2.1.1-b": "auth/test_recovery_codes.py::test_the_store_has_keyed_hashes_bound_to_the_account",
        "V6.5.1": "abuse/code_cases.py::test_mfa_06_atk_32_fifty_at_once_spend_a_code_once",
        "V6.5.2": "auth/test_recovery_codes.py::test_the_store_has_keyed_hashes_bound_to_the_account",
        "V6.5.3": "abuse/code_cases.py::test_mfa_15_a_seed_has_160_bits",
        "V6.5.4": "abuse/code_cases.py::test_atk_32_a_code_has_112_bits_and_more_and_opens_its_own_account_alone",
        "V6.5.5": "auth/test_totp_devices.py::test_the_window_moves_with_what_is_remembered_and_grows_no_wider",
        "V6.5.8": "auth/test_totp.py::test_a_clock_that_was_set_back_brings_no_code_back",
        "AU-1": "auth/test_password_standards.py::test_v6_2_1_never_under_8_and_15_where_it_is_alone",
        "AU-2": "auth/test_password_standards.py::test_3_1_1_2_9b_the_whole_password_is_verified",
        "AU-3": "auth/test_password_standards.py::test_3_1_1_2_guid_people_are_told_how_to_do_better",
        "AU-4": "abuse/test_auth.py::test_pwd_05_long_passwords_are_refused_before_hashing",
        "AU-5": "auth/test_password_change.py::test_pwd_09_no_password_is_set_without_the_current_one",
        "AU-10": "abuse/test_throttle.py::test_atk_16_17_every_refusal_is_the_same_work_and_the_same_face",
        "AU-13": "abuse/test_throttle.py::test_loc_12_atk_08_a_thousand_wrong_passwords_do_not_keep_the_owners_device_out",
        "FP-1": "auth/test_reset.py::test_pwd_03_a_request_costs_the_same_for_every_name_and_address",
        "FP-2": "auth/test_reset.py::test_tokens_have_256_bits_and_rest_as_hashes",
        "FP-3": "abuse/test_notices.py::test_atk_34_no_request_has_a_say_in_where_a_link_leads",
        "FP-4": "fastapi/test_account.py::test_atk_33_a_link_that_a_mail_scanner_opens_is_good_still",
    }
)
"""Row -> the test of another file, under tests/, that shows it."""

_FACTORS = "the issue of second factors and sessions"
NOT_HERE: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(
            _NEW_PASSWORDS, "a new password: tests/auth/test_password_standards.py has a test of its name"
        ),
        "3.1.1.2-pm": "the forms, in a browser: tests/browser/test_account_walk.py",
        "3.1.1.2-paste": "the forms, in a browser: tests/browser/test_account_walk.py",
        "3.1.1.2-show": "the forms, in a browser: tests/browser/test_account_walk.py",
        "3.1.1.2-typo": "a MAY that is not taken: what was typed is verified exactly",
        "4.2.1.1-c": "a sheet has nine more codes; that a used one is void is tests/auth/test_recovery_codes.py",
        "3.1.2.2-c": "the door's budget of recovery codes, among those of docs/explanation/throttling.md",
        "3.1.4.2-c": "a MAY: a code that was used is recorded as such, and refused like a wrong one",
        "V6.5.6": f"{_FACTORS}: removal by the owner and by the support desk, tests/auth/test_factors.py",
        "V6.5.7": "portalsec sees no biometrics: a passkey's authenticator does, beside the key that it holds",
        "V6.1.3": f"{_FACTORS}: the strength that each way in must reach; today there is one way, password and TOTP",
        "V6.3.3": f"{_FACTORS}: phishing-resistant ones; that two are asked for is tests/auth/test_signin.py",
        "V6.3.4": f"{_FACTORS}: one door for every way in, explored in full",
        "V6.4.5": "no authenticator of portalsec expires",
        "V7.4.4": "the application's pages; both examples have it in the head of each page",
        "V7.5.2": f"{_FACTORS}: the list of one's own sessions; signing all of them out is here",
        "V7.5.3": f"{_FACTORS}: step-up",
        "PS-2": "scrypt is read for a migration and never made: argon2id is in every portal",
        "PS-3": "bcrypt is read for a migration and never made",
        "PS-4": "a FIPS module has no argon2id: such a portal needs another product",
        "PS-6": "bcrypt is read for a migration and never made; the pepper is HMAC-SHA256 before argon2id",
        "PS-10": "a time: `portalsec passwords calibrate` measures it, docs/reference/speed.md has the presets",
        "AU-6": "TLS is the web server's; cookies are Secure and pages say HSTS: tests/test_web.py",
        "AU-8": f"{_FACTORS}: step-up after a risk event; a recovery ends every session here",
        "AU-14": "a portal of patients asks nobody to read distorted letters; budgets do that work",
        "CS-2": "the application's network: portalsec keeps no fingerprint of a browser and asks nobody about an address",
        "CS-3": "the operator's measurements; each layer has its event (docs/reference/events.md)",
    }
)
"""Row -> why no test of this part has its name."""


def rows() -> Iterator[str]:
    """The ids of these sections, each once; skips the test where the tables are absent."""
    seen: set[str] = set()
    for name, sections in _SECTIONS.items():
        with shared("standards", name).open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if row["id"].startswith(sections) and row["id"] not in seen:
                    seen.add(row["id"])
                    yield row["id"]


def slug(row: str) -> str:
    """How a test's name carries a row's id."""
    return re.sub(r"[^a-z0-9]+", "_", row.lower()).strip("_")
