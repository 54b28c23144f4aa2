from __future__ import annotations

from clinic import officer, search, views
from django.urls import include, path

urlpatterns = [
    path("", include("portalsec.django.urls")),
    path("", views.home, name="home"),
    path("record", views.my_record, name="my-record"),
    path("record/seen", views.my_seen, name="my-seen"),
    path("patients", views.my_patients, name="patients"),
    path("patients/<uuid:patient_id>", views.patient_record, name="patient"),
    path("family/<uuid:patient_id>", views.family_record, name="family"),
    path("desk", search.desk, name="desk"),
    path("erase", search.whom_to_erase, name="erase"),
    path("erase/<uuid:patient_id>", officer.erase_patient, name="erase-patient"),
    path("audit", views.audit_log, name="audit"),
]
