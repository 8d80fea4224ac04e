"""Object storage: whom to ask and as whom, and what is said where it does not answer.

    s3://bucket/prefix                              the usual chain of the provider
    s3://bucket/prefix?endpoint_url=http://127.0.0.1:9000&region=us-east-1&access_key_id=etl&secret_access_key=${S3_KEY}
    gs://bucket/prefix    az://container/prefix?account_name=...

Addresses stay as they are written, with secrets by name; the values are put in for the library that connects.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote, urlencode, urlsplit

from impl.run import secrets
from impl.run.errors import EtlError, unknown

SCHEMES = ("s3", "gs", "az")
# Some seconds in all: enough for a hiccup, and a server that is not there is noticed while you look.
RETRIES, RETRY_SECONDS, CONNECT_SECONDS, REQUEST_SECONDS = 5, 20, 5, 120
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


def is_address(place: str) -> bool:
    """Whether `place` is one of object storage."""
    return place.partition("://")[0] in SCHEMES and "://" in place


def refuse_half(place: str, where: object) -> None:
    """An `EtlError` for what begins as an address and is none, `gs:/bucket`: it would be taken for a folder."""
    half = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):(?!//)/?|(s3|gs|az|postgres|postgresql)//", place)
    if half:
        kind = half[1] or half[2]
        raise EtlError(
            "this is half an address",
            where=f"{where}: `{secrets.redact(place)}`",
            hint=f"write `{kind.lower()}://{secrets.redact(place[half.end() :])}`; a folder of that name is `./{secrets.redact(place)}`",
        )


def below(address: str, *names: str) -> str:
    """The address of what lies below another, with the same options."""
    place, mark, options = address.partition("?")
    return "/".join([place.rstrip("/"), *names]) + mark + options


def options_of(query: str) -> dict[str, str]:
    """The options of an address. A `+` is one: keys have it, and blanks are for forms."""
    pairs = (one.partition("=") for one in query.split("&") if one)
    return {unquote(name): unquote(value) for name, _, value in pairs}


def query_of(options: Mapping[str, str]) -> str:
    """Options as they stand in an address; the names of secrets stay as they are written."""
    return urlencode(options, safe="${}/:,", quote_via=quote)


class ObjectStorage:
    """A prefix of a bucket. what: what it is for, in messages (`the home of the store`); mend: where its address is set."""

    def __init__(self, address: str, what: str, mend: str) -> None:
        parts = urlsplit(address)
        self.home = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self.address = address  # with its options, secrets by name
        self.bucket = parts.netloc
        self._mend = mend
        secrets.refuse_plain(address, what)
        if not self.bucket:
            raise EtlError(f"{what} names no bucket", where=self.home, hint=f"write `{parts.scheme}://bucket/prefix`")
        self._options = options_of(parts.query)
        known = _OPTIONS[parts.scheme]
        for option in self._options:
            if option not in known:
                raise unknown("option", option, known, where=f"{what}, {self.home}")

    @property
    def endpoint(self) -> str:
        """The server, where the address names one."""
        return self._options.get("endpoint_url", self._options.get("account_name", ""))

    @property
    def connection(self) -> _Connection:
        revealed = {one: secrets.reveal(value, self.home) for one, value in self._options.items()}
        return _connect(self.home, tuple(sorted(revealed.items())))

    @property
    def store(self) -> Any:
        """The store of obstore; use it within `told`."""
        return self.connection.store

    def at(self, name: str = "") -> str:
        """The place of `name`, for messages."""
        return f"{self.home}/{name}" if name else self.home

    @contextmanager
    def told(self, name: str = "") -> Iterator[None]:
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
                hint=f"make the bucket, or mend its name in {self._mend}",
            )
        if isinstance(error, FileNotFoundError):
            return None
        if "RequestTimeTooSkewed" in text:
            return EtlError(
                "the clock of this machine and that of the object store differ by more than a quarter of an hour",
                where=where,
                hint="set the clock that is wrong (`date -u` shows this one), then run the same command again",
            )
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
