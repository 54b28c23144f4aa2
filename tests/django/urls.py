from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from tests.django import project

urlpatterns = [
    path("", include("portalsec.django.urls")),
    path("", project.whoami),
    path("admin/", admin.site.urls),
    path("records/<str:patient_id>", project.record),
    path("records/<str:patient_id>/async", project.record_async),
    path("records/<str:patient_id>/amend", project.amend),
    path("records/<str:patient_id>/may", project.may),
    path("whoami", project.whoami),
    path("keep", project.keep),
    path("cycle", project.cycle),
    path("django-logs-in", project.django_logs_in),
    path("own-sign-in", project.own_sign_in),
    path("signs-out-and-goes-on", project.signs_out_and_goes_on),
    path("store-fails", project.store_fails),
    path("refuses", project.refuses),
]
