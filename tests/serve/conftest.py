"""One ledger, one model and its sources for all tests of this room."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the package torch")
pytest.importorskip("starlette", reason="needs the package starlette")

from starlette.testclient import TestClient

from allmend.ledger import Ledger
from allmend.serve import Served, app_of, open_model
from tests.serve.world import make_workspace


@pytest.fixture(scope="session")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    return make_workspace(tmp_path_factory.mktemp("village") / "ledger")


@pytest.fixture(scope="session")
def served(ledger: Ledger) -> Served:
    return open_model(ledger, "village/model")


@pytest.fixture(scope="session")
def client(served: Served) -> Iterator[TestClient]:
    with TestClient(app_of(served), base_url="http://127.0.0.1:8000", raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    return tmp_path / "a-model"
