"""English. ``LETTERS`` gives for each kind a subject and what happened; ``PHRASES`` is what all letters share."""

from __future__ import annotations

LETTERS = {
    "signed_in": (
        "You signed in",
        "Somebody signed in to your account from a browser that you have used before.",
    ),
    "new_device": (
        "New sign-in to your account",
        "Somebody signed in to your account from a browser that you have not used here before.",
    ),
    "unfinished_sign_in": (
        "Somebody knows your password",
        "Somebody typed your right password, and then did not finish signing in. Nobody got in. If you tried it "
        "yourself and stopped, all is well. If not, somebody else knows your password.",
    ),
    "locked": (
        "Many wrong passwords",
        "Somebody tried many wrong passwords at your account. For a while, a new browser cannot sign in to it; one "
        "that you have used before still can. Nobody got in this way.",
    ),
    "password_changed": ("Your password was changed", "The password of your account was changed."),
    "password_reset": (
        "Your password was reset",
        "A new password for your account was chosen through a link that we mailed.",
    ),
    "password_required": (
        "Choose a new password at your next sign-in",
        "We ask you to choose a new password when you sign in next. Open the portal as you always do; no link in a "
        "mail is needed.",
    ),
    "factor_added": (
        "A second step was added to sign-in",
        "An authenticator was added to your account: signing in now asks for its code as well.",
    ),
    "factor_removed": (
        "A second step was removed from sign-in",
        "An authenticator was removed from your account.",
    ),
    "factor_restored": (
        "A second step of sign-in is back",
        "An authenticator that was removed from your account within the last day is back: it counts again.",
    ),
    "factor_renamed": (
        "An authenticator of yours has another name",
        "One of your authenticators was given another name in your list. It works as before.",
    ),
    "factor_disabled": (
        "An authenticator of yours opens nothing any more",
        "Somebody who knows your password tried too many wrong codes of your authenticator, so it is switched off for "
        "good. Sign in with another one or with a recovery code, choose a new password, and set up a new authenticator.",
    ),
    "recovery_code_used": (
        "A recovery code was used",
        "Somebody used one of your recovery codes to sign in to your account.",
    ),
    "recovery_codes_made": (
        "New recovery codes were made",
        "New recovery codes were made for your account. Those that you had before open nothing any more.",
    ),
    "recovery_codes_few": (
        "You have few recovery codes left",
        "Few of your recovery codes are left. Make new ones after signing in, while your authenticator is at hand.",
    ),
    "recovery_codes_removed": (
        "Your recovery codes open nothing any more",
        "Somebody said for your account that something was not them. The recovery codes that were made since then were "
        "removed with it: throw them away. After signing in, make new ones, and keep them where you find them.",
    ),
    "account_unlocked": (
        "Your account was unlocked",
        "Your account was unlocked: new browsers can sign in to it again.",
    ),
    "break_glass": (
        "Your record was opened in an emergency",
        "Somebody who normally cannot see your record opened it and gave an emergency as the reason. Every such "
        "access is looked at. You can see who it was, and when, after signing in.",
    ),
    "contact_added": (
        "An e-mail address was added",
        "An e-mail address was added to your account. It gets mails such as this one from now on.",
    ),
    "contact_removed": (
        "An e-mail address was removed",
        "An e-mail address was removed from your account. It gets no more mail from us after this one.",
    ),
    "device_removed": (
        "A browser was forgotten",
        "A browser that your account knew was forgotten. The next sign-in from it counts as one from a new browser.",
    ),
    "device_reused": (
        "A browser of yours may have been copied",
        "We saw an old copy of what we keep in your browser to know it again. That browser is forgotten now. If you "
        "restored it from a backup, all is well. If not, somebody may have copied data from your computer.",
    ),
    "device_trusted": (
        "A browser is trusted from now on",
        "Somebody who was signed in to your account asked us to trust the browser that they used: for a while, signing "
        "in from it may ask for less. You can end that at any time.",
    ),
    "factor_reset_by_support": (
        "Our support desk reset your second step",
        "The authenticator of your account was removed by our support desk, because somebody said that it was lost. Your "
        "password opens nothing any more either: another mail brings a link to a new one. After that you set up a new "
        "authenticator.",
    ),
    "impersonated": (
        "Our support desk looked at your account",
        "Somebody of our support desk opened the portal in your name, to help with a request. They see what you see; they "
        "cannot change your password, your second step or your e-mail address. It ends by itself after a short time, and "
        "while it lasts you find it among your sessions and can end it there.",
    ),
    "account_disabled": (
        "Your account was disabled",
        "Your account was disabled. Nobody can sign in to it until we enable it again.",
    ),
    "account_closed": (
        "Your account was closed",
        "Your account was closed at the request of somebody who was signed in to it and knew its password.",
    ),
    "dormant": (
        "Your account will be disabled soon",
        "Nobody has signed in to your account for a long time. Accounts that nobody uses are disabled, so that "
        "nobody else can use them. To keep it, open the portal as you always do, and sign in.",
    ),
    "request.reset": (
        "Choose a new password",
        "Somebody asked for a new password for your account. If it was you, open the page below and choose one. If "
        "not, do nothing: your password stays as it is.",
    ),
    "request.verify": (
        "Is this your e-mail address?",
        "Somebody wants mail of an account at {portal} to come to this address. If it was you, open the page below "
        "to say yes. If not, do nothing.",
    ),
    "request.unlock": (
        "Unlock your account",
        "Somebody asked to unlock your account. If it was you, open the page below. If not, do nothing.",
    ),
    "request.register": (
        "Your new account",
        "Somebody asked for an account at {portal} with this address. If it was you, open the page below to go on. "
        "If not, do nothing: without it there is no account.",
    ),
    "request.code": (
        "Your code to sign in",
        "Somebody who knows your password is signing in to your account. If it is you, type the code below on the page "
        "that asks for it, and nowhere else. If not, tell the code to nobody, and change your password.",
    ),
    "request.sign_in": (
        "Your link to sign in",
        "Somebody wants to sign in to your account. If it is you, open the page below in the browser in which you asked: it "
        "works there alone, once, and for ten minutes. If not, do nothing, and give the link to nobody.",
    ),
}

PHRASES = {
    "registered_subject": "You have an account already",
    "registered": "Somebody asked for an account at {portal} with this address. There is one already, so nothing was "
    "changed. If it was you, open {portal} as you always do and sign in; if you forgot your password, choose "
    '"Forgotten password" there. If it was not you, do nothing.',
    "when": "When",
    "browser": "Browser",
    "place": "Network",
    "code": "This message",
    "go_on": "Open this page to go on",
    "works_once": "The page works once, and only for a short time.",
    "sign_in_code": "Code",
    "code_lives": "The code works once, for ten minutes at most, and only in the browser that asked for it.",
    "code_nobody": "Nobody from {portal} will ever ask you to tell them this code.",
    "undo": "To take back just this change, open this page within 24 hours, and confirm there",
    "not_me": "Was this not you? Open this page, and confirm there",
    "not_me_then": "It ends every sign-in to your account, asks for a new password, and lets us look into it.",
    "not_me_plain": 'Was this not you? Open {portal} as you always do, sign in, and go to "What happened to your account", '
    'under "My account": there is a button that says "This was not me".',
    "genuine": 'Is this mail really from us? Open {portal} as you always do, sign in, and go to "Messages we sent you", '
    'under "My account". You find this message there as {code}. We never ask for your password or for a code by mail.',
    "genuine_stranger": "We never ask for your password or for a code by mail.",
}

MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
MOMENT = "{day} {month} {year}, {time} UTC"
