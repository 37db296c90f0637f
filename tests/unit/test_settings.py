"""All settings are documented, and production has no default secret."""

import re
import runpy

import pytest
from pydantic import ValidationError

from darkroom.local.process import Lifeline
from darkroom.local.stack import configured, embedded_servers, settings_for
from jobs.settings import Settings
from tests.conftest import ROOT


def test_every_setting_is_in_the_example_with_its_default():
    text, _ = (ROOT / ".env.example").read_text().split("# --- only docker compose")
    documented = dict(re.findall(r"^#? ?([A-Z0-9_]+)=(.*)$", text, re.MULTILINE))
    defaults = Settings(_env_file=None)
    for name in Settings.model_fields:
        value = getattr(defaults, name)
        plain = value.get_secret_value() if hasattr(value, "get_secret_value") else value
        assert documented.pop(name.upper()) == ("" if plain is None else str(plain))
    assert documented == {}, "documented, but not there"


def test_the_page_of_all_settings_is_the_one_that_the_code_makes():
    made = runpy.run_path(str(ROOT / "docs" / "configuration.py"))
    assert made["PAGE"].read_text() == made["page"](), "run: python docs/configuration.py"


def test_production_refuses_default_secrets(monkeypatch):
    with pytest.raises(ValidationError, match="S3_SECRET_ACCESS_KEY"):
        Settings(_env_file=None, darkroom_mode="production")
    with pytest.raises(ValidationError, match="REDIS_URL"):
        Settings(_env_file=None, darkroom_mode="production", s3_secret_access_key="strong")
    weak = "redis://:darkroom-local@valkey/0"
    with pytest.raises(ValidationError, match="REDIS_URL"):
        Settings(_env_file=None, darkroom_mode="production", s3_secret_access_key="strong", redis_url=weak)
    strong = {"s3_secret_access_key": "x", "redis_url": "redis://:p@h/0"}
    weak = "darkroom-local-admin-key-on-loopback"
    with pytest.raises(ValidationError, match="ADMIN_KEY"):
        Settings(_env_file=None, darkroom_mode="production", auth="on", admin_key=weak, **strong)
    with pytest.raises(ValidationError, match="AUTH"):
        Settings(_env_file=None, darkroom_mode="production", **strong)
    Settings(_env_file=None, darkroom_mode="production", auth="on", **strong)


@pytest.mark.parametrize("wrong", [{"admin_key": "short"}, {"cors_origins": "*"}, {"cors_origins": "https://a.b/path"}])
def test_a_weak_admin_key_and_an_origin_that_is_none_are_refused(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong)).upper() + "|" + next(iter(wrong))):
        Settings(_env_file=None, **wrong)


@pytest.mark.parametrize("name", ["fetch_ports", "allow_private_networks", "webhook_schedule"])
def test_a_list_that_cannot_be_read_is_named(name):
    with pytest.raises(ValidationError, match=name.upper()):
        Settings(_env_file=None, **{name: "80,nonsense"})


def test_a_setting_out_of_range_is_named():
    with pytest.raises(ValidationError, match="presign_seconds"):
        Settings(_env_file=None, presign_seconds=901)


def test_an_env_file_from_windows_is_read_like_any_other(tmp_path, monkeypatch):
    """Its lines end with CRLF, and it may begin with a byte order mark."""
    monkeypatch.chdir(tmp_path)
    for name in ("LOG_FORMAT", "S3_BUCKET", "MAX_SIDE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / ".env").write_bytes(
        b'\xef\xbb\xbfLOG_FORMAT=json\r\nS3_BUCKET="mine"\r\n# a comment\r\n\r\nMAX_SIDE=500\r\n'
    )
    read = Settings()
    assert (read.log_format, read.s3_bucket, read.max_side) == ("json", "mine", 500)
    assert configured("S3_BUCKET") == "mine"
    assert configured("LOG_FORMAT") == "json"


def test_a_copy_with_another_redis_has_another_broker():
    settings = Settings(_env_file=None, redis_url="redis://one:6379/0")
    assert settings.broker == "redis://one:6379/0"
    assert settings.model_copy(update={"redis_url": "rediss://two:6379/0"}).broker == "rediss://two:6379/0"


def test_the_local_stack_reads_env_files_as_the_service_does(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("REDIS_URL", "LEASE_SECONDS", "S3_REGION", "S3_BUCKET", "CHECKPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("S3_BUCKET", "")  # as good as absent
    (tmp_path / ".env").write_text(
        "export REDIS_URL='redis://h:1/0'  # quoted\nlease_seconds=40 # small\nS3_REGION=\"${LEASE}eu\"\nS3_BUCKET=b\n"
    )
    settings = Settings()
    for name in ("REDIS_URL", "LEASE_SECONDS", "S3_REGION", "S3_BUCKET"):
        assert configured(name) == f"{getattr(settings, name.lower()):{'g' if name == 'LEASE_SECONDS' else ''}}"
    assert settings_for([])["LEASE_SECONDS"] == "40"
    assert [server.name for server in embedded_servers(tmp_path, Lifeline())] == ["seaweedfs"]
