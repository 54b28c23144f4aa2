"""`BlindIndex`: finding an encrypted value by a keyed, truncated hash of it.

What is hashed, ``psi1``, is written down, with vectors, in ``docs/reference/crypto-formats.md``; it never changes under
this version::

    psi1 = "psi1" || text(table) || text(column) || tenant || text(id of the normaliser) || normalised value
    tag  = the first ``bits`` bits of PRF(key, psi1), in whole bytes; the bits left over in the last are 0

text and tenant are those of ``psc1`` (see `portalsec.crypto.context`). What a tag tells whoever reads the column, and
what it does not, is the subject of `BlindIndex.plan` and of ``docs/how-to/search-encrypted-columns.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from portalsec._encoding import length_prefixed
from portalsec.crypto.context import _TENANT, NO_TENANT, _label, _text
from portalsec.crypto.index_plan import IndexPlan, plan
from portalsec.crypto.normalise import Normaliser, exact
from portalsec.crypto.prf import Fed, OfPrfKeys, PrfFunction
from portalsec.crypto.stretch import Argon2Cost, Stretcher
from portalsec.errors import ConfigurationError

if TYPE_CHECKING:
    from portalsec.crypto.keyring import AnyKeyset

__all__ = ["BlindIndex"]

T = TypeVar("T")

_Fed: TypeAlias = tuple[Fed, Fed]  # one key's, for tags and for salts

_MAGIC = b"psi1"
_SALT_MAGIC = b"psa1"
_SALT = 16


class BlindIndex(OfPrfKeys, Generic[T]):
    """The searchable shadow of one encrypted column.

    Store `tag` beside the cell, in a column with an ordinary index; search for ``IN`` (`tags`), open the cells that
    are found and compare: tags are short on purpose, so that other values may have the same one. Values that are equal
    after normalising have equal tags, for everybody to see who reads the column.

    Newest writes, all read: `tag` is the primary key's, `tags` are those of every enabled key, so that a search finds
    rows that were written under any of them. Safe to share between threads and across a fork.
    """

    def __init__(
        self,
        keys: AnyKeyset,
        *,
        table: str,
        column: str,
        bits: int,
        normalise: Normaliser = exact,
        tenanted: bool = False,
        slow: Argon2Cost | None = None,
    ) -> None:
        """
        Args:
            keys: of HMAC-PRF or HKDF-PRF keys, or a name of a keyring. Several indexes may share them.
            table: a label for the table, chosen once and never changed; the field's own.
            column: a label for what is indexed, likewise; two indexes of one column are told apart by their normalisers.
            bits: length of a tag, 1 to 256; `plan` recommends one. 128 is enough for a unique constraint (and
                hides nothing besides the value itself).
            normalise: what counts as the same; see `portalsec.crypto.normalise`.
            tenanted: whether each call names a tenant: equal values of two tenants then have unrelated tags.
            slow: argon2id before the keyed hash, for a column of few values whose index key is kept elsewhere than the
                keys of the cells. It protects where the index key leaks alone, and costs tens of milliseconds for each
                value and enabled key.

        Raises:
            ConfigurationError: a label, size or normaliser that is none; keys that are not for hashing, or give
                fewer bits.
        """
        if type(bits) is not int or not 1 <= bits <= 256:
            raise ConfigurationError(
                f"BlindIndex(bits={bits!r}): a tag has 1 to 256 bits; BlindIndex.plan() recommends a number"
            )
        if not isinstance(normalise, Normaliser):
            raise ConfigurationError(
                "BlindIndex(normalise=): give a Normaliser, such as exact, phone() or name"
            )
        self._table, self._column, self._bits = table, column, bits
        self._normalise, self._tenanted = normalise, tenanted
        self._size = (bits + 7) // 8
        self._mask = 0xFF & (0xFF << (8 * self._size - bits))
        self._stretch = Stretcher(slow) if slow else None
        self._id = f"argon2id/1({slow.id},{normalise.id})" if slow else normalise.id
        self._place = length_prefixed(_label("table", table), _label("column", column))
        self._fed: tuple[_Fed, ...] = ()
        self._hot: Callable[[Callable[[], Any] | None], None] | None = None
        if self._mask == 0xFF and not tenanted and not slow:
            self._flatten()
        super().__init__(keys)

    def __repr__(self) -> str:
        return f"<BlindIndex {self._table!r}.{self._column!r}, {self._bits} bits, {self._id}, keys hidden>"

    @property
    def table(self) -> str:
        """The declared label of the table."""
        return self._table

    @property
    def column(self) -> str:
        """The declared label of the column."""
        return self._column

    @property
    def bits(self) -> int:
        """Length of a tag in bits."""
        return self._bits

    @property
    def size(self) -> int:
        """Length of a tag in bytes, as it is stored."""
        return self._size

    @property
    def tenanted(self) -> bool:
        """Whether each call names a tenant."""
        return self._tenanted

    @property
    def key_ids(self) -> tuple[int, ...]:
        """The keys that `tags` hashes under, the primary's first. Empty until the keyring is loaded."""
        return tuple(function.id for function in self._functions)

    @property
    def normaliser(self) -> Normaliser:
        """What counts as the same."""
        return self._normalise

    def tag(self, value: T | None, tenant: str | None = None) -> bytes | None:
        """What to store: the tag under the primary key, `size` bytes.

        None, to be stored as NULL and found by no search, for None and for a value in which the normaliser finds
        nothing to search for (a phone number without a digit): such values must not find each other.

        Raises:
            TypeError: a value that the normaliser does not take; a tenant that is missing or not asked for.
            ValueError: a value or tenant that has no encoding, or a text that is too long for the normaliser (1024
                characters for all that fold). The message does not hold it.
            ConfigurationError: the keyring is not loaded.
        """
        data = self._data(value, tenant)
        return None if data is None else self._under(self._fed[0], data, tenant)

    def tags(self, value: T | None, tenant: str | None = None) -> list[bytes]:
        """What to search for: the tags under every enabled key, the primary's first, none twice.

        Empty, for a search that finds nothing, where `tag` is None. Raises as `tag` does.
        """
        data = self._data(value, tenant)
        if data is None:
            return []
        return list(dict.fromkeys(self._under(fed, data, tenant) for fed in self._fed))

    def tag_many(self, values: Iterable[T | None], tenant: str | None = None) -> list[bytes | None]:
        """`tag` of each, in their order. Raises as `tag` does, and then nothing is returned."""
        tag = self.tag
        return [tag(value, tenant) for value in values]

    @staticmethod
    def plan(
        *,
        rows: int,
        distinct: int,
        top_share: float,
        bits: int | None = None,
        keys: int = 1,
        accept_leak: str | None = None,
    ) -> IndexPlan:
        """How many bits, what a search will find besides, and what the tags give away: see `IndexPlan`.

        Args:
            rows: how many rows will have a tag.
            distinct: how many different values there are among them, after normalising.
            top_share: the share of the rows that hold the most common value, 0 to 1: 0.01 where one patient in a
                hundred is called so.
            bits: plan for this length instead of the recommended one.
            keys: enabled keys at once; 2 during a rotation.
            accept_leak: why this column may be indexed although it has so few values, or one so common, that its tags
                give it away. Kept in the plan.

        Raises:
            ConfigurationError: fewer than 64 values, or one that more than a twentieth of the rows hold, and no
                ``accept_leak``; figures that cannot be.
        """
        return plan(
            rows=rows, distinct=distinct, top_share=top_share, bits=bits, keys=keys, accept_leak=accept_leak
        )

    # -- inside -----------------------------------------------------------------------------------------------

    def _check(self, function: PrfFunction) -> None:
        if self._bits > 8 * function.block:
            raise ConfigurationError(
                f"the index {self._table}.{self._column} has tags of {self._bits} bits, and key {function.id} "
                f"({function.name}) gives {8 * function.block}: take fewer bits or a key with a longer hash"
            )

    def _use(self, functions: tuple[PrfFunction, ...]) -> None:
        whose = b"" if self._tenanted else NO_TENANT + length_prefixed(self._id.encode())
        place = self._place + whose
        self._fed = tuple((one.fed(_MAGIC + place), one.fed(_SALT_MAGIC + place)) for one in functions)
        if self._hot is not None:
            text = b"s" if self._normalise is exact else b""  # the type byte of a text, hashed in beforehand
            first = functions[0].fed(_MAGIC + place + text) if functions else None
            self._hot(None if first is None or first.tail else first.copy)

    def _data(self, value: Any, tenant: str | None) -> bytes | None:
        """The normalised value; says what is wrong with the call."""
        self._loaded()
        if (tenant is None) is self._tenanted:
            raise TypeError(
                f"the index {self._table}.{self._column} has a tenant: pass tenant="
                if self._tenanted
                else f"the index {self._table}.{self._column} has no tenant: no tenant="
            )
        return None if value is None else self._normalise(value)

    def _under(self, fed: _Fed, data: bytes, tenant: str | None) -> bytes:
        if tenant is not None:
            whose = _TENANT + length_prefixed(_text("tenant", tenant), self._id.encode())
        else:
            whose = b""
        if self._stretch is not None:
            data = self._stretch(data, fed[1](whose)[:_SALT])
        digest = fed[0](whose + data)
        return digest[: self._size - 1] + bytes([digest[self._size - 1] & self._mask])

    def _flatten(self) -> None:
        """Puts a function for the usual index (whole bytes, no tenant, HMAC) before the method of the class.

        Beside a hash of something small each call of a Python function is felt. What is not usual is left to the
        method, which does all of it again and says what is wrong.
        """
        general = self.tag
        cut = slice(0, self._size)  # made once: a slice that is written out is built anew in each call
        # What `exact` does to a text, the type byte aside; refuses what is none. The other normalisers do it themselves.
        encode: Callable[[Any], bytes | None] = str.encode if self._normalise is exact else self._normalise
        copy: Callable[[], Any] | None = None

        def tag(value: Any, tenant: str | None = None) -> bytes | None:
            if tenant is None and value is not None:
                try:
                    data = encode(value)
                    mac = copy()  # type: ignore[misc]
                    mac.update(data)
                    return mac.finalize()[cut]  # type: ignore[no-any-return]
                except (TypeError, ValueError):
                    pass  # a keyring that is not loaded among them
            return general(value, tenant)

        def use(keyed: Callable[[], Any] | None) -> None:
            nonlocal copy
            copy = keyed

        self.tag = tag  # type: ignore[method-assign]
        self._hot = use
