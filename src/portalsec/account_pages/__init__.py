"""portalsec's pages about an account, without a framework: what each one does, and what an adapter does for it.

An adapter makes one `AccountPages` for its portal and serves every `Route` of it:

1. Refuse what another site caused (`portalsec.web.check_same_site`), before anything else.
2. Read the form of a POST strictly (one value a name, UTF-8, no NUL, bounded), or the query of a GET; the body of
   a route with ``asks_json`` is one flat JSON object of texts.
3. Make an `Asked` of it: the form, the source, the six cookies (a tossed one is refused and recorded), and the language:
   `language_of` the Accept-Language header, among the ``languages`` of its `AccountPages`.
4. Call the operation, one hop into a thread of the route's `Lane`.
5. Answer with the `Reply`: a redirect (303), JSON, or the application's page of that name with those values; then the
   headers, over the usual ones, and the Set-Cookie lines. What an operation raises, the adapter answers as ever; to
   STEP_UP_REQUIRED with `step_up_reply`, which leads to a page and back, or tells a script so, and to CROSS_SITE with
   `cross_site_reply`, where that has one. Its page of a 401 leaves the session's cookie where it is, and for SESSION_IDLE links to `resume_page` of the request's address. Where `acted_here`,
   it redirects (303) to `ACT_OVER` before all that.
6. Serve each of `SCRIPTS` as ``/portalsec/<name>``, and ``/session/left``, ``/session/stay`` and ``/sign-out`` by the
   operations of `SessionPages`.

Pages, and what each shows besides ``errors`` (a tuple of `Trouble`) and, where a budget is used up, ``wait`` (seconds):

==================  ==================================================================================================
forgot              typed: what was posted as ``name``
forgot_sent         lives: how long the link is good (timedelta); the same whoever asked, whoever was asked about
reset_link          token: a button that posts it to ``/password/link``
link_dead           what: "reset", "unlock", "register", "email", "not_me", "undo" or "sign_in"
new_password        least (characters)
forced_password     next, least, changed (the password is the new one: sign in with it)
unlock              typed: as above
unlock_sent         lives
unlock_link         token, posted to ``/unlock/link``
unlocked            nothing
mail_link           typed: as above
mail_link_sent      lives
sign_in_link        token, posted to ``/sign-in/link``
not_me              notice (`NoticeView`), token, posted to ``/not-me``
disavowed           removed, kept (`ContactView`, not in full): addresses; choose: whether it leads to ``/password/new``,
                    else to ``/password/forgot``
register            typed: what was posted as ``email``
register_sent       lives
register_link       token, posted to ``/register/link``
register_account    login, least
email_link          token, posted to ``/account/email/link``
email_confirmed     nothing
password            session, least, changed
email               session, contacts (`ContactView`), removing (one of them or None), email, done
messages, activity  session, notices (`NoticeView`), older; activity: disavowing (`NoticeView`, of ``?notice=``) or None
incident            session, incident (`IncidentView`), lines (`SeenLine`), before
devices             session, devices (`DeviceView`), removed, distrusted; posts ``device``, and ``do=distrust``
sessions            session, sessions (`portalsec.auth.session_list.ListedSession`), ended: "one", "others" or ""
session_ended       again (a path): after the server's end, where session.js goes; a link to again goes on with the session
                    where one factor will do, and else leads to the sign-in
secure              session, signed_out, password_changed_at, factors, factor_added, incidents (`IncidentView`)
factor              session, factors (labels): with any, it only says so
factor_code         session, qr (`Drawing`), key: both once, empty after a wrong code; posts to
                    ``/account/factor/confirm``
passkey             next, others: a passkey as second factor, and what would do instead ("totp", "recovery_code", ...);
                    other: where all of these are to be chosen from, or ""
other_ways          next, ors, ways (`WayView`): a link to each, or a button that posts ``factor`` and has a code sent
sent_code           next, ors, other, factor ("email_code", "sms_code"), to (in part, or ""); posts to
                    ``/sign-in/sent-code``, and for another code to ``/sign-in/other``
recovery_code       next, ors, other: posts ``code``
sign_in_over        next: the sign-in that was under way is dead, and begins anew
passkey_set_up      next, others, other: one that the policy asks for
resume              next, ways ("password", "passkey"): one of them goes on with a session that idleness ended
step_up             session, next, ways ("password", "totp", "passkey", "recovery_code"), only (for a hidden field ``or``):
                    a factor is shown again, one of ways, all of which the page offers; set_up, where there are none (of
                    the same names): what to set up for it. Without both: sign out, and in again
factors             session, held, removed (`HeldView`), codes_left, codes_made_at, few_codes, trusted (`TrustedView`),
                    removing, renaming (one of held or None), passkeys, signal (JSON for passkeys.js), done; posts ``do``
factor_new          session; posts ``label``
factor_confirm      session, qr (`Drawing`), key: both once, empty after a wrong code; posts to
                    ``/account/factors/totp/confirm``
factor_import       session; posts ``pasted``, from a textarea that no browser fills in, keeps or checks the spelling of
                    (autocomplete=off, spellcheck=false, data-keep=no on its form)
factor_import_code  session, waiting (`WaitingView`), entry (the place that was chosen, or None), done ("added" or "");
                    posts ``entry`` and ``code``, or ``do=drop``, to ``/account/factors/import/confirm``
passkey_new         session: a button for passkeys.js, ``/account/passkeys/begin`` and ``/account/passkeys/add``
codes_new           session, codes_left: a button that makes new ones
recovery_codes      session, codes (texts), made_at, download (a data address), onward (where to go then): once, in the
                    answer to a POST
undo                notice (`NoticeView`), adds, token, posted to ``/undo``
undone              adds: whether it put one back, or took one away
close               session
closed              nothing
act_as              session, login, account, reason, minutes (choices), chosen, next, stronger (a page that shows a
                    factor, or ""), ended: of staff that acts in an owner's name, where the portal has `may_impersonate`
act_over            lives (it goes on, and posts to ``/act-as/end``), back (there is a way back, by the same), next
==================  ==================================================================================================

Beside these an application has ``signed_out`` (nothing; after the button).

Every page of a session in which support acts says so: `acting_view` is what, `ActingView` has what to show.

A form posts to the address that showed it, with the fields that its operation's docstring names.
"""

from portalsec.account_pages.acting import ACT_AS, ACT_END, ActingView, acting_view
from portalsec.account_pages.authenticators import HeldView, TrustedView
from portalsec.account_pages.exchange import (
    CHOOSE_WAY,
    Asked,
    Lane,
    Operation,
    Reply,
    Route,
    Trouble,
    language_of,
    others_of,
    step_cookies,
    step_page,
)
from portalsec.account_pages.importing import WaitingView
from portalsec.account_pages.other_ways import WayView, other_page, trust_offered
from portalsec.account_pages.pages import AccountPages
from portalsec.account_pages.resume import resume_page
from portalsec.account_pages.scripts import SCRIPTS, guard_hash, script
from portalsec.account_pages.sessions import SessionPages, who
from portalsec.account_pages.shortfall import cross_site_reply, step_up_page, step_up_reply
from portalsec.account_pages.views import (
    ContactView,
    DeviceView,
    Drawing,
    IncidentView,
    NoticeView,
    incident_view,
)
from portalsec.account_pages.way_back import ACT_OVER, acted_here, sign_off, signed_over, way_back

__all__ = [
    "ACT_AS",
    "ACT_END",
    "ACT_OVER",
    "CHOOSE_WAY",
    "SCRIPTS",
    "AccountPages",
    "ActingView",
    "Asked",
    "ContactView",
    "DeviceView",
    "Drawing",
    "HeldView",
    "IncidentView",
    "Lane",
    "NoticeView",
    "Operation",
    "Reply",
    "Route",
    "SessionPages",
    "Trouble",
    "TrustedView",
    "WaitingView",
    "WayView",
    "acted_here",
    "acting_view",
    "cross_site_reply",
    "guard_hash",
    "incident_view",
    "language_of",
    "other_page",
    "others_of",
    "resume_page",
    "script",
    "sign_off",
    "signed_over",
    "step_cookies",
    "step_page",
    "step_up_page",
    "step_up_reply",
    "trust_offered",
    "way_back",
    "who",
]
