"""Fixtures that many tests share."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder with real cubes and other writers' stores."""
    place = os.environ.get("ZAPZ_DATA")
    if not place or not Path(place).is_dir():
        pytest.skip("real data are not here: ZAPZ_DATA does not name their folder")
    return Path(place)


settings.register_profile("zapz", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("zapz")
