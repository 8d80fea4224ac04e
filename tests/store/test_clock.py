"""What an object store says about clocks."""

from impl.store import open_store
from tests.object_storage import prefix_for


def test_a_clock_that_is_off_is_called_that_and_no_refusal(s3_server, tmp_path):
    store = open_store(s3_server.address("lake", prefix_for(tmp_path)))
    text = "Generic S3 error: 403 Forbidden: <Error><Code>RequestTimeTooSkewed</Code></Error>"
    told = store._files.explain(OSError(text), "things")
    assert "the clock of this machine" in told.what and "date -u" in told.hint
