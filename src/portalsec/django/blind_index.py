"""`BlindIndexField`: the column beside an encrypted one by which equal values are found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage
from django.db import models
from django.utils.functional import cached_property

from portalsec.crypto.blind_index import BlindIndex
from portalsec.crypto.normalise import Normaliser, exact
from portalsec.crypto.stretch import Argon2Cost
from portalsec.django import keys as key_source
from portalsec.django._cell_state import UNREAD, Cell, Tag
from portalsec.django._encrypted_sql import InTenant, index_lookup, refused_lookup
from portalsec.errors import ConfigurationError

__all__ = ["BlindIndexField"]

_DEFERRED: Any = object()


class BlindIndexField(models.BinaryField):  # type: ignore[type-arg]
    """Tags of another field, filled in when an instance is saved; never set by hand.

    ::

        ssn = EncryptedTextField(table="patients", column="ssn")
        ssn_index = BlindIndexField("ssn", bits=32, normalise=digits)

    ``filter(ssn="078-05-1120")`` then goes through it. Where a field has several indexes, the first that is declared
    serves the field, and each can be searched by its own name: ``filter(surname_begins="lov")``. A compound index,
    ``BlindIndexField(("surname", "born"), normalise=parts(name, year))``, is searched with a tuple.
    """

    portalsec_index = True

    def __init__(
        self,
        source: str | Sequence[str],
        *,
        bits: int,
        normalise: Normaliser | str = exact,
        keys: str = "index",
        table: str | None = None,
        column: str | None = None,
        slow: Argon2Cost | str | None = None,
        **kwargs: Any,
    ) -> None:
        """
        Args:
            source: name of the encrypted field of the same model, or several for a compound index.
            bits: length of a tag; `BlindIndex.plan` recommends one.
            normalise: what counts as the same. A migration keeps its id alone.
            keys: name of the keyset of index keys.
            table, column: labels, as of `BlindIndex`; the field's own by default.
            slow: Argon2 before the keyed hash; see `BlindIndex`.
        """
        if not isinstance(normalise, (Normaliser, str)):
            raise ConfigurationError(
                f"BlindIndexField({source!r}, normalise=) takes a normaliser, not a {type(normalise).__name__}: in a model "
                'with a field called "name", write normalise.name for the one of portalsec.crypto.normalise'
            )
        self.sources: tuple[str, ...] = (source,) if isinstance(source, str) else tuple(source)
        self.bits = bits
        self.normalise = normalise
        self.keys = keys
        self.table = table
        self.column_label = column
        self.slow = slow
        self._built: tuple[int, BlindIndex[Any]] | None = None
        kwargs.setdefault("db_index", not kwargs.get("unique"))
        kwargs["null"] = True  # NULL: no value, or one in which there is nothing to search for
        kwargs["blank"] = True
        kwargs["editable"] = False
        super().__init__(**kwargs)

    def contribute_to_class(self, cls: Any, name: str, **kwargs: Any) -> None:  # type: ignore[override]
        for derived in ("labels", "source_fields"):  # of the abstract model that it was copied from
            self.__dict__.pop(derived, None)
        super().contribute_to_class(cls, name, **kwargs)

    @property
    def label(self) -> str:
        """Table and column, for messages."""
        return f"{self.labels[0]}.{self.labels[1]} (index {self.name!r})"

    @cached_property
    def labels(self) -> tuple[str, str]:
        """What is hashed with each value."""
        fields = self.source_fields
        return (self.table or fields[0].table, self.column_label or "+".join(f.column_label for f in fields))

    @cached_property
    def source_fields(self) -> Sequence[Any]:
        """The encrypted fields whose values are indexed."""
        return [self.model._meta.get_field(name) for name in self.sources]

    def deconstruct(self) -> Any:
        name, path, _, kwargs = super().deconstruct()
        path = path.replace("portalsec.django.blind_index", "portalsec.django.fields")
        for forced in ("null", "blank", "editable"):
            kwargs.pop(forced, None)
        kwargs["bits"] = self.bits
        if self.normalise is not exact:
            kwargs["normalise"] = _id(self.normalise)
        if self.slow is not None:
            kwargs["slow"] = _id(self.slow)
        kwargs.setdefault("db_index", False)
        if kwargs["db_index"] is not bool(self.unique):
            del kwargs["db_index"]
        for option, value, default in (
            ("keys", self.keys, "index"),
            ("table", self.table, None),
            ("column", self.column_label, None),
        ):
            if value != default:
                kwargs[option] = value
        return name, path, [self.sources[0] if len(self.sources) == 1 else self.sources], kwargs

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        from portalsec.django.field_checks import check_index

        return [*super().check(**kwargs), *check_index(self)]

    @property
    def crypto(self) -> BlindIndex[Any]:
        """The index of this column; keys as for the fields."""
        now = key_source.generation()
        if self._built is None or self._built[0] != now:
            declared = self._declared()
            table, column = self.labels
            index: BlindIndex[Any] = BlindIndex(
                key_source.keys_named(self.keys),
                table=table,
                column=column,
                bits=self.bits,
                normalise=declared.normalise,  # type: ignore[arg-type]
                tenanted=self.tenant is not None,
                slow=declared.slow,  # type: ignore[arg-type]
            )
            self._built = (now, index)
        return self._built[1]

    @property
    def tenant(self) -> str | None:
        """Name of the field with the tenant, that of the encrypted field."""
        tenant: str | None = self.source_fields[0].tenant
        return tenant

    def _declared(self) -> BlindIndexField:
        """This field, or for a model of a migration (which holds a name instead of a function) the one in the code."""
        if isinstance(self.normalise, Normaliser) and not isinstance(self.slow, str):
            return self
        meta = self.model._meta
        try:
            real = apps.get_model(meta.app_label, meta.model_name)._meta.get_field(self.name)
        except LookupError:
            real = None
        wanted = (_id(self.normalise), _id(self.slow))
        if isinstance(real, BlindIndexField) and (_id(real.normalise), _id(real.slow)) == wanted:
            return real
        raise ConfigurationError(
            f"the index {self.name!r} of this migration has the normaliser {_id(self.normalise)!r}, and the model has "
            "no such index any more: compute tags with the model of the application"
        )

    # -- writing ------------------------------------------------------------------------------------------------

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        tag = self.tag_of(model_instance)
        setattr(model_instance, self.attname, tag)
        return tag

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Tag | None:
        return None if value is None else Tag(value)

    def tags_of(self, instance: models.Model) -> list[bytes]:
        """All tags that a row with the values of this instance may have; none where it has nothing to search for."""
        fields = self.source_fields
        values = [_value(field, instance) for field in fields]
        if None in values:
            return []
        tenant = fields[0].place_of(instance)[1] if self.tenant is not None else None
        return self.crypto.tags(values[0] if len(values) == 1 else tuple(values), tenant)

    def tag_of(self, instance: models.Model) -> Tag | None:
        """The tag to store for this instance. What was neither read nor assigned keeps the one that it has."""
        fields = self.source_fields
        states = [instance.__dict__.get(field.attname, _DEFERRED) for field in fields]
        if None in states:
            return None
        kept = instance.__dict__.get(self.attname)
        if kept is not None and not any(
            self._newer(*each, instance) for each in zip(fields, states, strict=True)
        ):
            return Tag(kept)
        values = [_value(field, instance) for field in fields]
        if None in values:
            return None
        tenant = fields[0].place_of(instance)[1]
        tag = self.crypto.tag(values[0] if len(values) == 1 else tuple(values), tenant)
        return None if tag is None else Tag(tag)

    def _newer(self, field: Any, state: Any, instance: models.Model) -> bool:
        """Whether the stored tag may be another's: where the value is at hand, it is made anew under the newest key."""
        if not isinstance(state, Cell) or state.value is not UNREAD:
            return True
        if self.tenant is None or state.place is None:
            return False
        return bool(state.place[1] != field.place_of(instance)[1])

    # -- searching ----------------------------------------------------------------------------------------------

    def tags(self, value: Any) -> list[bytes]:
        """What to look for: tags of a value under every key in use."""
        tenant = None
        if isinstance(value, InTenant):
            value, tenant = value.value, value.tenant
        if (tenant is None) is (self.tenant is not None):
            raise ValueError(
                f"{self.label} has a tag for each tenant: search for portalsec.django.fields.InTenant(value, tenant)"
                if tenant is None
                else f"{self.label} has no tenants: search for the value itself"
            )
        if len(self.sources) == 1:
            return self.crypto.tags(self.source_fields[0].converted(value), tenant)
        if not isinstance(value, tuple) or len(value) != len(self.sources):
            raise ValueError(f"{self.label} is searched with a tuple of {len(self.sources)} values")
        whole = tuple(field.converted(part) for field, part in zip(self.source_fields, value, strict=True))
        return self.crypto.tags(whole, tenant)

    def get_lookup(self, lookup_name: str) -> Any:
        if lookup_name in ("exact", "in"):
            return index_lookup(self, lookup_name)
        if lookup_name == "isnull":
            return super().get_lookup(lookup_name)
        raise refused_lookup(self.label, lookup_name, indexed=True)

    def same(self, instance: models.Model, wanted: Iterable[Any]) -> bool:
        """Whether the instance's value, opened, is one of these after normalising: no false positive."""
        values = [getattr(instance, field.attname) for field in self.source_fields]
        if None in values:
            return False
        normalise = self.crypto.normaliser
        own = normalise(values[0] if len(values) == 1 else tuple(values))
        for sought in wanted:
            value = sought.value if isinstance(sought, InTenant) else sought
            if value is None:
                continue
            if len(self.sources) == 1:
                converted = self.source_fields[0].converted(value)
            else:
                converted = tuple(
                    field.converted(part) for field, part in zip(self.source_fields, value, strict=True)
                )
            if own is not None and own == normalise(converted):
                return True
        return False


def _id(declared: Any) -> Any:
    return getattr(declared, "id", declared)


def _value(field: Any, instance: models.Model) -> Any:
    value = getattr(instance, field.attname)
    return None if value is None else field.converted(value)
