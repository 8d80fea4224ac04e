"""The environment tells what it is and whether it works."""

from impl import environment


def test_show_names_every_part_and_no_secret(checkout):
    shown = checkout.invoke("env.show", ETL_STORE="postgresql://etl:${WORD}@db.host/etl", WORD="planted-4711").stdout
    lines = dict(line.split(maxsplit=1) for line in shown.splitlines())
    assert lines["name"] == "local" and lines["store"] == "postgresql://etl:${WORD}@db.host/etl"
    assert lines["${WORD}"] == "known" and lines["direct"] == "yes" and lines["deltalake"]
    assert "4711" not in shown
    assert "not known" in checkout.invoke("env.show", ETL_STORE="postgresql://etl:${WORD}@db.host/etl").stdout


def test_check_tries_the_folder_and_both_kinds_of_store(checkout, postgres):
    done = checkout.invoke("env.check")
    assert [line[:3] for line in done.stdout.splitlines()] == ["[|]", "[|]"]
    address = postgres.address(schema="checked")
    done = checkout.invoke("env.check", ETL_STORE=address)
    assert f"[|] store          {address}, 0 collections" in done.stdout
    assert postgres.sql("select name from checked._collections") == []


def test_check_says_what_to_mend_and_goes_on(checkout, postgres):
    done = checkout.type("env.check", ETL_STORE=postgres.address("nowhere"), INVOKE_ETL_NOTIFY="jsn://host")
    assert done.returncode == 1
    assert "[|] data folder" in done.stdout
    assert "[!] store          the database is not there" in done.stdout and "hint: create it first" in done.stdout
    assert "[!] messages       there is no kind of address `jsn`" in done.stdout
    assert "2 parts of `local` do not work" in done.stderr


def test_a_folder_that_cannot_be_written(read_only_disk):
    class Env:
        data = read_only_disk / "data"

    [finding] = environment._tried("data folder", lambda: environment._folder(Env()))
    assert not finding.works and "the disk is read-only" in finding.detail


def test_a_full_disk(small_disk):
    class Env:
        data = small_disk

    [finding] = environment._tried("data folder", lambda: environment._folder(Env()))
    assert not finding.works and "the disk is nearly full" in finding.detail and "free some space" in finding.hint
