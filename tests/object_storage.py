"""A real S3 server for tests: moto's, over HTTP, on a free port of 127.0.0.1.

It answers as Google's Cloud Storage too, whose XML API is that of S3 with other words for who asks and for the condition
of a put (cloud.google.com/storage/docs/xml-api/reference-headers).
"""

import hashlib
import json
import re
import tempfile
import threading
from functools import cached_property
from pathlib import Path

REGION = "us-east-1"
SECRET = {"TEST_S3_SECRET": "kept away from everybody"}


class _Recorded:
    """Notes each request, and can be told to answer otherwise.

    hook: called with each request; None goes on, a status such as "403 Forbidden" is answered at once, and
    ("done", status) is answered after what was asked for was done.
    """

    def __init__(self, app):
        self.app, self.requests, self.deaf, self.hook = app, [], False, None
        self._one_by_one = threading.Lock()
        self._tags = {}

    def __call__(self, environment, start):
        who = environment.get("HTTP_AUTHORIZATION", "")
        if who.startswith("Bearer "):
            start = self._as_google(environment, start)
        if self.deaf:  # as a server that ignores the conditions of a put
            for header in ("HTTP_IF_NONE_MATCH", "HTTP_IF_MATCH"):
                environment.pop(header, None)
        self.requests.append(
            (
                environment["REQUEST_METHOD"],
                environment["PATH_INFO"],
                environment["QUERY_STRING"],
                who,
            )
        )
        status = self.hook(environment) if self.hook else None
        if status is None:
            return self._answer(environment, start)
        if isinstance(status, tuple):
            list(self._answer(environment, lambda *_: None))
            status = status[1]
        start(status, [("Content-Type", "application/xml")])
        return [f"<Error><Code>{status.partition(' ')[2].replace(' ', '')}</Code></Error>".encode()]

    def _as_google(self, environment, start):
        """The words of Google as those of S3, and the answer with what its clients look for."""
        environment["HTTP_AUTHORIZATION"] = (
            "AWS4-HMAC-SHA256 Credential=etl/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
        )
        asked = environment.pop("HTTP_X_GOOG_IF_GENERATION_MATCH", None)
        if asked == "0":  # 0: it must not be there yet
            environment["HTTP_IF_NONE_MATCH"] = "*"
        elif asked:
            environment["HTTP_IF_MATCH"] = self._tags[asked]
        for name in [name for name in environment if name.startswith("HTTP_X_GOOG_META_")]:
            environment[name.replace("GOOG", "AMZ")] = environment.pop(name)

        def answer(status, headers, *more):
            meant = [(re.sub("(?i)^x-amz-meta-", "x-goog-meta-", name), value) for name, value in headers]
            tag = next((value for name, value in headers if name.lower() == "etag"), '"1"')
            generation = str(int(hashlib.sha256(tag.encode()).hexdigest()[:12], 16))  # Google numbers what S3 tags
            self._tags[generation] = tag
            return start(status, [*meant, ("x-goog-generation", generation)], *more)

        return answer

    def _answer(self, environment, start):
        """moto looks whether an object is there and then puts it; S3 does both in one step."""
        if not {"HTTP_IF_NONE_MATCH", "HTTP_IF_MATCH"} & set(environment):
            return self.app(environment, start)
        with self._one_by_one:
            return self.app(environment, start)


class Server:
    """The buckets live in the memory of this process: a server that is stopped and started again still has them."""

    def __init__(self):
        import logging

        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.app = _Recorded(DomainDispatcherApplication(create_backend_app))
        self.port = 0
        self.start()

    def start(self):
        from werkzeug.serving import make_server

        self._server = make_server("127.0.0.1", self.port, self.app, threaded=True)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def stop(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    def client(self):
        import boto3

        keys = {"aws_access_key_id": "etl", "aws_secret_access_key": "secret", "region_name": REGION}
        return boto3.client("s3", endpoint_url=self.endpoint, **keys)

    def bucket(self, name):
        self.client().create_bucket(Bucket=name)
        return name

    def address(self, bucket, prefix, **options):
        asked = {"endpoint_url": self.endpoint, "region": REGION, "access_key_id": "etl"}
        asked |= {"secret_access_key": "${TEST_S3_SECRET}"} | options
        return f"s3://{bucket}/{prefix}?" + "&".join(f"{name}={value}" for name, value in asked.items() if value)

    def google_address(self, bucket, prefix):
        """The same place for a client of Google, with the key of a service account that nobody else knows."""
        return f"gs://{bucket}/{prefix}?service_account={self._service_account}"

    @cached_property
    def _service_account(self):
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import rsa

        key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        account = {"client_email": "etl@example.org", "private_key_id": "1", "private_key": key.decode()}
        self._accounts = tempfile.TemporaryDirectory(prefix="etl-test-google-")
        file = Path(self._accounts.name) / "account.json"
        file.write_text(json.dumps({**account, "gcs_base_url": self.endpoint}))
        return file

    def objects(self, bucket, prefix=""):
        """The names of all objects below `prefix`."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [one["Key"] for page in pages for one in page.get("Contents", ())]


def prefix_for(place):
    """A prefix for one test, from its folder."""
    return re.sub(r"[^a-z0-9/]", "-", str(place).lower()).strip("/-")[-80:].strip("/-")
