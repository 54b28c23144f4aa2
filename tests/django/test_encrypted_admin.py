"""Forms and the real admin: each field renders, validates and saves; what does not open shows nothing of itself."""

from __future__ import annotations

import html
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from django import forms
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.core.exceptions import FieldError
from django.test import Client
from django.urls import path

from portalsec.errors import DecryptionError
from tests.django.browser import signed_in, someone
from tests.django.clinic.models import Patient, Person
from tests.django.test_encrypted_fields import FULL, raw, swap
from tests.django.urls import urlpatterns as project_urls

pytestmark = pytest.mark.usefixtures("clinic")

PAGES = "/admin/clinic/patient/"


class PatientForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Patient
        fields = ["ward", "ssn", "surname", "born", "seen", "weight", "children", "smoker", "history"]


SENT: dict[str, Any] = {
    "ward": "w", "ssn": "1-2", "surname": "Curie", "born": "1867-11-07", "seen": "2026-11-22 09:30:00", "weight": "61.50",
    "children": "2", "smoker": "true", "history": '{"a": [1]}',
}  # fmt: skip


# -- forms ---------------------------------------------------------------------------------------------------------------


def test_a_form_takes_and_shows_each_field() -> None:
    form = PatientForm(SENT)
    assert form.is_valid(), form.errors
    patient = Patient.objects.get(pk=form.save().pk)
    assert (patient.ssn, patient.surname, patient.born) == ("1-2", "Curie", date(1867, 11, 7))
    assert (patient.weight, patient.children, patient.smoker) == (Decimal("61.50"), 2, True)
    assert (patient.history, patient.seen.utcoffset() is not None) == ({"a": [1]}, True)
    assert Patient.objects.get(ssn="12") == patient
    shown = str(PatientForm(instance=patient))
    for value in ("1-2", "Curie", "1867-11-07", "61.50", "2026-11-22", "&quot;a&quot;: [1]"):
        assert value in shown
    again = {**SENT, "initial-history": SENT["history"]}  # what Django's forms of a callable default ask for
    assert not PatientForm(again, instance=patient).has_changed()
    changed = PatientForm({**again, "surname": "Joliot", "born": "1897-09-12"}, instance=patient)
    assert changed.changed_data == ["surname", "born"]
    changed.save()
    assert Patient.objects.get().surname == "Joliot"
    assert Patient.objects.get(surname_begins="jol").born == date(1897, 9, 12)


def test_a_form_says_what_is_wrong_without_saying_the_value() -> None:
    wrong = {
        "surname": "x" * 41,
        "born": "secret-1",
        "weight": "1000.123",
        "children": "secret-2",
        "history": "{secret",
    }
    form = PatientForm({**SENT, **wrong})
    assert set(form.errors) == set(wrong)
    assert not {name for name, said in form.errors.items() if "secret" in str(said) and name != "history"}
    form = PatientForm({"surname": ""})
    assert set(form.errors) == {"surname", "children"}


def test_a_form_without_a_value_stores_null() -> None:
    form = PatientForm({"surname": "x", "children": "0", "ssn": "", "smoker": "unknown", "history": "{}"})
    patient = Patient.objects.get(pk=form.save().pk)
    assert (patient.ssn, patient.born, patient.weight, patient.smoker) == (None, None, None, None)
    assert raw(patient, "ssn") is None


# -- the admin -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def staff(client: Client, world: Any) -> Client:
    person = someone(world, "root")
    get_user_model().objects.filter(username="root").update(is_staff=True, is_superuser=True)
    signed_in(client, person)
    return client


def admin_form(**changes: str) -> dict[str, str]:
    sent = {**SENT, "seen_0": "2026-11-22", "seen_1": "09:30:00", **changes}
    del sent["seen"]
    return sent


def test_add_change_list_and_search(staff: Client) -> None:
    assert staff.get(PAGES + "add/").status_code == 200
    assert staff.post(PAGES + "add/", admin_form()).status_code == 302
    patient = Patient.objects.get(ssn="12")
    page = f"{PAGES}{patient.pk}/change/"
    shown = html.unescape(staff.get(page).content.decode())
    for value in ("1-2", "Curie", "1867-11-07", "61.50", "09:30:00", '{"a": [1]}'):
        assert value in shown
    assert staff.post(page, admin_form(surname="Joliot")).status_code == 302
    assert Patient.objects.get().surname == "Joliot"
    entry = LogEntry.objects.order_by("-pk")[0]
    assert "Joliot" not in entry.change_message + entry.object_repr and "Surname" in entry.change_message
    # Of 16 tags: who is to be missed must have another one than what is sought.
    tags = Patient._meta.get_field("surname_index").tags
    nothing = next(text for text in map(str, range(90, 999)) if tags(text) not in (tags("Joliot"), [None]))
    other = next(
        name for name in ("Meitner", "Noether", "Franklin", "Hodgkin", "Curie") if tags(name) != tags("1-2")
    )
    Patient.objects.create(surname=other, ssn="3")
    listed = staff.get(PAGES).content.decode()
    assert "Joliot" in listed and other in listed
    for sought, hit in (("1-2", True), ("12", True), ("joliot", True), (nothing, False), ("w", True)):
        found = staff.get(PAGES, {"q": sought}).content.decode()
        assert ("Joliot" in found) is hit, sought
    assert other not in staff.get(PAGES, {"q": "1-2"}).content.decode()
    refused = staff.post(page, admin_form(born="no date", surname="x" * 41)).content.decode()
    assert "Enter a valid date" in refused and Patient.objects.get(ssn="12").surname == "Joliot"
    assert staff.post(f"{PAGES}{patient.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not Patient.objects.filter(ssn="12")


def test_a_cell_that_does_not_open_is_an_error_page_and_never_a_value(staff: Client) -> None:
    patients = [Patient.objects.create(**FULL) for _ in range(2)]
    swap(*patients, "surname")
    staff.raise_request_exception = False
    for page in (PAGES, f"{PAGES}{patients[0].pk}/change/"):
        answer = staff.get(page)
        assert answer.status_code == 500
        _holds_nothing(answer.content, patients)


def test_a_cell_that_does_not_open_is_not_written_over_by_the_admin(staff: Client) -> None:
    """It reads the old value to say what changed, after its save: all of that is rolled back."""
    patients = [Patient.objects.create(**FULL) for _ in range(2)]
    swap(*patients, "surname")
    stored = Patient.objects.order_by("pk").values()
    before, entries = [dict(row) for row in stored.all()], LogEntry.objects.count()
    staff.raise_request_exception = False
    saved = staff.post(f"{PAGES}{patients[0].pk}/change/", admin_form())
    assert saved.status_code == 500
    _holds_nothing(saved.content, patients)
    assert [dict(row) for row in stored.all()] == before
    assert LogEntry.objects.count() == entries
    # The way out is code that means it: what is assigned takes the place of what does not open, in this row alone.
    patient = Patient.objects.get(pk=patients[0].pk)
    patient.surname = "Curie"
    patient.save()
    assert staff.get(f"{PAGES}{patient.pk}/change/").status_code == 200
    assert staff.post(f"{PAGES}{patient.pk}/change/", admin_form(surname="Joliot")).status_code == 302
    assert Patient.objects.get(surname_begins="jol").surname == "Joliot"
    with pytest.raises(DecryptionError):
        _ = Patient.objects.get(pk=patients[1].pk).surname


def _holds_nothing(content: bytes, patients: list[Patient]) -> None:
    text = html.unescape(content.decode())
    for patient in patients:
        for name in ("ssn", "surname"):
            assert str(getattr(patient, name)) not in text
            assert raw(patient, name).hex() not in text and str(raw(patient, name)) not in text


def _reads(request: Any, pk: str) -> Any:
    from django.http import HttpResponse

    return HttpResponse(f"The name is {Patient.objects.get(pk=pk).surname}")


class _Urls:
    urlpatterns = [*project_urls, path("name/<uuid:pk>", _reads)]


def test_a_view_that_reads_it_is_an_error_page(client: Client, settings: Any) -> None:
    settings.ROOT_URLCONF = _Urls
    patients = [Patient.objects.create(**FULL) for _ in range(2)]
    assert FULL["surname"] in client.get(f"/name/{patients[0].pk}").content.decode()
    swap(*patients, "surname")
    with pytest.raises(DecryptionError):
        client.get(f"/name/{patients[0].pk}")
    client.raise_request_exception = False
    answer = client.get(f"/name/{patients[0].pk}")
    assert answer.status_code == 500
    _holds_nothing(answer.content, patients)


def test_search_fields_that_would_be_refused_are_a_warning() -> None:
    from django.contrib import admin

    from portalsec.django.field_checks import check_encryption

    class Careless(admin.ModelAdmin):  # type: ignore[type-arg]
        search_fields = ("phone", "=phone", "code")
        ordering = ("phone",)
        list_filter = ("phone",)
        date_hierarchy = "phone"

    admin.site.register(Person, Careless)
    try:
        found = [message for message in check_encryption(None) if message.id == "portalsec.W020"]
        assert len(found) == 5
        assert "phone__exact" in (found[0].hint or "")
        with pytest.raises(FieldError, match=r"persons\.phone is encrypted"):
            Careless(Person, admin.site).get_search_results(None, Person.objects.all(), "x")  # type: ignore[arg-type]
    finally:
        admin.site.unregister(Person)


@pytest.mark.parametrize(
    ("shown", "sortable", "warned"),
    [
        (("code", "phone"), None, ["'phone'"]),
        (("code", "phone"), ("code",), []),
        (("code", "phone"), (), []),
        (("code", "phone"), ("code", "phone"), ["'phone'"]),
        (("code", "shows"), None, ["'shows'"]),
        (("code",), None, []),
    ],
)
def test_a_column_that_people_could_sort_by_is_a_warning(
    shown: tuple[str, ...], sortable: tuple[str, ...] | None, warned: list[str]
) -> None:
    from django.contrib import admin

    from portalsec.django.field_checks import check_encryption

    class Careless(admin.ModelAdmin):  # type: ignore[type-arg]
        list_display = shown
        sortable_by = sortable

        @admin.display(ordering="-phone")
        def shows(self, person: Person) -> str:
            return "hidden"

    admin.site.register(Person, Careless)
    try:
        found = [message for message in check_encryption(None) if message.id == "portalsec.W021"]
        assert len(found) == len(warned)
        assert all(
            name in each.msg and "sortable_by" in (each.hint or "")
            for name, each in zip(warned, found, strict=True)
        )
    finally:
        admin.site.unregister(Person)


def test_moments_are_shown_in_the_time_zone_of_the_page(settings: Any) -> None:
    settings.TIME_ZONE = "Asia/Kathmandu"
    patient = Patient.objects.create(surname="x", seen=datetime(2026, 1, 1, 0, 0, tzinfo=UTC))
    assert "2026-01-01 05:45:00" in str(PatientForm(instance=Patient.objects.get(pk=patient.pk)))
