from __future__ import annotations

from django.contrib import admin

from tests.django.clinic.models import Patient


@admin.register(Patient)
class PatientAdmin(admin.ModelAdmin):
    list_display = ("id", "ward", "surname")
    sortable_by = ("id", "ward")
    search_fields = ("ward", "ssn__exact", "surname__exact")
