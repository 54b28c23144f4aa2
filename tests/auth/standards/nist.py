"""SP 800-63B-4: every row of the vendored table, and the tests that hold it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tests.auth.standards import at

__all__ = ["HELD", "NOT_TESTED"]

_NEW = "auth/standards/test_new_passwords.py"
_STORED = "auth/standards/test_stored_passwords.py"
_THROTTLE = "auth/standards/test_throttle.py"
_RECOVERY = "auth/standards/test_recovery.py"
_PROOFS = "auth/standards/test_proofs.py"
_SESSIONS = "auth/standards/test_sessions.py"
_PAGE = "auth/standards/test_page.py"
_ASSURANCE = "auth/test_assurance.py"
_DOOR = "auth/test_door.py"
_SENT = "auth/test_out_of_band.py"
_TOTP, _DEVICES, _CODES = "auth/test_totp.py", "auth/test_totp_devices.py", "auth/test_recovery_codes.py"
_KEYS, _ASSERTION = "auth/passkeys/test_service.py", "auth/passkeys/test_assertion_steps.py"
_CASES = "abuse/test_codes.py::TestInMemory"
_COOKIES = at("test_web.py", "test_ses_08_cookies_are_host_bound_secure_and_not_for_scripts")
_TABLE = at(_ASSURANCE, "test_the_table")
_LIMITS = at(_SESSIONS, "test_2_1_3_a_2_2_3_a_each_level_has_its_limit_and_it_ends_what_goes_on")
_FIELDS = at("examples/test_account.py", "test_every_password_field_says_which_it_is_and_may_be_pasted_into")

HELD: Mapping[str, tuple[str, ...]] = MappingProxyType({
    # 2: assurance levels
    "2.1.3-a": _LIMITS + at("auth/test_sessions.py", "test_the_absolute_limit_is_exact_whatever_the_activity"),
    "2.1.3-b": at(_SESSIONS, "test_2_1_3_b_30_days_in_all_at_level_1"),
    "2.1.3-c": at("auth/test_session_policy.py", "test_presets_are_what_their_sources_say"),
    "2.2-pii": at(_PROOFS, "test_2_2_pii_two_factors_are_asked_for_where_nobody_says_otherwise"),
    "2.2.1-a": _TABLE + at(_ASSURANCE, "test_two_factors_are_two_kinds_or_a_key_that_knows_its_user"),
    "2.2.1-b": _TABLE,
    "2.2.2-a": at(_PROOFS, "test_2_2_2_a_what_was_shown_once_opens_nothing_again")
    + at(_SENT, "test_a_mailed_code_is_accepted_once"),
    "2.2.2-b": at(_PROOFS, "test_2_2_2_b_a_passkey_is_offered_to_who_sets_one_up_and_to_who_has_one"),
    "2.2.2-c": at(_ASSERTION, "test_a_up"),
    "2.2.3-a": _LIMITS,
    "2.2.3-b": at(_SESSIONS, "test_2_2_3_b_24_hours_in_all_at_level_2"),
    "2.2.3-c": at(_SESSIONS, "test_2_2_3_c_an_hour_without_activity_at_level_2"),
    "2.2.3-d": at(_DOOR, "test_one_factor_resumes_what_idleness_ended")
    + at("auth/test_session_policy.py", "test_nothing_is_resumed_past_the_absolute_limit"),
    "2.3.1": _TABLE,
    "2.3.2-a": _TABLE + at(_ASSURANCE, "test_a_synced_passkey_never_reaches_level_3"),
    "2.3.2-b": at(_ASSURANCE, "test_a_synced_passkey_never_reaches_level_3"),
    "2.3.2-c": at(_ASSERTION, "test_a_up"),
    "2.3.3-a": at(_SESSIONS, "test_2_3_3_a_12_hours_in_all_at_level_3"),
    "2.3.3-b": at(_SESSIONS, "test_2_3_3_b_15_minutes_without_activity_at_level_3"),
    # 3.1.1: passwords
    "3.1.1.1": at(_NEW, "test_3_1_1_1_a_listed_choice_means_another_and_there_is_no_other_rule"),
    "3.1.1.2-1a": at(_NEW, "test_3_1_1_2_1a_fifteen_characters_alone"),
    "3.1.1.2-1b": at(_NEW, "test_3_1_1_2_1b_eight_characters_with_another_factor"),
    "3.1.1.2-2": at(_NEW, "test_3_1_1_2_2_64_characters_and_more_are_accepted"),
    "3.1.1.2-3": at(_NEW, "test_3_1_1_2_3_every_printable_ascii_character_and_the_space"),
    "3.1.1.2-4a": at(_NEW, "test_3_1_1_2_4a_unicode_is_accepted"),
    "3.1.1.2-4b": at(_NEW, "test_3_1_1_2_4b_one_code_point_is_one_character"),
    "3.1.1.2-5": at(_NEW, "test_3_1_1_2_5_no_kinds_of_characters_are_asked_for"),
    "3.1.1.2-6a": at(_NEW, "test_3_1_1_2_6a_passwords_do_not_expire_unless_somebody_asks_for_it"),
    "3.1.1.2-6b": at(_STORED, "test_3_1_1_2_6b_evidence_of_compromise_forces_a_change"),
    "3.1.1.2-7": at(_STORED, "test_3_1_1_2_7_there_is_no_hint"),
    "3.1.1.2-8": at(_STORED, "test_3_1_1_2_8_there_is_no_question"),
    "3.1.1.2-9a": at(_STORED, "test_3_1_1_2_9a_no_part_of_a_password_is_enough"),
    "3.1.1.2-9b": at(_NEW, "test_3_1_1_2_9b_the_whole_password_is_verified"),
    "3.1.1.2-nfc": at(_NEW, "test_3_1_1_2_nfc_comes_before_hashing_and_only_stable_strings_are_taken"),
    "3.1.1.2-advise": at(_NEW, "test_3_1_1_2_advise_people_hear_that_keyboards_differ"),
    "3.1.1.2-bl-a": at(_NEW, "test_3_1_1_2_bl_a_common_expected_and_compromised_ones_are_refused"),
    "3.1.1.2-bl-b": at(_NEW, "test_3_1_1_2_bl_b_the_whole_password_is_compared"),
    "3.1.1.2-bl-c": at(_NEW, "test_3_1_1_2_bl_c_the_reason_is_said"),
    "3.1.1.2-bl-d": at(_NEW, "test_3_1_1_2_bl_d_the_list_is_larger_than_what_the_throttle_lets_through"),
    "3.1.1.2-guid": at(_NEW, "test_3_1_1_2_guid_people_are_told_how_to_do_better"),
    "3.1.1.2-rl": at(_THROTTLE, "test_3_1_1_2_rl_failures_are_limited_for_each_account_wherever_they_come_from"),
    "3.1.1.2-pm": _FIELDS,
    "3.1.1.2-paste": _FIELDS + at("examples/test_account.py", "test_no_password_field_cuts_what_is_pasted_into_it"),
    "3.1.1.2-show": at(
        "browser/test_account_walk.py",
        "test_forgotten_asked_for_by_mail_chosen_with_the_meter_and_signed_in",
    ),
    "3.1.1.2-store-a": at(_STORED, "test_3_1_1_2_store_a_a_stored_password_is_a_salted_argon2id_hash"),
    "3.1.1.2-store-b": at(_STORED, "test_3_1_1_2_store_b_a_higher_cost_is_taken_at_the_next_sign_in"),
    "3.1.1.2-salt": at(_STORED, "test_3_1_1_2_salt_128_random_bits_for_each_hash"),
    "3.1.1.2-ref": at(_STORED, "test_3_1_1_2_ref_scheme_and_cost_stand_with_the_hash"),
    "3.1.1.2-pepper": at(
        _STORED, "test_3_1_1_2_pepper_a_hash_is_worth_nothing_without_the_key_that_is_kept_elsewhere"
    ),
    # 3.1.2: look-up secrets, which are recovery codes
    "3.1.2.1-a": at(_CODES, "test_a_set_is_ten_codes_of_120_bits_that_read_well")
    + at("auth/test_factors.py", "test_each_change_asks_for_a_step_up_and_changes_nothing_without"),
    "3.1.2.1-b": at(_CASES, "test_atk_32_a_code_has_112_bits_and_more_and_opens_its_own_account_alone"),
    "3.1.2.2-a": at(_CASES, "test_mfa_06_atk_32_fifty_at_once_spend_a_code_once"),
    "3.1.2.2-b": at(_CODES, "test_the_store_has_keyed_hashes_bound_to_the_account"),
    "3.1.2.2-c": at(_PROOFS, "test_3_1_2_2_c_recovery_codes_have_a_budget"),
    # 3.1.3: codes by mail and SMS
    "3.1.3-email": _TABLE + at(_DOOR, "test_mailed_codes_are_off_unless_they_are_listed"),
    "3.1.3.1": at(
        "abuse/test_factors.py", "test_atk_10_there_is_no_way_to_approve_without_typing_a_number"
    ),
    "3.1.3.2-a": at(
        _SENT,
        "test_a_mailed_code_is_accepted_once",
        "test_it_is_over_after_its_time_and_late_mail_is_not_sent",
        "test_policies_that_make_no_sense_are_refused",
    ),
    "3.1.3.2-b": at(_PROOFS, "test_3_1_3_2_b_another_code_brings_no_tries_back")
    + at(_SENT, "test_policies_that_make_no_sense_are_refused"),
    "3.1.3.2-push": at(
        "abuse/test_factors.py",
        "test_atk_10_codes_stop_after_three_that_nobody_typed_and_nothing_can_just_be_approved",
    ),
    "3.1.3.3": at(_SENT, "test_nothing_is_sent_by_default")
    + at(_PROOFS, "test_3_2_9_who_is_offered_sms_is_offered_what_is_not_restricted"),
    # 3.1.4: one-time codes
    "3.1.4.1-a": at(_CASES, "test_mfa_15_a_seed_has_160_bits"),
    "3.1.4.1-b": at(_TOTP, "test_parameters_out_of_range_are_refused"),
    "3.1.4.2-a": at(
        _TOTP,
        "test_the_store_never_sees_the_seed",
        "test_a_seed_moved_to_another_account_or_device_does_not_open",
    ),
    "3.1.4.2-b": at(_CASES, "test_mfa_01_mfa_02_atk_06_a_code_is_good_once"),
    "3.1.4.2-d": at(_DEVICES, "test_the_window_moves_with_what_is_remembered_and_grows_no_wider"),
    "3.1.4.2-e": at(_CASES, "test_atk_04_a_hundred_wrong_codes_in_a_month_and_it_is_dead"),
    # 3.1.6, 3.1.7: passkeys
    "3.1.6.2-a": at(_PROOFS, "test_3_1_6_2_a_a_public_key_that_is_stored_is_never_another_one")
    + at(
        "auth/passkeys/test_records.py",
        "test_a_key_that_was_swapped_in_signs_nobody_in_and_is_recorded",
        "test_a_row_without_a_seal_signs_nobody_in",
    ),
    "3.1.6.2-b": at(_KEYS, "test_challenges_have_256_bits_and_fit_their_flow"),
    "3.1.7.2": _TABLE + at(_DOOR, "test_a_first_passkey_must_verify_its_user"),
    # 3.2: what holds for all
    "3.2.1": at("auth/test_factors.py", "test_one_is_removed_and_can_be_put_back_for_a_day")
    + at(_DOOR, "test_a_passkey_that_was_removed_since_opens_nothing")
    + at("auth/test_support.py", "test_two_people_reset_a_factor_and_the_owner_is_told"),
    "3.2.2-a": at(
        _THROTTLE,
        "test_3_2_2_a_at_most_100_in_a_row_and_then_it_is_off_until_its_owner_puts_it_on_again",
    )
    + at(_CASES, "test_atk_04_a_hundred_wrong_codes_in_a_month_and_it_is_dead")
    + at(_SENT, "test_3_2_2_after_a_hundred_wrong_ones_in_a_row_none_is_looked_at_whatever_the_time")
    + at(_PAGE, "test_3_2_2_the_hard_caps_are_written_down_as_they_are"),
    "3.2.2-b": at(_THROTTLE, "test_3_2_2_b_every_authenticator_of_the_sign_in_is_off_with_it")
    + at(_DEVICES, "test_several_that_end_with_one_code_are_all_told_of"),
    "3.2.2-c": at(
        _THROTTLE,
        "test_3_2_2_c_waiting_grows_from_a_quarter_of_an_hour_to_one_and_a_known_device_waits_for_nobody",
    ),
    "3.2.2-d": at(_THROTTLE, "test_3_2_2_d_a_success_forgets_the_failures_before_it")
    + at(_CASES, "test_atk_05_only_its_own_right_code_starts_the_count_anew"),
    "3.2.3": at(_ASSURANCE, "test_two_factors_are_two_kinds_or_a_key_that_knows_its_user"),
    "3.2.4": at("auth/passkeys/test_attestation.py",
                "test_what_proves_nothing_is_refused_where_proof_is_required_and_taken_where_not",
                "test_a_browser_is_asked_for_attestation_only_where_it_is_of_use"),
    "3.2.5-a": at(_ASSURANCE, "test_two_factors_are_two_kinds_or_a_key_that_knows_its_user")
    + at(_SENT, "test_it_is_not_phishing_resistant_and_no_device"),
    "3.2.5-b": at(_ASSERTION, "test_a_rpid_key_07", "test_a_origin_key_07")
    + at("abuse/test_passkeys.py", "test_atk_22_a_portal_on_a_public_suffix_is_not_built"),
    "3.2.9": at(_PROOFS, "test_3_2_9_who_is_offered_sms_is_offered_what_is_not_restricted"),
    "3.2.12": at(_PROOFS, "test_3_2_12_randomness_is_the_operating_systems"),
    # 4: from binding to compromise
    "4.1.2-a": at("abuse/test_factors.py", "test_atk_47_a_stolen_session_adds_nothing_without_a_fresh_step_up")
    + at("auth/test_step_up.py", "test_a_password_alone_is_no_step_up_for_whoever_has_a_second_factor"),
    "4.1.2-b": at("abuse/test_factors.py", "test_atk_47_the_owner_is_told_and_takes_it_back_within_a_day"),
    "4.2.1.1-a": at(_CASES, "test_atk_32_a_code_has_112_bits_and_more_and_opens_its_own_account_alone"),
    "4.2.1.1-b": at(_CODES, "test_the_store_has_keyed_hashes_bound_to_the_account")
    + at(_PROOFS, "test_3_1_2_2_c_recovery_codes_have_a_budget"),
    "4.2.1.1-c": at(_CODES, "test_each_is_spent_once_and_recorded", "test_few_are_left_before_none_are"),
    "4.2.1.2-a": at(_RECOVERY, "test_4_2_1_2_a_what_is_mailed_has_256_bits_and_lives_24_hours_at_most"),
    "4.2.1.2-b": at(_RECOVERY, "test_4_2_1_2_b_addresses_are_confirmed_first_and_two_can_be_there"),
    "4.2.2.2": at(
        _RECOVERY, "test_4_2_2_2_a_mailed_code_and_the_bound_factor_or_two_people_of_the_desk"
    ),
    "4.2.3": at(_RECOVERY, "test_4_2_3_every_recovery_is_told"),
    "4.3": at("auth/test_disavowal.py", "test_confirming_ends_everything_and_leads_to_a_new_password")
    + at("auth/test_support.py", "test_two_people_reset_a_factor_and_the_owner_is_told")
    + at(_ASSERTION, "test_a_count_key_06_disable"),
    "4.6-a": at(_RECOVERY, "test_4_6_a_every_address_of_the_account_is_told"),
    "4.6-b": at(_RECOVERY, "test_4_6_b_a_notice_says_how_to_say_that_it_was_not_you"),
    # 5: sessions
    "5.1-a": at(_SESSIONS, "test_5_1_a_an_id_is_made_for_a_sign_in_and_has_256_bits"),
    "5.1-b": at(_PROOFS, "test_5_1_b_no_session_is_worth_more_than_what_was_shown"),
    "5.1-c": at(_PROOFS, "test_5_1_c_a_browser_that_is_remembered_is_no_factor"),
    "5.1-d": _COOKIES + at("config/test_settings.py", "test_plain_http_is_for_localhost_alone"),
    "5.1-e": at("test_web.py", "test_atk_46_another_sites_request_is_refused")
    + at(
        "fastapi/test_form_tokens.py",
        "test_5_1_e_a_post_without_the_session_s_own_value_is_refused_and_recorded",
        "test_5_1_e_the_steps_of_a_sign_in_are_tied_to_it",
    )
    + at("django/test_factor_views.py", "test_without_django_s_token_nothing_changes"),
    "5.1-f": _COOKIES + at("browser/test_walk.py", "test_no_script_of_a_page_can_read_the_session"),
    "5.1-g": at(
        "auth/dpop/test_service.py",
        "test_5_1_g_both_limits_hold_for_a_bound_session",
        "test_no_single_factor_resumes_a_bound_session",
    ),
    "5.1.1-1": _COOKIES,
    "5.1.1-2": _COOKIES,
    "5.1.1-3": _COOKIES,
    "5.1.1-4": _COOKIES + _LIMITS,
    "5.1.1-5": _COOKIES,
    "5.1.1-6": _COOKIES,
    "5.1.1-7": at(_SESSIONS, "test_5_1_a_an_id_is_made_for_a_sign_in_and_has_256_bits"),
    "5.2-a": at(
        "auth/test_sessions.py",
        "test_the_idle_limit_is_exact",
        "test_the_absolute_limit_is_exact_whatever_the_activity",
    ),
    "5.2-b": at(_SESSIONS, "test_5_2_b_activity_begins_the_idle_limit_anew_and_a_sign_in_both"),
    "5.2-c": at(
        "browser/test_session_warning.py",
        "test_it_warns_tells_both_limits_and_stays_when_asked_by_keyboard",
    ),
    "5.3": at(
        "auth/test_session_policy.py",
        "test_another_browser_is_recorded_once_and_asks_for_a_factor_until_one_is_shown",
        "test_another_network_is_recorded_and_hides_no_later_change_of_the_browser",
    ),
    # Appendix B: synced passkeys
    "B-uv": at(_KEYS, "test_creation_options") + at(_ASSERTION, "test_a_uv_key_05") + _TABLE,
    "B-be": at(_ASSURANCE, "test_a_synced_passkey_never_reaches_level_3"),
    "B-bs": at(_ASSERTION, "test_backup_state_follows_the_newest_use"),
    "B-att": at(
        "auth/passkeys/test_attestation.py",
        "test_what_proves_nothing_is_refused_where_proof_is_required_and_taken_where_not",
    ),
})  # fmt: skip

NOT_TESTED: Mapping[str, str] = MappingProxyType({
    "3.1.1.2-typo": "a MAY that is not taken: what was typed is verified exactly (V6.2.8)",
    "3.1.4.2-c": "a MAY that is not taken: a code that was used is recorded as such, and refused like a wrong one",
    "3.2.10": "an authenticator's own PIN and its retries never reach portalsec, which learns that the user was verified",
    "4.1.2.2-a": "no binding codes: a passkey of another device is bound by the browser, the rest by signing in there",
    "4.4": "no authenticator of portalsec expires; codes and challenges that do are rows 3.1.3.2-a and 3.1.6.2-b",
})  # fmt: skip
