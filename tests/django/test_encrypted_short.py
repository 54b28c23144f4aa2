"""A short index finds candidates. It deletes nobody, changes nobody, excludes nobody, and knows of nobody for sure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import NotSupportedError, models
from django.db.models import Case, Count, Exists, FilteredRelation, OuterRef, Q, Value, When

from tests.django.clinic.models import Patient, Visit

pytestmark = pytest.mark.usefixtures("clinic")

HIT = {"surname": "n1"}
ROWS = 96


@pytest.fixture
def people(clinic: str) -> list[Patient]:
    made = Patient.objects.bulk_create([Patient(surname=f"n{n}", ssn=str(n)) for n in range(ROWS)])
    Visit.objects.bulk_create([Visit(patient=each, note="n") for each in made])
    assert 1 < Patient.objects.filter(**HIT).count() < ROWS  # four bits
    return made


@pytest.mark.parametrize(
    "write",
    [
        lambda p: p.filter(**HIT).delete(),
        lambda p: p.filter(surname__in=["n1", "n2"]).delete(),
        lambda p: p.filter(surname_begins="n1").delete(),
        lambda p: p.filter(Q(**HIT) | Q(ssn="1")).delete(),
        lambda p: p.filter(ssn="1", **HIT).delete(),
        lambda p: p.filter(**HIT).filter(visits__note__isnull=False).delete(),
        lambda p: p.filter(pk__in=Patient.objects.filter(**HIT)).delete(),
        lambda p: p.filter(**HIT)._raw_delete("default"),
        lambda p: p.filter(**HIT).update(ward="x"),
        lambda p: p.filter(surname_begins__in=["n1"]).update(ward="x"),
        lambda p: p.update(ward=Case(When(surname="n1", then=Value("x")), default=Value(""))),
    ],
)
@pytest.mark.parametrize("manager", [Patient.objects, Patient.exact])
def test_what_writes_is_refused(people: list[Patient], manager: Any, write: Callable[[Any], Any]) -> None:
    with pytest.raises(NotSupportedError, match=r"(4|16) bits.*hit other people's rows.*matching"):
        write(manager)
    assert Patient.objects.filter(ward="").count() == Visit.objects.count() == ROWS


def test_what_writes_across_a_relation_is_refused(people: list[Patient]) -> None:
    for query in (
        Visit.objects.filter(patient__surname="n1"),
        Visit.objects.filter(patient__in=Patient.objects.filter(**HIT)),
        Visit.objects.filter(Exists(Patient.objects.filter(pk=OuterRef("patient"), **HIT))),
    ):
        for write in (query.delete, lambda query=query: query.update(note=None)):
            with pytest.raises(NotSupportedError, match="hit other people's rows"):
                write()
    assert Visit.objects.count() == ROWS


def test_rows_that_are_named_by_their_keys_are_written(people: list[Patient]) -> None:
    for manager in (Patient.objects, Patient.exact):
        found = Patient.exact.matching(surname="n1")
        assert manager.filter(pk__in=[each.pk for each in found]).update(ward="x") == 1
        # As the admin does with what was ticked in a search.
        assert manager.filter(**HIT).filter(pk__in=[found[0].pk]).update(ward="y") == 1
    assert Patient.objects.filter(**HIT).filter(pk=found[0].pk).delete()[0] == 2
    assert people[2].delete()[0] == 2
    assert Patient.objects.filter(ssn="3").delete()[0] == 2
    assert Patient.objects.all().delete()[0] == 2 * (ROWS - 3)


@pytest.mark.parametrize(
    "ask",
    [
        lambda p: p.exclude(**HIT),
        lambda p: p.exclude(surname__in=["n1"]),
        lambda p: p.exclude(surname_begins="n1"),
        lambda p: p.exclude(ssn="1", **HIT),
        lambda p: p.filter(~Q(**HIT)),
        lambda p: p.filter(~(Q(**HIT) & Q(ward=""))),
        lambda p: p.filter(~Q(~Q(**HIT) & Q(ward=""))),
        lambda p: p.filter(Q(**HIT) ^ Q(ward="")),
        lambda p: p.annotate(it=Q(**HIT)).filter(it=False),
        lambda p: p.annotate(it=Case(When(surname="n1", then=0), default=1)).filter(it=1),
        lambda p: p.annotate(n=Count("pk", filter=~Q(**HIT))),
    ],
)
@pytest.mark.parametrize("manager", [Patient.objects, Patient.exact])
def test_what_it_does_not_find_is_not_asked(
    people: list[Patient], manager: Any, ask: Callable[[Any], Any]
) -> None:
    with pytest.raises(NotSupportedError, match=r"(4|16) bits.*left out, too.*compare in Python"):
        list(ask(manager))


@pytest.mark.parametrize(
    "ask",
    [
        lambda: Patient.exact.exclude(visits__patient__surname="n1"),
        lambda: Visit.objects.exclude(patient__surname="n1"),
        lambda: Visit.objects.exclude(patient__in=Patient.objects.filter(**HIT)),
        lambda: Visit.objects.filter(~Exists(Patient.objects.filter(pk=OuterRef("patient"), **HIT))),
        lambda: Patient.exact.difference(Patient.objects.filter(**HIT)),
        lambda: Visit.objects.annotate(
            who=FilteredRelation("patient", condition=Q(patient__surname="n1"))
        ).filter(who__isnull=True),
    ],
)
def test_nor_across_a_relation(people: list[Patient], ask: Callable[[], Any]) -> None:
    with pytest.raises(NotSupportedError, match=r"4 bits.*left out, too"):
        list(ask())


def test_exists_is_asked_of_what_was_opened(people: list[Patient]) -> None:
    with pytest.raises(NotSupportedError, match=r"4 bits.*matching"):
        Patient.exact.filter(surname="nobody").exists()
    with pytest.raises(NotSupportedError, match=r"4 bits.*matching"):
        Patient.exact.filter(**HIT).contains(people[1])
    assert Patient.exact.matching(surname="n1") == [people[1]]
    assert not Patient.exact.matching(surname="nobody")
    assert Patient.exact.filter(ssn="1").exists() and Patient.exact.exists()
    found = Patient.exact.filter(**HIT)
    assert list(found) and found.exists()


def test_a_search_finds_the_candidates(people: list[Patient]) -> None:
    for query in (
        Patient.exact.filter(**HIT),
        Patient.exact.filter(Q(**HIT) | Q(surname="n2"), ~Q(ward="x")),
        Patient.exact.filter(pk__in=Patient.objects.filter(**HIT)),
        Patient.exact.filter(Exists(Patient.objects.filter(pk=OuterRef("pk"), **HIT))),
        Patient.exact.filter(**HIT).exclude(ssn="2"),
        Patient.exact.filter(**HIT).union(Patient.objects.filter(surname="n2")),
        Patient.exact.annotate(it=Case(When(surname="n1", then=0), default=1)).order_by("it"),
    ):
        assert people[1] in query
    assert people[1] in [each.patient for each in Visit.objects.filter(patient__surname="n1")]


def test_a_model_without_a_short_index_is_deleted_as_ever() -> None:
    assert not models.signals.pre_delete.has_listeners(Visit)
    assert models.signals.pre_delete.has_listeners(Patient)
