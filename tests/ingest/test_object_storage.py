"""Object storage as the landing place."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.ingest.given import outcomes
from tests.support import files
from tests.support.checkout import Checkout
from tests.support.files import DAY

BUCKET = "landing"


@pytest.fixture
def address() -> Iterator[str]:
    """Where an S3 server on this machine answers, which keeps versions of what it has."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    yield f"http://127.0.0.1:{port}"
    server.stop()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_object_storage_is_a_landing_place_like_any_other(empty: Checkout, address: str) -> None:
    s3 = boto3.client(
        "s3", region_name="us-east-1", endpoint_url=address, aws_access_key_id="test",
        aws_secret_access_key="test",
    )  # fmt: skip
    s3.create_bucket(Bucket=BUCKET)
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    empty.variables |= {
        "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": address, "AWS_ALLOW_HTTP": "true", "LANDING_URL": f"s3://{BUCKET}/in",
    }  # fmt: skip
    empty.land(DAY)
    empty.list_stations()
    for source, day in (("readings", DAY), ("stations", date(2013, 1, 1))):
        key = f"in/{files.path_of(source, day)}"
        s3.put_object(Bucket=BUCKET, Key=key, Body=empty.path(source, day).read_bytes())
    empty.call("ingest")
    assert outcomes(empty) == [("loaded", 72, 0), ("loaded", 3, 0)]
    assert "nothing new has landed" in empty.call("ingest")
    uri = files.path_of("readings", DAY)
    etag = s3.head_object(Bucket=BUCKET, Key=f"in/{uri}")["ETag"].strip('"')
    version = empty.value("select file_version from ops.deliveries where uri = %s", uri)
    assert etag in version
    body = s3.get_object(Bucket=BUCKET, Key=f"in/{uri}")["Body"].read()
    s3.put_object(Bucket=BUCKET, Key=f"in/copy/{uri}", Body=body)
    assert f"copy/{uri}: the path matches no contract" in empty.call("ingest", code=4)
    assert outcomes(empty)[2:] == [("rejected", 0, 0)]
