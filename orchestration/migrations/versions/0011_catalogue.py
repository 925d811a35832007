"""The catalogue: `published._catalog`, one row per mart that people can query."""

import gzip
import json

import sqlalchemy as sa
from alembic import op

from orchestration import catalogue
from orchestration.migrations import script

revision = "0011"
down_revision = "0008"


def upgrade() -> None:
    script.run(__file__)
    # What was published before says as much about itself: its manifests are kept.
    connection = op.get_bind()
    manifests = connection.execute(sa.text("select code_version, manifest from ops.code_manifests"))
    driver = connection.connection.driver_connection
    assert driver is not None
    for version, packed in manifests.all():
        catalogue.remember(driver, version, json.loads(gzip.decompress(packed)))
