"""OWASP ASVS 5.0, chapters V6 and V7: every row of the vendored table, and the tests that hold it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tests.auth.standards import at

__all__ = ["HELD", "NOT_TESTED"]

_NEW = "auth/standards/test_new_passwords.py"
_THROTTLE = "auth/standards/test_throttle.py"
_LIFECYCLE = "auth/standards/test_lifecycle.py"
_RECOVERY = "auth/standards/test_recovery.py"
_PROOFS = "auth/standards/test_proofs.py"
_SESSIONS = "auth/standards/test_sessions.py"
_ENDS = "auth/standards/test_session_ends.py"
_SENT = "auth/test_out_of_band.py"
_CASES = "abuse/test_codes.py::TestInMemory"
_CODES = "auth/test_recovery_codes.py"
_FIELDS = at("examples/test_account.py", "test_every_password_field_says_which_it_is_and_may_be_pasted_into")
_ID = at(_SESSIONS, "test_5_1_a_an_id_is_made_for_a_sign_in_and_has_256_bits")
_LIMITS_SET = at(_SESSIONS, "test_v7_3_1_v7_3_2_limits_are_the_portals_to_set")

HELD: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "V6.1.1": at(_THROTTLE, "test_v6_1_1_the_page_on_throttling_says_what_the_policy_is"),
    "V6.1.2": at(_LIFECYCLE, "test_v6_1_2_the_organisations_words_are_a_setting_and_part_of_the_policy"),
    "V6.1.3": at("auth/standards/test_page.py", "test_v6_1_3_every_set_is_worth_what_the_page_says"),
    "V6.2.1": at(_NEW, "test_v6_2_1_never_under_8_and_15_where_it_is_alone"),
    "V6.2.2": at(
        "auth/test_password_change.py",
        "test_atk_14_of_three_sessions_two_die_and_the_one_that_changed_it_goes_on",
    ),
    "V6.2.3": at("auth/test_password_change.py", "test_pwd_09_no_password_is_set_without_the_current_one"),
    "V6.2.4": at(_NEW, "test_v6_2_4_three_thousand_common_ones_of_every_length_are_refused"),
    "V6.2.5": at(_NEW, "test_v6_2_5_any_mix_of_characters"),
    "V6.2.6": _FIELDS
    + at(
        "browser/test_account_walk.py",
        "test_forgotten_asked_for_by_mail_chosen_with_the_meter_and_signed_in",
    ),
    "V6.2.7": _FIELDS + at("examples/test_account.py", "test_no_password_field_cuts_what_is_pasted_into_it"),
    "V6.2.8": at(_NEW, "test_v6_2_8_what_was_typed_is_verified_exactly"),
    "V6.2.9": at(_NEW, "test_v6_2_9_64_characters_at_least"),
    "V6.2.10": at(_NEW, "test_v6_2_10_no_password_expires"),
    "V6.2.11": at(_NEW, "test_v6_2_11_the_context_words_are_used_where_a_password_is_set"),
    "V6.2.12": at(
        _NEW, "test_v6_2_12_new_ones_are_checked_against_breached_ones_and_an_outage_is_no_secret"
    ),
    "V6.3.1": at(_THROTTLE, "test_v6_3_1_brute_force_and_stuffing_meet_what_the_page_says"),
    "V6.3.2": at(_LIFECYCLE, "test_v6_3_2_a_new_portal_has_no_account"),
    "V6.3.3": at(
        _PROOFS,
        "test_v6_3_3_two_factors_or_where_policy_says_so_a_key_that_no_other_site_can_use",
        "test_2_2_pii_two_factors_are_asked_for_where_nobody_says_otherwise",
    ),
    "V6.3.4": at(_PROOFS, "test_v6_3_4_whatever_opens_a_session_is_on_the_page_of_ways_in")
    + at("auth/test_evidence.py", "test_only_sign_in_opens_sessions")
    + at("auth/test_exploration.py", "test_no_path_leads_past_the_policy"),
    "V6.3.5": at(
        _THROTTLE, "test_v6_3_5_the_owner_hears_of_a_new_place_a_half_finished_sign_in_and_of_guessing"
    ),
    "V6.3.6": at(_LIFECYCLE, "test_v6_3_6_mail_is_no_factor")
    + at("auth/test_door.py", "test_mailed_codes_are_off_unless_they_are_listed"),
    "V6.3.7": at(_LIFECYCLE, "test_v6_3_7_changes_of_credentials_and_addresses_are_told"),
    "V6.3.8": at(_THROTTLE, "test_v6_3_8_known_and_unknown_get_one_answer_and_cost_the_same")
    + at("auth/test_door.py", "test_a_name_without_passkeys_looks_and_costs_like_one_with"),
    "V6.4.1": at(
        _LIFECYCLE, "test_v6_4_1_activation_codes_are_random_short_lived_used_once_and_no_password"
    ),
    "V6.4.2": at("auth/standards/test_stored_passwords.py", "test_v6_4_2_no_hints_and_no_questions"),
    "V6.4.3": at(_RECOVERY, "test_v6_4_3_a_reset_exists_and_asks_for_the_second_factor"),
    "V6.4.4": at(_RECOVERY, "test_v6_4_4_a_lost_factor_takes_two_people_and_no_mail_replaces_it"),
    "V6.4.6": at(
        _LIFECYCLE, "test_v6_4_6_staff_may_have_a_password_changed_and_never_choose_or_learn_it"
    ),
    "V6.5.1": at(_CASES, "test_mfa_01_mfa_02_atk_06_a_code_is_good_once",
                 "test_mfa_06_atk_32_fifty_at_once_spend_a_code_once")
    + at(_SENT, "test_a_mailed_code_is_accepted_once"),
    "V6.5.2": at(_CODES, "test_the_store_has_keyed_hashes_bound_to_the_account"),
    "V6.5.3": at(_CASES, "test_mfa_15_a_seed_has_160_bits")
    + at(_PROOFS, "test_3_2_12_randomness_is_the_operating_systems"),
    "V6.5.4": at(_CASES, "test_atk_32_a_code_has_112_bits_and_more_and_opens_its_own_account_alone")
    + at(_SENT, "test_policies_that_make_no_sense_are_refused"),
    "V6.5.5": at("auth/test_totp_devices.py",
                 "test_the_window_moves_with_what_is_remembered_and_grows_no_wider")
    + at(_SENT, "test_it_is_over_after_its_time_and_late_mail_is_not_sent",
         "test_policies_that_make_no_sense_are_refused"),
    "V6.5.6": at(
        "auth/test_factors.py",
        "test_one_is_removed_and_can_be_put_back_for_a_day",
        "test_passkeys_are_removed_renamed_and_put_back_alike",
        "test_new_codes_take_the_place_of_the_old_ones_and_are_told",
        "test_behind_the_real_step_up_a_session_or_a_password_changes_no_factor_and_a_factor_does",
    )
    + at("auth/test_support.py", "test_two_people_reset_a_factor_and_the_owner_is_told"),
    "V6.5.7": at("auth/test_assurance.py", "test_two_factors_are_two_kinds_or_a_key_that_knows_its_user"),
    "V6.5.8": at("auth/test_totp.py", "test_a_clock_that_was_set_back_brings_no_code_back"),
    "V6.6.1": at(
        _SENT,
        "test_only_what_is_verified_gets_one_and_of_these_the_oldest",
        "test_nothing_is_sent_by_default",
    )
    + at(_PROOFS, "test_3_2_9_who_is_offered_sms_is_offered_what_is_not_restricted"),
    "V6.6.2": at(_SENT, "test_it_works_where_it_was_asked_for_and_nowhere_else"),
    "V6.6.3": at(_SENT, "test_a_few_tries_and_it_is_gone", "test_three_go_out_until_one_comes_back")
    + at(_PROOFS, "test_3_1_3_2_b_another_code_brings_no_tries_back"),
    "V6.6.4": at(
        "abuse/test_factors.py",
        "test_atk_10_codes_stop_after_three_that_nobody_typed_and_nothing_can_just_be_approved",
        "test_atk_10_there_is_no_way_to_approve_without_typing_a_number",
    ),
    "V6.7.1": at(_PROOFS, "test_3_1_6_2_a_a_public_key_that_is_stored_is_never_another_one")
    + at("auth/passkeys/test_metadata.py", "test_a_file_that_was_changed_is_refused"),
    "V6.7.2": at("auth/passkeys/test_service.py", "test_challenges_have_256_bits_and_fit_their_flow"),
    "V7.1.1": at(_SESSIONS, "test_v7_1_1_the_page_says_each_presets_limits_and_where_they_come_from"),
    "V7.1.2": at(_SESSIONS, "test_v7_1_2_the_page_says_how_many_and_what_one_more_does")
    + at(
        "auth/test_session_policy.py",
        "test_the_cap_ends_the_one_unused_the_longest",
        "test_the_cap_can_refuse_instead_and_counts_only_what_lives",
    ),
    "V7.2.1": at(
        "auth/test_sessions.py",
        "test_an_unknown_token_is_refused_and_recorded",
        "test_what_is_no_token_never_reaches_the_store",
    ),
    "V7.2.2": _ID + at("abuse/test_http.py", "test_byp_12_an_authorization_header_neither_opens_nor_breaks_anything"),
    "V7.2.3": _ID,
    "V7.2.4": at(_SESSIONS, "test_v7_2_4_every_proof_brings_another_id_and_the_one_before_is_dead")
    + at("fastapi/test_routers.py", "test_signing_in_over_a_session_ends_the_older_one"),
    "V7.3.1": _LIMITS_SET + at("auth/test_sessions.py", "test_the_idle_limit_is_exact"),
    "V7.3.2": at("auth/test_sessions.py", "test_the_absolute_limit_is_exact_whatever_the_activity")
    + at(_SESSIONS, "test_2_1_3_a_2_2_3_a_each_level_has_its_limit_and_it_ends_what_goes_on"),
    "V7.4.1": at(_ENDS, "test_v7_4_1_after_sign_out_or_a_limit_a_session_is_nothing"),
    "V7.4.2": at(_ENDS, "test_v7_4_2_disabling_ends_every_session")
    + at("auth/test_closing.py", "test_closing_ends_everything_and_tells_the_owner"),
    "V7.4.3": at(_ENDS, "test_v7_4_3_a_changed_factor_ends_all_other_sessions")
    + at("auth/test_endings.py", "test_adding_a_factor_ends_what_the_table_says")
    + at("auth/test_factors.py",
         "test_behind_the_real_step_up_a_session_or_a_password_changes_no_factor_and_a_factor_does"),
    "V7.4.4": at(_SESSIONS, "test_v7_4_4_signing_out_is_a_button_in_the_head_of_every_page"),
    "V7.4.5": at(_ENDS, "test_v7_4_5_staff_end_the_sessions_of_one_person_or_of_all"),
    "V7.5.1": at(_ENDS, "test_v7_5_1_a_session_alone_changes_no_password_and_no_address")
    + at("auth/test_factors.py", "test_each_change_asks_for_a_step_up_and_changes_nothing_without",
         "test_behind_the_real_step_up_a_session_or_a_password_changes_no_factor_and_a_factor_does")
    + at("fastapi/test_step_up.py", "test_byp_16_each_demand_is_met_by_what_its_page_offers")
    + at("django/test_step_up.py",
         "test_byp_16_a_passkey_and_a_code_are_offered_side_by_side_and_each_goes_on"),
    "V7.5.2": at(
        _SESSIONS, "test_v7_5_2_one_sees_ones_sessions_and_ends_them_after_a_factor_was_shown"
    ),
    "V7.5.3": at(_SESSIONS, "test_v7_5_3_what_matters_more_takes_more_than_the_session"),
    "V7.6.2": at("auth/test_evidence.py", "test_only_sign_in_opens_sessions")
    + at("fastapi/test_account.py",
         "test_rec_11_no_token_is_given_for_a_plain_get_and_none_is_taken_from_another_site"),
})  # fmt: skip

_NO_FEDERATION = "no identity provider's assertion is a way in: V6.3.4 lists every one that there is"

NOT_TESTED: Mapping[str, str] = MappingProxyType({
    "V6.4.5": "no authenticator of portalsec expires, so there is nothing to be reminded of",
    "V6.8.1": _NO_FEDERATION,
    "V6.8.2": _NO_FEDERATION,
    "V6.8.3": _NO_FEDERATION,
    "V6.8.4": _NO_FEDERATION,
    "V7.1.3": "no session of portalsec is another system's, nor the other way round",
    "V7.6.1": "no session of portalsec hangs on an identity provider's",
})  # fmt: skip
