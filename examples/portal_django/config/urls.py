from __future__ import annotations

from clinic import desk, views
from django.urls import include, path

urlpatterns = [
    path("", include("portalsec.django.urls")),
    path("", views.home, name="home"),
    path("record", views.my_record, name="my-record"),
    path("record/seen", views.my_seen, name="my-seen"),
    path("patients", views.my_patients, name="patients"),
    path("patients/<uuid:patient_id>", views.patient_record, name="patient"),
    path("family/<uuid:patient_id>", views.family_record, name="family"),
    path("desk", desk.search, name="desk"),
    path("audit", views.audit_log, name="audit"),
]
