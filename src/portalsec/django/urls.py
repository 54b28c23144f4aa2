"""The way to a session and out of it: ``path("", include("portalsec.django.urls"))``."""

from __future__ import annotations

from django.urls import path

from portalsec.django import views

app_name = "portalsec"

urlpatterns = [
    path("sign-in", views.sign_in, name="sign-in"),
    path("sign-in/code", views.code, name="code"),
    path("sign-in/set-up", views.set_up, name="set-up"),
    path("sign-in/set-up/confirm", views.confirm_set_up, name="confirm-set-up"),
    path("sign-out", views.sign_out, name="sign-out"),
    path("signed-out", views.signed_out, name="signed-out"),
    path("session/left", views.session_left, name="session-left"),
    path("session/stay", views.session_stay, name="session-stay"),
]
