"""Files and tables on servers: HTTP, FTP, SQLite, PostgreSQL; all of them real, on this machine."""

import sqlite3

import pytest

from impl.run import secrets
from impl.run.errors import EtlError
from tests.tabular.servers import ftp_server, http_server
from tests.tabular.test_sources_delimited import Opened, problems
from tests.tabular.test_sources_typed import texts

PASSWORD = "s3cret/with@signs"


@pytest.fixture
def share(tmp_path):
    """A folder that servers serve."""
    folder = tmp_path / "share"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub/a.csv").write_text("id,n,w\n001,1,x\n002,,NA\n")
    (folder / "a.tsv").write_text("id\tn\n001\t1\n")
    return folder


@pytest.fixture
def secret(monkeypatch):
    """The password of the FTP server, known to this process alone."""
    monkeypatch.setattr(secrets, "_known", {})
    secrets.provide({"FTP_PASSWORD": PASSWORD})


def test_a_file_behind_an_address_is_read_as_its_type(share, tmp_path):
    with http_server(share) as server:
        source = Opened(tmp_path, {"file": f"{server.address}/sub/a.csv?version=2", "columns": ["w", "id"]})
        assert (source.source.remote, source.source.files(), source.names()) == (True, [], ["w", "id"])
        assert source.rows() == [("x", "001"), ("NA", "002")]
        assert Opened(tmp_path, {"file": f"{server.address}/a.tsv"}).rows() == [("001", "1")]
        twice = Opened(tmp_path, {"file": f"{server.address}/a.tsv"})
        assert twice.rows() == twice.rows()
        assert server.asked.count("/a.tsv") == 2  # once by each source


def test_what_goes_wrong_with_an_address_is_an_error_that_says_what_to_do(share, tmp_path):
    with http_server(share) as server:
        for path, what in (("absent.csv", "answers 404"), ("broken.csv", "answers 503"), ("locked.csv", "answers 401")):
            with pytest.raises(EtlError, match=rf"the server {what}[\s\S]*\n\nhint: "):
                Opened(tmp_path, {"file": f"{server.address}/{path}"}).rows()
        with pytest.raises(EtlError, match="the file cannot be fetched"):
            Opened(tmp_path, {"file": f"{server.address}/short.csv"}).rows()
        address = server.address
    with pytest.raises(EtlError, match=r"the file cannot be fetched: .*refused") as refused:
        Opened(tmp_path, {"file": address.replace("//", f"//ada:{PASSWORD.split('/')[0]}@") + "/a.csv"}).rows()
    assert "s3cret" not in str(refused.value)
    with pytest.raises(EtlError, match="files are not fetched from `gopher://`"):
        Opened(tmp_path, {"file": "gopher://x/a.csv"}).rows()
    assert not list((tmp_path / "work").glob("fetched*.csv"))


def test_an_optional_address_that_is_not_there_gives_no_rows(share, tmp_path):
    with http_server(share) as server:
        source = Opened(tmp_path, {"file": f"{server.address}/absent.csv", "optional": True, "columns": ["a"]})
        assert [(one.height, one.columns) for one in source.batches()] == [(0, ["a"])]


def test_a_table_on_an_ftp_server_has_the_types_that_pandas_infers(share, tmp_path, secret):
    with ftp_server(share, "ada", PASSWORD) as host:
        source = Opened(tmp_path, {"connection": "ftp://ada:${FTP_PASSWORD}@" + host + "/sub/a.csv"})
        assert texts(source) == [("1", "1.0", "x"), ("2", "", "")]
        assert source.source.remote is True
        assert source.source.reads == {"connection": "ftp://ada:${FTP_PASSWORD}@" + host + "/sub/a.csv"}
        as_file = Opened(tmp_path, {"file": "ftp://ada:${FTP_PASSWORD}@" + host + "/sub/a.csv"})
        assert as_file.rows() == [("001", "1", "x"), ("002", "", "NA")]


def test_no_message_of_ftp_has_the_password(share, tmp_path, secret):
    with ftp_server(share, "ada", PASSWORD) as host:
        asked = {
            "refuses the user or the password": f"ftp://ada:wrong-{PASSWORD.split('/')[0]}@{host}/a.tsv",
            "has no such file": "ftp://ada:${FTP_PASSWORD}@" + host + "/absent.csv",
        }
        for what, address in asked.items():
            with pytest.raises(EtlError, match=what) as refused:
                Opened(tmp_path, {"connection": address}).rows()
            assert "s3cret" not in str(refused.value)
    with pytest.raises(EtlError, match="the FTP server cannot be reached") as refused:
        Opened(tmp_path, {"connection": "ftp://ada:${FTP_PASSWORD}@" + host + "/a.csv"}).rows()
    assert "s3cret" not in str(refused.value)
    with pytest.raises(EtlError, match="there is no secret `FTP_PASWORD`"):
        Opened(tmp_path, {"connection": "ftp://ada:${FTP_PASWORD}@127.0.0.1/a.csv"}).rows()


def test_a_connection_that_is_neither_is_a_problem(tmp_path):
    (problem,) = problems(tmp_path, connection="sqlite:///a.db")
    assert problem.what == "a connection without `query` has to be an FTP address"


@pytest.fixture
def sqlite(tmp_path):
    with sqlite3.connect(tmp_path / "a.db") as made:
        made.executescript(
            "create table t(id text, n integer, f real, b boolean, d date, z text, m);"
            "insert into t values('001',1,1.5,1,'2020-01-02',null,1),('002',null,2,0,null,null,'x')"
        )
    made.close()
    return f"sqlite:///{tmp_path / 'a.db'}"


def test_rows_of_a_query_have_the_types_of_the_peer(sqlite, tmp_path):
    source = Opened(tmp_path, {"connection": sqlite, "query": "select * from t", "optional_fields": ["q"]})
    assert (source.names(), source.source.remote, source.source.flow.__self__.again) == (None, True, False)
    assert texts(source) == [("001", "1.0", "1.5", "1", "2020-01-02", "", "1", ""), ("002", "", "2.0", "0", "", "", "x", "")]


def test_a_query_without_rows_has_its_columns(sqlite, tmp_path):
    (batch,) = Opened(tmp_path, {"connection": sqlite, "query": "select id, n from t where 1 = 0"}).batches()
    assert (batch.height, batch.columns) == (0, ["id", "n"])


def test_the_type_of_a_column_is_that_of_all_its_rows(tmp_path, monkeypatch):
    """One NULL in the last part makes floats of the whole column; the first part alone has whole numbers."""
    from impl.tabular.sources import database

    monkeypatch.setattr(database, "ROWS", 2)
    query = "select 1 as n union all select 2 union all select 3 union all select 4 union all select null"
    source = Opened(tmp_path, {"connection": "sqlite://", "query": query})
    assert source.rows() == [(1.0,), (2.0,), (3.0,), (4.0,), (None,)]


def test_what_a_database_refuses_is_said_without_the_password(sqlite, tmp_path):
    with pytest.raises(EtlError, match="the database refuses: no such table: absent"):
        Opened(tmp_path, {"connection": sqlite, "query": "select * from absent"}).rows()
    with pytest.raises(EtlError, match="the query gives `id` twice"):
        Opened(tmp_path, {"connection": sqlite, "query": "select id, id from t"}).rows()
    source = Opened(tmp_path, {"connection": "postgresql://ada:hidden-word@127.0.0.1:1/etl", "query": "select 1"})
    assert "hidden-word" not in str(source.source.reads)
    with pytest.raises(EtlError, match="the database refuses") as refused:
        source.rows()
    assert "hidden-word" not in str(refused.value) and refused.value.__cause__ is not None


def test_postgres_is_read_with_the_types_of_pandas(postgres, tmp_path):
    query = (
        "select g::int as i, case when g < 3 then g end as gap, (g / 4.0)::numeric(9, 2) as num, 'a%'::text as t, g = 1 as b,"
        " date '2020-01-02' as d, timestamp '2020-01-02 03:04:05' as ts, timestamptz '2020-01-02 03:00:00+00' as z,"
        " array[g, 2] as l, interval '1 day' as v, 7 %% 4 as m, jsonb_build_object('k', g) as j, '\\x01'::bytea as y, null::text as none"
        " from generate_series(1, 3) g where 'abc' like 'a%' order by g"
    )
    address = postgres.address(options="-ctimezone%3DUTC")
    source = Opened(tmp_path, {"connection": address, "query": query})
    assert texts(source) == [
        (
            *(str(n), f"{n}.0" if n < 3 else "", str(n / 4), "a%", str(n == 1), "2020-01-02", "2020-01-02 03:04:05"),
            *("2020-01-02 03:00:00+00:00", f"[{n}, 2]", "1 days 00:00:00", "3", f"{{'k': {n}}}", "b'\\x01'", ""),
        )
        for n in (1, 2, 3)
    ]


def test_many_rows_of_postgres_are_streamed(postgres, tmp_path):
    source = Opened(
        tmp_path,
        {"connection": postgres.address(), "query": "select g as n, 'row ' || g as t from generate_series(1, 60001) g"},
    )
    batches = source.batches()
    assert len(batches) > 5 and max(one.height for one in batches) <= 50_000
    assert sum(one["n"].sum() for one in batches) == 60001 * 60002 // 2
