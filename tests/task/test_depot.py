"""Raw data, cache and store in object storage: the same commands, and the same store as in a folder."""

import json
import re

import pytest

from tests.conftest import ROOT, Checkout
from tests.dask_cluster import DaskCluster
from tests.object_storage import SECRET, prefix_for

pytestmark = pytest.mark.slow


@pytest.fixture
def far(s3_server, tmp_path):
    """This checkout, with everything but its state in object storage."""
    checkout = Checkout(ROOT, tmp_path / "work")
    address = s3_server.address("lake", prefix_for(tmp_path))
    checkout.environment |= {"INVOKE_ETL_DATA": address, "INVOKE_ETL_WORK": str(tmp_path / "work"), **SECRET}
    checkout.prefix = prefix_for(tmp_path)
    return checkout


def fingerprint(checkout, collection):
    return re.search(r"fingerprint  (\w{64})", checkout.invoke("store.show", collection).stdout).group(1)


def test_a_stage_in_object_storage_is_that_of_a_folder(far, staged, s3_server):
    checked = far.invoke("env.check").stdout
    assert f"[|] object storage s3://lake/{far.prefix}/local, writes and reads" in checked
    far.invoke("region.stage")
    assert "[+]" not in far.invoke("region.stage").stderr
    kept = {name.removeprefix(f"{far.prefix}/local/") for name in s3_server.objects("lake", far.prefix)}
    assert {"raw/region/tl_2010_us_county10.zip", "cache/region/county.parquet"} <= kept
    assert any(name.startswith("store/region_county/_delta_log/") for name in kept)
    assert fingerprint(far, "region_county") == fingerprint(staged, "region_county")
    record = json.loads(far.invoke("runs.show", "last", "--json").stdout)  # the address ends with a secret's name
    assert record["store"].endswith("secret_access_key=${TEST_S3_SECRET}") and len(record["inputs"]) == 2
    [secret] = SECRET.values()
    assert not [path for path in far.data.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]


def test_a_bucket_that_does_not_keep_its_word_is_not_fit(far, s3_server):
    s3_server.app.deaf = True  # as a server that ignores `If-None-Match`
    try:
        checked = far.type("env.check")
    finally:
        s3_server.app.deaf = False
    assert checked.returncode == 1
    assert "[!] object storage the object store does not honour conditional put" in checked.stdout


def test_a_data_folder_that_is_neither_is_said(checkout):
    done = checkout.type("env.show", INVOKE_ETL_DATA="ftp://host/folder")
    assert done.returncode == 1
    assert "the data folder is neither a folder nor in object storage" in done.stderr and "ftp://host/folder" in done.stderr


def test_a_cluster_that_shares_no_folder_gives_the_same_store(far, built, tmp_path):
    pytest.importorskip("distributed", reason="a cluster needs `pip install -e '.[servers]'`")
    cluster = DaskCluster(tmp_path / "cluster")
    try:
        cluster.start("anna", "bert")
        said = far.invoke("macav2.build", ETL_CLUSTER=cluster.address, INVOKE_MACAV2_YEARS="2005").stderr
        assert "on worker anna" in said and "on worker bert" in said
        assert "[+]" not in far.invoke("macav2.build", ETL_CLUSTER=cluster.address, INVOKE_MACAV2_YEARS="2005").stderr
    finally:
        cluster.stop()
    rows = "select count(*) as n, bit_xor(hash(county)) as hash from macav2_county as county where year(timestamp) = 2005"
    assert json.loads(far.invoke("store.query", rows, "--format", "json").stdout) == built.query(rows)
    assert not (far.data / "local/raw").exists() and not (far.data / "local/cache").exists()
