"""One test stand for all of conformance."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.stand import Stand, stand
from tests.support.absence import absent
from tests.support.cache import Unavailable


@pytest.fixture(scope="session")
def measuring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    try:
        with stand(tmp_path_factory.mktemp("conformance")) as everything:
            yield everything
    except Unavailable as error:
        absent(f"the official conformance suite: {error}")
