"""What must not be imported where, checked in new interpreters, and what must not be contacted when."""

import socket
import subprocess
import sys

from api.main import create_app
from jobs.settings import Settings

LIGHT = "darkroom.cli.app pipeline.catalogue jobs.store worker.keeper worker.app api.main".split()
HEAVY = {"torch", "diffusers"}


def test_no_torch_outside_the_editors():
    """The modules are imported one after another, so that the first one that loads torch is named."""
    code = f"import sys\nfor name in {LIGHT}:\n    __import__(name)\n    assert not {HEAVY} & {{*sys.modules}}, name"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_nothing_is_contacted_before_the_first_request(monkeypatch):
    called = []
    monkeypatch.setattr(socket.socket, "connect", lambda _, address: called.append(address))
    monkeypatch.setattr(socket.socket, "connect_ex", lambda _, address: called.append(address))
    create_app(Settings(_env_file=None, redis_url="redis://127.0.0.1:1", s3_endpoint_url="http://127.0.0.1:1"))
    assert called == []
