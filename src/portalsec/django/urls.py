"""The way to a session and out of it, and the pages about one's account: ``path("", include("portalsec.django.urls"))``.

Include it at the root: mailed links and the script of the meter know these addresses as they are.
"""

from __future__ import annotations

from django.urls import path

from portalsec.account_pages import SCRIPTS
from portalsec.django import views
from portalsec.django.account_views import ADDRESSES, account_view, script_view

app_name = "portalsec"

urlpatterns = [
    path("sign-in", views.sign_in, name="sign-in"),
    path("sign-in/code", views.code, name="code"),
    path("sign-in/set-up", views.set_up, name="set-up"),
    path("sign-in/set-up/confirm", views.confirm_set_up, name="confirm-set-up"),
    path("sign-out", views.sign_out, name="sign-out"),
    path("session/left", views.session_left, name="session-left"),
    path("session/stay", views.session_stay, name="session-stay"),
    *(
        path(f"portalsec/{script}", script_view(script), name=script.removesuffix(".js"))
        for script in SCRIPTS
    ),
    *(path(address[1:], account_view(name), name=name) for name, address in ADDRESSES.items()),
]
