"""`EncryptedModelField`: what all encrypted model fields have in common.

`from_db_value` and `get_db_prep_value` never see the row, so binding a cell to its row takes both ends of an instance:
a data descriptor, which opens the cell when the attribute is read, and `pre_save`, which seals it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn

from django.core.checks import CheckMessage
from django.core.exceptions import ValidationError
from django.db import NotSupportedError, models
from django.db.models.query_utils import DeferredAttribute
from django.utils.functional import cached_property
from django.utils.module_loading import import_string
from django.utils.translation import gettext_lazy as _

from portalsec.crypto.codec import JSON
from portalsec.crypto.fields import EncryptedField
from portalsec.django import keys as key_source
from portalsec.django._cell_state import HANDS_OVER, UNREAD, Cell, Place, Plain, RawCell, SerialisedCell
from portalsec.django._encrypted_sql import EncryptedCol, check_write, refused_lookup, searching_lookup
from portalsec.django._nonsense import refuse_aggregate
from portalsec.errors import ConfigurationError, DecryptionError

if TYPE_CHECKING:
    from portalsec.django.blind_index import BlindIndexField

__all__ = ["EncryptedAttribute", "EncryptedModelField", "Sealed"]

_MISSING: Any = object()


class EncryptedAttribute(DeferredAttribute):
    """Opens the cell when the attribute is read, and not before."""

    field: EncryptedModelField

    def __get__(self, instance: Any, cls: Any = None) -> Any:
        if instance is None:
            return self
        field = self.field
        state = instance.__dict__.get(field.attname, _MISSING)
        if state is _MISSING:
            super().__get__(instance, cls)  # deferred: Django fetches it, and sets it below
            state = instance.__dict__[field.attname]
        if state is None:
            return None
        if type(state) is Plain:
            return state.value
        if type(state) is RawCell:
            return state
        if HANDS_OVER in instance._state.__dict__:
            # Read by nobody but `refresh_from_db`, which puts it into the other instance: so it is no new value there.
            state.place = state.place or field.place_of(instance)
            return state
        return state.value if state.value is not UNREAD else field.opened(instance, state)

    def __set__(self, instance: Any, value: Any) -> None:
        data, name = instance.__dict__, self.field.attname
        if value is not None and not isinstance(value, Cell):
            old = data.get(name)
            if isinstance(old, Cell) and old.value is value:
                return  # what was read is put back (full_clean does so): the cell stays as it is
            value = Plain(value)
        data[name] = value


class Sealed:
    """What `Field.value_from_object` gives: the value when it is called, as a form does, and nothing to see otherwise.

    A serializer writes plain numbers and dates as they are; this makes it ask for the field's text, which is the cell.
    """

    __slots__ = ("_field", "_instance", "_state")

    def __init__(self, field: EncryptedModelField, instance: models.Model) -> None:
        self._field = field
        self._instance = instance
        # As it is now: a form asks what has changed after it has put the new value into the instance.
        self._state = instance.__dict__.get(field.attname, _MISSING)

    def __call__(self) -> Any:
        state = self._state
        if state is _MISSING:
            return getattr(self._instance, self._field.attname)
        if isinstance(state, Cell) and state.value is UNREAD:
            return self._field.opened(self._instance, state)
        return state.value

    def __repr__(self) -> str:
        return f"<value of {self._field.label}, hidden: call it>"


class EncryptedModelField(models.Field):  # type: ignore[type-arg]
    """Mixed in before Django's field of the type, whose forms, validation and messages it keeps.

    The column holds bytes: a cell of `portalsec.crypto.EncryptedField`, bound to the row, and NULL for None.
    """

    portalsec_encrypted = True
    codec: ClassVar[Any] = str
    descriptor_class = EncryptedAttribute
    empty_strings_allowed = False  # "" is a value, and no migration may fill a column of cells with it
    default_error_messages = {  # noqa: RUF012 - as Django has it; without the value, which Django's own hold
        "invalid": _("Enter a valid value."),
        "invalid_nullable": _("Enter a valid value."),
        "invalid_date": _("Enter a valid date."),
        "invalid_datetime": _("Enter a valid date and time."),
        "invalid_choice": _("Select a valid choice."),
    }
    _options: ClassVar[tuple[tuple[str, Any], ...]] = (
        ("row", None),
        ("tenant", None),
        ("subject", None),
        ("pad", None),
        ("keys", "fields"),
        ("legacy", None),
    )

    def __init__(
        self,
        *args: Any,
        table: str,
        column: str,
        row: str | None = None,
        tenant: str | None = None,
        subject: str | None = None,
        context: Literal["row", "column"] = "row",
        pad: int | Literal["padme"] | None = None,
        keys: str = "fields",
        legacy: str | None = None,
        **kwargs: Any,
    ) -> None:
        """
        Args:
            table: a label for the table, chosen once and never changed; not the name of a class.
            column: a label for the column, likewise.
            row: name of the field whose value the cell is bound to, where the primary key is the database's to
                assign: unique, not null, set by the application. Whoever swaps two rows' values of it moves all
                their cells together. By default the primary key.
            tenant: name of the field with the tenant that the cell is bound to besides.
            subject: name of the field with the person under whose own key the cell is.
            context: "column" binds to the column only: cells of two rows can then be swapped unnoticed.
            pad: hides lengths; see `portalsec.crypto.EncryptedField`.
            keys: name of the keyset; see `portalsec.django.keys`. Not used with ``subject``.
            legacy: import string of a sequence of legacy readers, or of a function that returns one.

        No key is part of a migration: the names of keys are.
        """
        self.table = table
        self.column_label = column
        self.row = row
        self.tenant = tenant
        self.subject = subject
        self.binding = context  # DecimalField has a context of its own
        self.pad = pad
        self.keys = keys
        self.legacy = legacy
        self._built: tuple[int, EncryptedField[Any]] | None = None
        super().__init__(*args, **kwargs)

    @property
    def label(self) -> str:
        """Table and column as declared, for messages."""
        return f"{self.table}.{self.column_label}"

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        kwargs.update(table=self.table, column=self.column_label)
        for option, default in self._options:
            if (value := getattr(self, option)) != default:
                kwargs[option] = value
        if self.binding != "row":
            kwargs["context"] = self.binding
        return name, path, args, kwargs

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        from portalsec.django.field_checks import check_encrypted

        return [*super().check(**kwargs), *check_encrypted(self)]

    def get_internal_type(self) -> str:
        return "BinaryField"

    def contribute_to_class(self, cls: Any, name: str, **kwargs: Any) -> None:  # type: ignore[override]
        # A field of an abstract model is copied into each of its heirs, which have rows and indexes of their own.
        for derived in ("indexes", "row_fields", "place_fields", "cached_col"):
            self.__dict__.pop(derived, None)
        super().contribute_to_class(cls, name, **kwargs)

    def cast_db_type(self, connection: Any) -> str | None:
        return models.Field.cast_db_type(self, connection)

    def has_default(self) -> bool:
        # A migration fills a new column with the field's default by one statement for all rows, which are then no
        # cells. In a migration there is none: the column is added with null=True, and filled row by row.
        if getattr(getattr(self, "model", None), "__module__", None) == "__fake__":
            return False
        return super().has_default()

    def get_default(self) -> Any:
        # Of an instance, in a migration too.
        if self.default is not models.NOT_PROVIDED:
            return self.default() if callable(self.default) else self.default
        return super().get_default()

    # -- keys and places ---------------------------------------------------------------------------------------

    @property
    def crypto(self) -> EncryptedField[Any]:
        """The cipher of this column. Keys are looked up at the first use, and after `forget_keys`.

        Raises:
            ConfigurationError: there are none.
        """
        now = key_source.generation()
        if self._built is None or self._built[0] != now:
            keys = key_source.keys_named(self.keys) if self.subject is None else key_source.subject_keys()
            options: dict[str, Any] = {"pad": self.pad} if self.pad is not None else {}
            if self.legacy is not None:
                options["legacy"] = self._readers(self.legacy)
            field: EncryptedField[Any] = EncryptedField(
                keys,
                table=self.table,
                column=self.column_label,
                type=self.codec,
                context=self.binding,
                tenanted=self.tenant is not None,
                **options,
            )
            self._built = (now, field)
        return self._built[1]

    def _readers(self, path: str) -> Sequence[Any]:
        problem = "which is no list of readers, nor a function that returns one"
        try:
            found = import_string(path)
        except ImportError as error:
            found, problem = None, f"which cannot be imported: {error}"
        found = found() if callable(found) else found
        if isinstance(found, (list, tuple)):
            return found
        raise ConfigurationError(f"{self.label}: legacy= names {path!r}, {problem}")

    @cached_property
    def indexes(self) -> Sequence[BlindIndexField]:
        """The blind indexes of this field, in the order of their declaration."""
        fields: Sequence[Any] = self.model._meta.concrete_fields
        return [
            field
            for field in fields
            if getattr(field, "portalsec_index", False) and self.name in field.sources
        ]

    @cached_property
    def row_fields(self) -> Sequence[models.Field[Any, Any]]:
        """The fields whose values are the row id; empty where cells are bound to the column."""
        if self.binding == "column":
            return ()
        meta: Any = self.model._meta
        return (meta.get_field(self.row),) if self.row else tuple(meta.pk_fields)

    @cached_property
    def place_fields(self) -> Sequence[models.Field[Any, Any]]:
        """Row, tenant and subject: all that a cell depends on."""
        named = [self.model._meta.get_field(name) for name in (self.tenant, self.subject) if name]
        return (*self.row_fields, *named)  # type: ignore[arg-type]

    def place_of(self, instance: models.Model) -> Place:
        """Where a cell of this instance belongs.

        Raises:
            ValueError: the row, tenant or subject is not set yet.
        """
        row = None
        if self.row_fields:
            parts = [self._part(instance, field) for field in self.row_fields]
            row = parts[0] if len(parts) == 1 else tuple(parts)
        return row, self._owner(instance, self.tenant), self._owner(instance, self.subject)

    def _part(self, instance: models.Model, field: models.Field[Any, Any]) -> Any:
        value = getattr(instance, field.attname)
        value = None if hasattr(value, "resolve_expression") else field.to_python(value)
        if value is None or value == "":
            raise ValueError(
                f"{self.label}: its cell is bound to {field.name!r}, which has no value yet: assign it before saving"
            )
        return value

    def _owner(self, instance: models.Model, name: str | None) -> str | None:
        if name is None:
            return None
        return str(self._part(instance, self.model._meta.get_field(name)))  # type: ignore[arg-type]

    # -- opening and sealing -----------------------------------------------------------------------------------

    def opened(self, instance: models.Model, cell: Cell) -> Any:
        """The value of this instance's cell, which it keeps.

        Raises:
            DecryptionError: it does not open here.
        """
        place = cell.place or self.place_of(instance)
        value = self._open(bytes(cell), place)
        cell.place, cell.value = place, value
        if self.codec is JSON:
            cell.seen = JSON.encode(value)
        return value

    def _open(self, data: bytes, place: Place) -> Any:
        row, tenant, subject = place
        if subject is not None:
            return self.crypto.decrypt(data, row, tenant, subject)
        return self.crypto.decrypt(data, row, tenant)

    def sealed(self, instance: models.Model) -> Cell | None:
        """The cell to write for this instance; what was neither assigned nor moved stays as it is."""
        state = instance.__dict__.get(self.attname, _MISSING)
        if state is _MISSING:
            getattr(instance, self.attname)
            state = instance.__dict__[self.attname]
        if state is None:
            return None
        place = self.place_of(instance)
        if isinstance(state, Cell):
            if isinstance(state, SerialisedCell):
                raise ValueError(
                    f"{self.label}: a serialised cell is written by loaddata only: assign the value"
                )
            if instance._state.adding or state.place != place:
                self.opened(instance, state)  # a copy, or of unknown origin: only what opens is moved
            if state.place == place and not state.changed():
                return self._newest(state, place)
            return self._seal(state.value, place)
        return self._seal(self.converted(state.value), place)

    def refuse_serialised(self) -> NoReturn:
        """To a saved instance that was given what `to_python` made of a text: the text may be a visitor's."""
        raise ValueError(f"{self.label}: a serialised cell is written by loaddata only: assign the value")

    def _seal(self, value: Any, place: Place) -> Cell:
        row, tenant, subject = place
        if subject is not None:
            data = self.crypto.encrypt(value, row, tenant, subject)
        else:
            data = self.crypto.encrypt(value, row, tenant)
        cell = Cell(data, self.label, place, value)
        if self.codec is JSON:
            cell.seen = JSON.encode(value)
        return cell

    def _newest(self, cell: Cell, place: Place) -> Cell:
        """Newest writes: a row that is saved during a rotation leaves the old key, if its cell opens."""
        if not self.crypto.needs_reencrypt(bytes(cell)):
            return cell
        try:
            value = cell.value if cell.value is not UNREAD else self._open(bytes(cell), place)
        except DecryptionError:
            return cell  # never overwritten; reading it says what is wrong
        return self._seal(value, place)

    def converted(self, value: Any) -> Any:
        """A value that was assigned, as the type of this field.

        Raises:
            ValueError: it is none; the text does not hold it.
        """
        if hasattr(value, "resolve_expression"):
            raise NotSupportedError(
                f"{self.label}: an expression is computed by the database, which cannot encrypt: assign a value"
            )
        try:
            return self._convert(value)
        except (ValidationError, TypeError, ValueError, ArithmeticError):
            pass  # outside the handler: Django's errors hold the value
        raise ValueError(f"{self.label}: this is no value of {type(self).__name__}: {type(value).__name__}")

    def _convert(self, value: Any) -> Any:
        return super().to_python(value)

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        cell = self.sealed(model_instance)
        model_instance.__dict__[self.attname] = cell
        return cell

    # -- Django's ways in and out -------------------------------------------------------------------------------

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Cell | None:
        if value is None:
            return None
        if type(expression) is not EncryptedCol:
            refuse_aggregate(self.label, expression)  # of a subquery, which has the column
        return Cell(value.encode() if isinstance(value, str) else bytes(value), self.label)

    def get_prep_value(self, value: Any) -> Any:
        if value is None or isinstance(value, Cell) or hasattr(value, "resolve_expression"):
            return value
        raise NotSupportedError(
            f"{self.label}: update() and bulk_update() do not go through the row that a cell is bound to. "
            "Save the instances, or use portalsec.django.queries.EncryptedQuerySet, whose bulk_update encrypts."
        )

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        value = self.get_prep_value(value)
        return connection.Database.Binary(bytes(value)) if isinstance(value, Cell) else value

    def get_db_prep_save(self, value: Any, connection: Any) -> Any:
        return value if hasattr(value, "as_sql") else self.get_db_prep_value(value, connection)

    def get_placeholder(self, value: Any, compiler: Any, connection: Any) -> str:
        # Django 5.2 and 6.0
        check_write(self, value, compiler)
        return "%s"

    def get_placeholder_sql(self, value: Any, compiler: Any, connection: Any) -> tuple[str, Sequence[Any]]:
        # Django 6.1
        check_write(self, value, compiler)
        if hasattr(value, "as_sql"):
            return compiler.compile(value)  # type: ignore[no-any-return]
        return "%s", [value]

    def get_lookup(self, lookup_name: str) -> Any:
        if lookup_name == "isnull":
            return super().get_lookup(lookup_name)
        single = [index for index in self.indexes if len(index.sources) == 1]
        if lookup_name in ("exact", "in") and single:
            return searching_lookup(single[0], lookup_name)
        raise refused_lookup(self.label, lookup_name, indexed=bool(single))

    def get_transform(self, lookup_name: str) -> Any:
        raise refused_lookup(self.label, lookup_name, indexed=bool(self.indexes))

    def get_col(self, alias: Any, output_field: Any = None) -> Any:
        return EncryptedCol(alias, self, output_field)

    @cached_property
    def cached_col(self) -> Any:
        return EncryptedCol(self.model._meta.db_table, self)

    # -- forms and fixtures --------------------------------------------------------------------------------------

    def clean(self, value: Any, model_instance: models.Model | None) -> Any:
        # As Django has it, but a text of the user is never a serialised cell.
        value = super().to_python(value)
        self.validate(value, model_instance)
        self.run_validators(value)
        return value

    def to_python(self, value: Any) -> Any:
        """For a fixture: a cell as dumpdata writes it, or a value."""
        if isinstance(value, str) and (cell := SerialisedCell.from_text(value, self.label)) is not None:
            return cell
        return super().to_python(value)

    def value_from_object(self, obj: models.Model) -> Any:
        return None if obj.__dict__.get(self.attname, _MISSING) is None else Sealed(self, obj)

    def value_to_string(self, obj: models.Model) -> str:
        """The cell, for a fixture; what is loaded again opens in the same row and nowhere else."""
        cell = self.sealed(obj)
        if cell is None:
            raise ConfigurationError(f"{self.label}: NULL has no text")
        return cell.to_text()
