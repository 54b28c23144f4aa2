"""OWASP's cheat sheets and HIPAA, as far as they are on signing in: each row, and the tests that hold it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tests.auth.standards import at

__all__ = ["HELD", "NOT_TESTED", "SECTIONS"]

_NEW = "auth/standards/test_new_passwords.py"
_STORED = "auth/standards/test_stored_passwords.py"
_THROTTLE = "auth/standards/test_throttle.py"
_RECOVERY = "auth/standards/test_recovery.py"
_LIFECYCLE = "auth/standards/test_lifecycle.py"
_REPORTING = "test_164_308_a_5_ii_c_tries_are_recorded_and_what_looks_wrong_is_reported"
_CREATING = "test_164_308_a_5_ii_d_passwords_are_created_changed_and_kept_by_one_procedure"

SECTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "owasp_cheat_sheets.csv": ("PS-", "AU-", "FP-", "CS-"),
    "hipaa_164_312_and_nprm_2025.csv": (
        "164.308(a)(5)(ii)(C)", "164.308(a)(5)(ii)(D)", "NPRM-312(a) log-in", "NPRM-312(f) no default",
    ),
    "hipaa_administrative_and_privacy.csv": ("164.308(a)(5)(ii)(C)", "164.308(a)(5)(ii)(D)"),
})  # fmt: skip

HELD: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "PS-1": at("auth/test_passwords.py", "test_presets_are_what_their_names_say"),
    "PS-5": at(_STORED, "test_ps_5_the_pepper_is_another_keyset_than_the_store_has"),
    "PS-7": at(
        "abuse/test_hashing.py",
        "test_an_imported_hash_signs_in_once_and_is_portalsecs_own_afterwards",
    ),
    "PS-8": at(_STORED, "test_ps_8_a_stored_hash_ends_in_a_phc_string"),
    "PS-9": at(_NEW, "test_3_1_1_2_4a_unicode_is_accepted"),
    "AU-1": at(_NEW, "test_v6_2_1_never_under_8_and_15_where_it_is_alone"),
    "AU-2": at(_NEW, "test_3_1_1_2_9b_the_whole_password_is_verified"),
    "AU-3": at(_NEW, "test_3_1_1_2_guid_people_are_told_how_to_do_better"),
    "AU-4": at("abuse/test_auth.py", "test_pwd_05_long_passwords_are_refused_before_hashing"),
    "AU-5": at("auth/test_password_change.py", "test_pwd_09_no_password_is_set_without_the_current_one"),
    "AU-7": at(
        "auth/standards/test_session_ends.py",
        "test_au_7_the_current_password_comes_before_what_is_sensitive",
    ),
    "AU-8": at(
        "auth/standards/test_sessions.py",
        "test_au_8_after_what_looks_wrong_a_factor_is_asked_for_and_the_id_changes",
    ),
    "AU-9": at(_THROTTLE, "test_au_9_wrong_unknown_and_disabled_say_the_same"),
    "AU-10": at("abuse/test_throttle.py", "test_atk_16_17_every_refusal_is_the_same_work_and_the_same_face"),
    "AU-11": at(
        _THROTTLE, "test_au_11_failures_count_for_the_account_also_where_each_comes_from_elsewhere"
    ),
    "AU-12": at(_THROTTLE, "test_au_12_threshold_window_and_doubling_are_settings"),
    "AU-13": at(
        "abuse/test_throttle.py",
        "test_loc_12_atk_08_a_thousand_wrong_passwords_do_not_keep_the_owners_device_out",
    ),
    "AU-15": at(_THROTTLE, "test_au_15_every_failure_and_lock_is_recorded"),
    "FP-1": at("auth/test_reset.py", "test_pwd_03_a_request_costs_the_same_for_every_name_and_address"),
    "FP-2": at("auth/test_reset.py", "test_tokens_have_256_bits_and_rest_as_hashes"),
    "FP-3": at("abuse/test_notices.py", "test_atk_34_no_request_has_a_say_in_where_a_link_leads"),
    "FP-4": at("fastapi/test_account.py", "test_atk_33_a_link_that_a_mail_scanner_opens_is_good_still"),
    "FP-5": at(_THROTTLE, "test_fp_5_requests_are_limited_for_each_account_and_each_visitor"),
    "FP-6": at(_THROTTLE, "test_fp_6_asking_changes_nothing_and_locks_nobody_out"),
    "FP-7": at(
        _RECOVERY,
        "test_fp_7_a_reset_signs_nobody_in_past_the_factor_tells_the_owner_and_ends_sessions",
    ),
    "CS-1": at(_THROTTLE, "test_cs_1_a_stuffed_password_opens_nothing_without_the_second_factor"),
    "CS-4": at(
        _THROTTLE,
        "test_cs_4_a_leaked_password_is_refused_where_it_is_chosen_and_can_be_required_to_change",
    ),
    "164.308(a)(5)(ii)(C)": at(_THROTTLE, _REPORTING),
    "164.308(a)(5)(ii)(D)": at(_LIFECYCLE, _CREATING),
    "NPRM-312(a) log-in attempts": at(
        _THROTTLE,
        "test_nprm_312_a_log_in_attempts_access_is_suspended_after_a_number_that_is_a_setting",
    ),
    "NPRM-312(f) no default passwords": at(
        _LIFECYCLE, "test_nprm_312_f_no_default_passwords_an_account_begins_with_its_owners"
    ),
})  # fmt: skip

NOT_TESTED: Mapping[str, str] = MappingProxyType({
    "PS-2": "scrypt is read for a migration and never made: argon2id is in every portal",
    "PS-3": "bcrypt is read for a migration and never made",
    "PS-4": "a FIPS module has no argon2id: such a portal needs another product",
    "PS-6": "bcrypt is read for a migration and never made; the pepper is HMAC-SHA256 before argon2id",
    "PS-10": "a time: `portalsec passwords calibrate` measures it, docs/reference/speed.md has the presets",
    "AU-6": "TLS is the web server's; cookies are Secure and pages say HSTS: tests/test_web.py",
    "AU-14": "a portal of patients asks nobody to read distorted letters; budgets do that work",
    "CS-2": "the application's network: portalsec keeps no fingerprint of a browser and asks nobody about an address",
    "CS-3": "the operator's measurements; each layer has its event (docs/reference/events.md)",
})  # fmt: skip
