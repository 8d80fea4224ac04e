"""The files of a lake in object storage: what folder.py does, over the network.

    s3://bucket/prefix                              whom to ask and as whom: the usual chain of the provider
    s3://bucket/prefix?endpoint_url=http://127.0.0.1:9000&region=us-east-1&access_key_id=etl&secret_access_key=${S3_KEY}
    gs://bucket/prefix    az://container/prefix?account_name=...

An object is there whole or not at all, and one that must not be there yet is written with a conditional put: that is
what makes a commit refuse to take the place of another. A store that does not honour it is refused (probe.py).
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from urllib.parse import parse_qsl, urlsplit

from impl.run import secrets
from impl.run.errors import EtlError, unknown
from impl.run.files import sweep
from impl.store.folder import LOG, PROPERTIES
from impl.store.partitions import scratch_for

if TYPE_CHECKING:
    import pyarrow

# Some seconds in all: enough for a hiccup, and a server that is not there is noticed while you look.
RETRIES, RETRY_SECONDS, CONNECT_SECONDS, REQUEST_SECONDS = 5, 20, 5, 120
KEPT_HOURS = 168  # files that no log refers to: of loads that may still run
_OPTIONS = {  # option of the address: its name for the libraries, which is the same in both
    "s3": {
        "endpoint_url": "aws_endpoint_url",
        "region": "aws_region",
        "access_key_id": "aws_access_key_id",
        "secret_access_key": "aws_secret_access_key",
        "session_token": "aws_session_token",
        "virtual_hosted_style_request": "aws_virtual_hosted_style_request",
        "skip_signature": "aws_skip_signature",
        "profile": "",  # of ~/.aws/config
    },
    "gs": {"service_account": "google_service_account"},
    "az": {
        "account_name": "azure_storage_account_name",
        "account_key": "azure_storage_account_key",
        "endpoint_url": "azure_storage_endpoint",
    },
}
# What libraries say; names of objects are in these texts too, so single words would be found in them.
_REFUSED = re.compile(
    r"40[13] (?:Forbidden|Unauthorized)|<Code>(?:AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken)"
    r"|credential provider|Missing(?:Credential|AccessKeyId)|NoCredentials|CredentialsNotLoaded|169\.254\.169\.254"
)
_SILENT = re.compile(
    r"error sending request|operation timed out|after \d+ retries|status code: 5\d\d|status 5\d\d|error decoding"
)


class Bucket:
    """A prefix of a bucket with one Delta table per collection."""

    local: Literal[False] = False
    properties: ClassVar = {**PROPERTIES, "delta.checkpointInterval": "10"}  # a reader fetches each commit since the last

    def __init__(self, home: str) -> None:
        parts = urlsplit(home)
        self.home = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self.address = home  # with its options, secrets by name
        self.bucket = parts.netloc
        secrets.refuse_plain(home, "the home of the store")
        if not self.bucket:
            raise EtlError("the home of the store names no bucket", where=self.home, hint="write `s3://bucket/prefix`")
        self._options = dict(parse_qsl(parts.query))
        known = _OPTIONS[parts.scheme]
        for option in self._options:
            if option not in known:
                raise unknown("option", option, known, where=f"the home of the store, {self.home}")

    # what there is

    def at(self, name: str = "") -> str:
        """Where a collection lies, for messages."""
        return f"{self.home}/{name}" if name else self.home

    def names(self) -> list[str]:
        """Whatever may be a collection; a dropped one keeps a log, so look into it."""
        import obstore

        with self._told():
            found = obstore.list_with_delimiter(self._connection.store)["common_prefixes"]
        names = (path.rstrip("/").rpartition("/")[2] for path in found)
        return sorted(name for name in names if not name.startswith((".", "_")))

    def log(self, name: str, whole: bool = False) -> tuple[list[str], bool]:
        """The names in the log of a table, unless `whole` those since its last checkpoint, and whether these are all."""
        start = None if whole else self._last_checkpoint(name)
        # what is listed comes after the offset: a digit less is before all names of that version
        offset = None if start is None else f"{name}/{LOG}/{start:020}"
        return [one.rpartition("/")[2] for one in self._listed(f"{name}/{LOG}", offset, name)], start is None

    def _last_checkpoint(self, name: str) -> int | None:
        try:
            return int(json.loads(self._get(f"{name}/{LOG}/_last_checkpoint"))["version"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def commit(self, name: str, file: str) -> str:
        """One file of the log."""
        return self._get(f"{name}/{LOG}/{file}").decode("utf-8")

    def size(self) -> int:
        """The bytes of all tables, without the logs."""
        import obstore

        with self._told():
            listed = [one for some in obstore.list(self._connection.store) for one in some]
        return sum(one["size"] for one in listed if f"/{LOG}/" not in f"/{one['path']}")

    # writing

    def scratch(self, name: str) -> Path:
        """Where rows are put aside that do not fit into memory."""
        return scratch_for(name)

    def prepare(self, name: str) -> None:
        """Before anything is written: the store must honour conditional put."""
        from impl.store import probe

        if not self._connection.probed:
            probe.conditional_put(self)
            self._connection.probed = True

    def write(self, name: str, file: str, table: pyarrow.Table, **settings: Any) -> int:
        """Write a Parquet file, whole or not at all; its size."""
        import obstore
        import pyarrow
        import pyarrow.parquet

        sink = pyarrow.BufferOutputStream()
        pyarrow.parquet.write_table(table, sink, **settings)
        content = sink.getvalue()
        with self._told(name):
            obstore.put(self._connection.store, f"{name}/{file}", memoryview(content).cast("B"))
        return content.size

    def put_new(self, name: str, file: str, content: bytes) -> None:
        """Write an object that is not there yet; a `FileExistsError` where it is."""
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        try:
            with self._told(name):
                obstore.put(self._connection.store, f"{name}/{file}", content, mode="create", use_multipart=False)
        except EtlError as error:
            if isinstance(error.__cause__, AlreadyExistsError | PreconditionError):
                raise FileExistsError(f"{self.at(name)}/{file}") from error
            raise

    def remove(self, name: str, files: Sequence[str]) -> None:
        """Remove objects of a table; those that are gone already are fine."""
        self._delete([f"{name}/{file}" for file in files], name)

    def _delete(self, paths: Sequence[str], name: str = "") -> None:
        import obstore

        if paths:
            with self._told(name):
                obstore.delete(self._connection.store, list(paths))

    def drop(self, name: str) -> None:
        """Remove a damaged table: its log last, so that it is seen as damaged until it is gone."""
        listed = self._listed(name, None, name)
        for in_log in (False, True):
            self._delete([one for one in listed if one.startswith(f"{name}/{LOG}/") == in_log], name)

    def forget(self, name: str, version: int) -> None:
        """Remove the log before the commit that dropped a table, if that was long ago."""
        import obstore

        checkpoint, old = f"{version:020}.checkpoint.parquet", datetime.now(UTC) - timedelta(hours=KEPT_HOURS)
        with self._told(name):
            listed = [one for some in obstore.list(self._connection.store, f"{name}/{LOG}") for one in some]
        if any(one["path"].endswith(checkpoint) and one["last_modified"] < old for one in listed):
            found = ((re.match(r"(\d{20})\.", one["path"].rpartition("/")[2]), one["path"]) for one in listed)
            self._delete([path for number, path in found if number and int(number.group(1)) < version], name)

    def sweep(self) -> None:
        """Remove what killed processes left where no log is: rows of a first load, probes."""
        import obstore

        sweep(self.scratch("any").parent)
        with self._told():
            listed = [one for some in obstore.list(self._connection.store) for one in some]
        with_log = {one["path"].partition("/")[0] for one in listed if f"/{LOG}/" in one["path"]}
        old = datetime.now(UTC) - timedelta(hours=KEPT_HOURS)
        tables = {one["path"] for one in listed if "/" in one["path"] and one["path"].partition("/")[0] not in with_log}
        self._delete([one["path"] for one in listed if one["path"] in tables and one["last_modified"] < old])

    # for the libraries

    def delta(self, name: str) -> dict[str, Any]:
        """How the Delta library finds a table."""
        return {"table_uri": f"{self.home}/{name}", "storage_options": self._connection.delta_options()}

    def arrow(self, name: str, sizes: Mapping[str, int]) -> Any:
        """An Arrow file system that reads below a table; a file whose size is known need not be asked for it."""
        return _reader(self, name, sizes)

    def _get(self, path: str) -> bytes:
        import obstore

        with self._told(path.partition("/")[0]):
            return obstore.get(self._connection.store, path).bytes().to_bytes()

    def size_of(self, path: str) -> int:
        """The bytes of one object."""
        import obstore

        with self._told(path.partition("/")[0]):
            return int(obstore.head(self._connection.store, path)["size"])

    def range_of(self, path: str, start: int, end: int) -> bytes:
        """Some bytes of one object."""
        import obstore

        with self._told(path.partition("/")[0]):
            return obstore.get_range(self._connection.store, path, start=start, end=end).to_bytes()

    def _listed(self, prefix: str, offset: str | None, name: str) -> list[str]:
        import obstore

        with self._told(name):
            return [one["path"] for some in obstore.list(self._connection.store, prefix, offset=offset) for one in some]

    @property
    def _connection(self) -> _Connection:
        revealed = {one: secrets.reveal(value, self.home) for one, value in self._options.items()}
        return _connect(self.home, tuple(sorted(revealed.items())))

    # errors

    @contextmanager
    def _told(self, name: str = "") -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, OSError, ValueError) as error:
            if told := self.explain(error, name):
                raise told from error
            raise

    def explain(self, error: Exception, name: str) -> EtlError | None:
        """What an object store, or a library about it, says, in our words; None where it is about the table itself."""
        text = re.sub(r"\x1b\[[0-9;]*m|\s*↳\s*", " ", str(error)).partition("Debug source:")[0]
        said = secrets.redact(" ".join(text.split()))[:400]
        where = f"{self.at(name)}: {said}"
        if "NoSuchBucket" in text or "ContainerNotFound" in text or "The specified bucket does not exist" in text:
            return EtlError(
                f"there is no bucket `{self.bucket}`",
                where=where,
                hint="make the bucket, or mend its name in the home of the store (`etl.store`)",
            )
        if isinstance(error, FileNotFoundError):
            return None
        if _REFUSED.search(text):
            return EtlError(
                "the object store refuses the credentials, or there are none",
                where=where,
                hint="see whether they may read, write and delete in the bucket; docs/store.md tells where they come from",
            )
        if _SILENT.search(text):
            return EtlError(
                "the object store does not answer",
                where=where,
                hint="see whether its address is right and the network is there, then run the same command again",
            )
        if (
            re.search(r"Generic (?:S3|GCS|MicrosoftAzure) error|builder error|BadScheme", text)
            or "obstore" in type(error).__module__
        ):
            return EtlError(
                "the object store does not do what it was asked for",
                where=where,
                hint="see whether its address and region are right",
            )
        return None


class _Connection:
    """A store of obstore, and the same options for the Delta library."""

    def __init__(self, url: str, options: dict[str, str]) -> None:
        try:
            from obstore import store as stores
        except ImportError as error:
            raise EtlError(
                "what a store in object storage needs is not installed", where=url, hint="pip install -e '.[servers]'"
            ) from error
        self.probed = False
        scheme = url.partition("://")[0]
        self._config = {name: options[one] for one, name in _OPTIONS[scheme].items() if name and one in options}
        self._session: Any = None
        if scheme == "s3":
            self._config["aws_conditional_put"] = "etag"
            if not {"access_key_id", "skip_signature"} & set(options):
                self._session = _session(options.get("profile"))
        if self._session is not None and self._session.get_config_variable("region"):
            self._config.setdefault("aws_default_region", self._session.get_config_variable("region"))
        seconds = {"connect_timeout": timedelta(seconds=CONNECT_SECONDS), "timeout": timedelta(seconds=REQUEST_SECONDS)}
        from_url: Any = stores.from_url
        self.store: Any = from_url(
            url,
            config=self._config,
            client_options={**seconds, "allow_http": True},  # where an address says http://, it is meant
            retry_config={"max_retries": RETRIES, "retry_timeout": timedelta(seconds=RETRY_SECONDS)},
            **({"credential_provider": self._credentials} if self._session is not None else {}),
        )

    def _credentials(self) -> dict[str, Any]:
        """What the chain of the provider says now; botocore renews what expires."""
        now = self._session.get_credentials().get_frozen_credentials()
        soon = datetime.now(UTC) + timedelta(minutes=5)
        return {"access_key_id": now.access_key, "secret_access_key": now.secret_key, "token": now.token, "expires_at": soon}

    def delta_options(self) -> dict[str, str]:
        options = {name.upper() if name.startswith("aws") else name: value for name, value in self._config.items()}
        if "AWS_CONDITIONAL_PUT" in options:
            options["aws_conditional_put"] = options.pop("AWS_CONDITIONAL_PUT")
        if self._session is not None:
            now = self._session.get_credentials().get_frozen_credentials()
            options |= {"AWS_ACCESS_KEY_ID": now.access_key, "AWS_SECRET_ACCESS_KEY": now.secret_key}
            options |= {"AWS_SESSION_TOKEN": now.token} if now.token else {}
        options |= {"AWS_ALLOW_HTTP": "true", "allow_http": "true"}
        options |= {"max_retries": str(RETRIES), "retry_timeout": f"{RETRY_SECONDS}s"}
        return options | {"connect_timeout": f"{CONNECT_SECONDS}s", "timeout": f"{REQUEST_SECONDS}s"}


@lru_cache(maxsize=8)
def _connect(url: str, options: tuple[tuple[str, str], ...]) -> _Connection:
    return _Connection(url, dict(options))


def _session(profile: str | None) -> Any:
    """The credentials as every AWS tool finds them: environment, profiles, SSO, the role of the machine; None without any."""
    import botocore.exceptions
    import botocore.session

    try:
        session = botocore.session.Session(profile=profile)
        return session if session.get_credentials() is not None else None
    except botocore.exceptions.BotoCoreError as error:
        raise EtlError(
            "the credentials for the object store cannot be read", where=str(error), hint="see `~/.aws/config`"
        ) from error


def _reader(bucket: Bucket, name: str, sizes: Mapping[str, int]) -> Any:
    from pyarrow import fs

    class Reader(fs.FileSystemHandler):
        """What Arrow needs to read Parquet files; it writes nothing."""

        def get_type_name(self) -> str:
            return "object storage"

        def normalize_path(self, path: str) -> str:
            return path

        def get_file_info(self, paths: list[str]) -> list[Any]:
            return [fs.FileInfo(path, fs.FileType.File) for path in paths]

        def open_input_file(self, path: str) -> Any:
            import pyarrow

            return pyarrow.PythonFile(_Object(bucket, f"{name}/{path}", sizes.get(path)), mode="r")

        open_input_stream = open_input_file

        def _refuse(self, *_: Any, **__: Any) -> Any:
            raise io.UnsupportedOperation("this file system is for reading")

        get_file_info_selector = create_dir = delete_dir = delete_dir_contents = delete_root_dir_contents = _refuse
        delete_file = move = copy_file = open_output_stream = open_append_stream = _refuse

    return fs.PyFileSystem(Reader())


class _Object(io.RawIOBase):
    """An object as a file to read from; each read asks for the bytes that it is about."""

    def __init__(self, bucket: Bucket, path: str, size: int | None) -> None:
        self._bucket, self._path, self._place = bucket, path, 0
        self._size = bucket.size_of(path) if size is None else size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        return self._place

    def read(self, size: int = -1) -> bytes:
        end = self._size if size is None or size < 0 else min(self._size, self._place + size)
        if end <= self._place:
            return b""
        content = self._bucket.range_of(self._path, self._place, end)
        self._place += len(content)
        return content
