"""A short tag finds candidates. It deletes nobody, changes nobody, and says of nobody that they are somebody else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import (
    and_,
    case,
    create_engine,
    delete,
    exists,
    false,
    func,
    insert,
    lambda_stmt,
    not_,
    select,
    update,
)
from sqlalchemy.exc import StatementError
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    aliased,
    mapped_column,
    with_loader_criteria,
)

from portalsec.crypto import EncryptedField, Keyring, Keyset
from portalsec.crypto.blind_index import BlindIndex
from portalsec.errors import ConfigurationError
from portalsec.sqlalchemy.fields import encrypted, exactly
from tests.sqlalchemy.clinic import INDEX_KEYS, KEYS


class Base(DeclarativeBase):
    pass


class Person(Base):
    __tablename__ = "short_person"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    vip: Mapped[bool] = mapped_column(default=False)
    ssn_cell: Mapped[bytes | None]
    ssn_tag: Mapped[bytes | None]
    ssn = encrypted(
        EncryptedField(KEYS, table="short people", column="ssn"),
        cell="ssn_cell",
        index=BlindIndex(INDEX_KEYS, table="short people", column="ssn", bits=3),
        tag="ssn_tag",
    )


@pytest.fixture
def session() -> Iterator[Session]:
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all([Person(ssn=f"n{number}") for number in range(256)])
        session.commit()
        yield session
    engine.dispose()


other = aliased(Person)
hit = select(Person.id).where(Person.ssn == "n1").cte("hit")


@pytest.mark.parametrize(
    "write",
    [
        lambda: delete(Person).where(Person.ssn == "n1"),
        lambda: delete(Person).where(Person.ssn.in_(["n1", "n2"])),
        lambda: delete(Person).where(and_(Person.ssn == "n1", Person.vip.is_(False))),
        lambda: delete(Person).where(Person.id.in_(select(Person.id).where(Person.ssn == "n1"))),
        lambda: delete(Person).where(Person.id.in_(select(hit.c.id))),
        lambda: delete(Person).where(exists().where(other.id == Person.id, other.ssn == "n1")),
        lambda: delete(Person.__table__).where(Person.ssn == "n1"),
        lambda: update(Person).where(Person.ssn == "n1").values(vip=True),
        lambda: update(Person).values(vip=case((Person.ssn == "n1", True), else_=False)),
        lambda: delete(Person).options(with_loader_criteria(Person, Person.ssn == "n1")),
        lambda: insert(Person).from_select(
            ["id", "vip"], select(Person.id, Person.vip).where(Person.ssn == "n1")
        ),
    ],
)
@pytest.mark.parametrize("synchronize", ["auto", "fetch", False])
def test_a_statement_that_writes_is_refused(
    session: Session, write: Callable[[], Any], synchronize: Any
) -> None:
    before = session.execute(select(Person.__table__)).all()
    with pytest.raises(
        ConfigurationError, match=r"ssn has an index of 3 bits.*exactly\(\), and delete or update"
    ):
        session.execute(write(), execution_options={"synchronize_session": synchronize})
    assert session.execute(select(Person.__table__)).all() == before


def test_the_older_ways_to_write_are_refused(session: Session) -> None:
    for write in (
        lambda query: query.delete(),
        lambda query: query.update({"vip": True}),
    ):
        with pytest.raises(ConfigurationError, match="would hit other people's rows"):
            write(session.query(Person).filter(Person.ssn == "n1"))


@pytest.mark.parametrize(
    "ask",
    [
        lambda: select(Person).where(not_(Person.ssn == "n1")),
        lambda: select(Person).where(~Person.ssn.in_(["n1"])),
        lambda: select(Person).where(not_(and_(Person.ssn == "n1", Person.vip.is_(False)))),
        lambda: select(Person).where(not_((Person.ssn == "n1") | Person.vip)),
        lambda: select(Person).where((Person.ssn == "n1") == false()),
        lambda: select(Person).where((Person.ssn == "n1").is_(False)),
        lambda: select(Person).where((Person.ssn == "n1").is_not(True)),
        lambda: select(Person).where(case((Person.ssn == "n1", 0), else_=1) == 1),
        lambda: select(Person).where(Person.id.not_in(select(other.id).where(other.ssn == "n1"))),
        lambda: select(Person).where(~exists().where(other.id == Person.id, other.ssn == "n1")),
        lambda: select(Person.id).except_(select(Person.id).where(Person.ssn == "n1")),
        lambda: select(Person).outerjoin(other, other.ssn == "n1").where(other.id.is_(None)),
        lambda: select(Person).where(
            select(func.count()).where(other.id == Person.id, other.ssn == "n1").scalar_subquery() == 0
        ),
    ],
)
def test_what_is_not_equal_is_not_asked_of_a_short_tag(session: Session, ask: Callable[[], Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"ssn has an index of 3 bits.*load the rows"):
        session.execute(ask())


@pytest.mark.parametrize(
    "search",
    [
        lambda: select(Person).where(Person.ssn == "n1"),
        lambda: select(Person).where((Person.ssn == "n1") & (Person.ssn.in_(["n1", "n2"]) | ~Person.vip)),
        lambda: select(Person).where(Person.id.in_(select(other.id).where(other.ssn == "n1"))),
        lambda: select(Person).where(exists().where(other.id == Person.id, other.ssn == "n1")),
        lambda: select(Person).join(other, (other.id == Person.id) & (other.ssn == "n1")),
        lambda: select(Person).outerjoin(other, other.id == Person.id).where(other.ssn == "n1"),
        lambda: select(Person).join(hit, hit.c.id == Person.id),
        lambda: select(Person).options(with_loader_criteria(Person, Person.ssn == "n1")),
        lambda: select(Person).from_statement(select(Person).where(Person.ssn == "n1")),
        lambda: select(Person).where(Person.ssn == "n1").order_by(case((Person.ssn == "n2", 0), else_=1)),
    ],
)
def test_a_search_finds_the_candidates(session: Session, search: Callable[[], Any]) -> None:
    for _ in range(2):  # the second time from the cache of compiled statements
        found = session.scalars(search()).all()
        assert 1 < len(found) < 256
        assert [each.ssn for each in exactly(found, Person.ssn, "n1")] == ["n1"]


def test_the_remedy_works(session: Session) -> None:
    (one,) = exactly(session.scalars(select(Person).where(Person.ssn == "n1")), Person.ssn, "n1")
    assert session.execute(delete(Person).where(Person.id == one.id)).rowcount == 1
    assert session.scalar(select(func.count()).select_from(Person)) == 255


# -- what was compiled, or built, before the index key was rotated ---------------------------------------------------


def test_no_statement_keeps_the_tags_of_keys_that_were_rotated() -> None:
    old = Keyset.generate("HMAC_SHA256_PRF")
    both = old.add("HMAC_SHA256_PRF")
    new = both.promote(both.info()[-1].id)
    keys = {"index": old}
    ring = Keyring(lambda: dict(keys))

    class Base(DeclarativeBase):
        pass

    class Someone(Base):
        __tablename__ = "someone"
        id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        ssn_cell: Mapped[bytes | None]
        ssn_tag: Mapped[bytes | None]
        ssn = encrypted(
            EncryptedField(KEYS, table="someone", column="ssn"),
            cell="ssn_cell",
            index=BlindIndex(ring["index"], table="someone", column="ssn", bits=64),
            tag="ssn_tag",
        )

    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    kept = select(Someone).where(Someone.ssn == "1")
    criteria = with_loader_criteria(Someone, lambda cls: cls.ssn == "1")

    def searches() -> list[Any]:
        return [
            select(Someone).options(with_loader_criteria(Someone, lambda cls: cls.ssn == "1")),
            select(Someone).options(criteria),
            lambda_stmt(lambda: select(Someone).where(Someone.ssn == "1")),
            kept,
            select(Someone).where(Someone.ssn.not_in(["2"])).where(Someone.ssn == "1"),
        ]

    with Session(engine) as session:
        session.add(Someone(id=1, ssn="1"))
        session.commit()
        for search in searches():
            assert [each.id for each in session.scalars(search)] == [1]
        for keys["index"] in (both, new):
            ring.reload()
            for _ in range(2):  # by the compiled statement of a moment ago, and of the keys before
                assert [each.id for each in session.scalars(select(Someone).where(Someone.ssn == "1"))] == [1]
        session.add(Someone(id=2, ssn="1"))
        session.commit()
        *lambdas, before, fresh = searches()
        assert [each.id for each in session.scalars(fresh)] == [1, 2]
        for stale in (*lambdas, before):
            with pytest.raises(StatementError, match="built before the index key was rotated") as caught:
                session.scalars(stale).all()
            assert isinstance(caught.value.orig, ConfigurationError)
    engine.dispose()
