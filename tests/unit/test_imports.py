"""What may not be loaded where, asked of fresh interpreters."""

import subprocess
import sys

import pytest

LIGHT = "api.main worker.keeper worker.app jobs.store pipeline.catalogue darkroom.cli".split()


@pytest.mark.parametrize("module", LIGHT)
def test_no_torch_outside_the_editors(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules or 'diffusers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_command_line_is_light():
    code = "import sys, darkroom.cli; sys.exit(len({'fastapi', 'celery', 'boto3', 'redis'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_nothing_is_contacted_before_the_first_request():
    """An app over addresses that do not exist is made all the same."""
    code = (
        "from api.main import create_app; from jobs.settings import Settings; "
        "create_app(Settings(redis_url='redis://127.0.0.1:1', s3_endpoint_url='http://127.0.0.1:1'))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
