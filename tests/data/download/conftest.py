"""The server of test_download and test_store."""

import threading

import pytest

from tests.data.download.server import Server


@pytest.fixture(scope="session")
def running():
    server = Server()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def server(running):
    running.files, running.script, running.seen = {}, [], []
    return running
