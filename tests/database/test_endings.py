"""Servers and workers that end under load, with a PostgreSQL that stays."""

import pytest

from slipway.prediction_log.upkeep.maintenance import migrate
from tests.database.cluster import Cluster
from tests.support.ending import EndingContract


class TestEndings(EndingContract):
    @pytest.fixture
    def url(self, cluster: Cluster, database: str) -> str:
        migrate(cluster.url(database))
        return cluster.url(database)
