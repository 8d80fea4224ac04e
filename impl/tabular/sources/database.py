"""Rows of a database by a query, and tables on FTP servers. Passwords are in no message and in no fact."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from impl.run.errors import EtlError
from impl.run.secrets import redact, reveal
from impl.tabular.flow import Context
from impl.tabular.sources import remote
from impl.tabular.sources.source import Source
from impl.tabular.sources.typed import BROKEN
from impl.tabular.sources.values import Spool, from_pandas
from impl.tabular.spec import Spec

if TYPE_CHECKING:
    import polars as pl

ROWS = 10_000  # that are asked for at once


class Database(Source):
    """`connection` and `query`: rows are fetched in parts and wait on disk until their types are known."""

    remote: ClassVar[bool] = True
    again: ClassVar[bool] = False
    key: ClassVar[str] = "connection"

    def read(self, spec: Spec) -> None:
        self.connection, self.query = spec.text("connection"), spec.text("query")

    @property
    def reads(self) -> dict[str, str]:
        return {"connection": redact(self.connection), "query": self.query}

    def frames(self, context: Context) -> Iterator[pl.DataFrame]:
        try:
            import sqlalchemy
        except ImportError as error:
            raise self.missing("sqlalchemy", "a database") from error
        address = reveal(self.connection, self.spec.where(self.key))
        try:
            engine = sqlalchemy.create_engine(self._placed(_with_driver(sqlalchemy.make_url(_modern(address)))))
        except ImportError as error:
            raise self.missing(error.name, "this database") from error
        except sqlalchemy.exc.SQLAlchemyError as error:
            raise self._refused(
                error, "write an address as SQLAlchemy wants it: postgresql://user:${PASSWORD}@host/database"
            ) from error
        try:
            with engine.connect().execution_options(stream_results=True, max_row_buffer=ROWS) as connected:
                result = connected.exec_driver_sql(_literal(self.query, engine.dialect.paramstyle))
                if not result.returns_rows:
                    raise self.failed("the query gives no rows at all", "write a `select`", self.connection)
                spool = Spool(self._names(list(result.keys())), Path(context.folder))
                while rows := result.fetchmany(ROWS):
                    spool.add(rows)
        except sqlalchemy.exc.SQLAlchemyError as error:
            raise self._refused(error, "check `connection` and `query`") from error
        finally:
            engine.dispose()
        yield from spool.frames()

    def _placed(self, address: Any) -> Any:
        """A SQLite file begins at the document's folder, as the peer's working directory is there."""
        file = address.database or ""
        if address.get_backend_name() != "sqlite" or file in ("", ":memory:") or file.startswith("file:"):
            return address
        return address.set(database=str(self.path(file)))

    def _names(self, names: list[str]) -> list[str]:
        twice = sorted({one for one in names if names.count(one) > 1})
        if twice:
            raise EtlError(
                f"the query gives {', '.join(f'`{one}`' for one in twice)} twice",
                where=self.spec.where("query"),
                hint="name the columns in the query: `select a.id as a_id, ...`",
            )
        return [str(one) for one in names]

    def _refused(self, error: Any, hint: str) -> EtlError:
        cause = getattr(error, "orig", None) or error
        said = " ".join(str(cause).split()) or type(cause).__name__
        return self.failed(f"the database refuses: {said[:300]}", hint, self.connection)


class FtpTable(Source):
    """`connection` alone: a CSV file on an FTP server, with types as pandas infers them."""

    remote: ClassVar[bool] = True
    key: ClassVar[str] = "connection"

    def read(self, spec: Spec) -> None:
        self.connection = spec.text("connection")
        if not self.connection.lower().startswith("ftp://"):
            spec.wrong(
                "a connection without `query` has to be an FTP address",
                "connection",
                "write `query:` for a database, or ftp://user:${PASSWORD}@host:port/path/to/file.csv",
            )
        self._fetched: tuple[str, Path] | None = None

    @property
    def reads(self) -> dict[str, str]:
        return {"connection": redact(self.connection)}

    def frames(self, context: Context) -> Iterator[pl.DataFrame]:
        import pandas

        folder = str(context.folder)
        if self._fetched is None or self._fetched[0] != folder or not self._fetched[1].exists():
            found = remote.fetch(self.connection, Path(folder), self.spec.where(self.key))
            assert found is not None  # it may not lack
            self._fetched = folder, found
        try:
            read = pandas.read_csv(self._fetched[1], compression=None)
        except BROKEN as error:
            said = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
            raise self.failed(f"the file cannot be read as CSV: {said}", "check the file", self.connection) from error
        yield from from_pandas(read, [str(name) for name in read.columns])


def _literal(query: str, style: str) -> str:
    """`query` for a driver that takes `%` for a place of a value: `%%` is one, as the peer has it, and so is `%`."""
    return re.sub("%%?", "%%", query) if style in ("format", "pyformat") else query


def _modern(address: str) -> str:
    return "postgresql://" + address.removeprefix("postgres://") if address.startswith("postgres://") else address


def _with_driver(address: Any) -> Any:
    """PostgreSQL with the driver that is installed."""
    from importlib.util import find_spec

    if address.drivername == "postgresql":
        return address.set(drivername="postgresql+psycopg2" if find_spec("psycopg2") else "postgresql+psycopg")
    return address
