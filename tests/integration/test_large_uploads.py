"""Twenty photos of 50 megapixels at once: the web tier and its decoders stay within their memory."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from PIL import Image

from chaos.hostile import encoded, heic_grid
from jobs.settings import Settings
from tests.web_tier import web_tier

UPLOADS = 20
MOST_OF_THE_TIER, MOST_OF_A_DECODER = 1000, 1200  #: MB


def megabytes(pid: int) -> int:
    """The private memory of a process. 0: it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return int(status.split("RssAnon:")[1].split()[0]) // 1024 if "RssAnon:" in status else 0


def descendants(pid: int) -> list[int]:
    try:
        lists = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return []
    children = [int(child) for told in lists for child in told]
    return [one for child in children for one in (child, *descendants(child))]


@pytest.mark.slow
def test_twenty_large_photos_at_once_stay_within_the_memory(parts: Settings, settings: Settings, tmp_path: Path):
    photo = Image.effect_noise((1024, 768), 20).resize((8160, 6120), Image.Resampling.BICUBIC).convert("RGB")
    files = [encoded(photo, "JPEG", quality=90), heic_grid(16, 12, size=(8160, 6120))] * (UPLOADS // 2)
    with web_tier(parts, tmp_path) as tier, ThreadPoolExecutor(UPLOADS) as pool:

        def submit(data: bytes) -> int:
            form = {"files": {"image": data}, "data": {"prompt": "make it sepia"}}
            return httpx.post(f"{tier.url}/v1/jobs", timeout=120, trust_env=False, **form).status_code

        submit(encoded(photo.resize((64, 48)), "PNG"))
        began, own, decoders = megabytes(tier.pid), [0], [0]
        answers = [pool.submit(submit, data) for data in files]
        while not all(answer.done() for answer in answers):
            own.append(megabytes(tier.pid) - began)
            decoders += [megabytes(pid) for pid in descendants(tier.pid)]
            time.sleep(0.05)
    statuses = [answer.result() for answer in answers]
    assert set(statuses) <= {202, 503}
    assert statuses.count(202) > UPLOADS / 2, "it is better to wait half a minute than to send it all again"
    assert max(own) < MOST_OF_THE_TIER
    assert 200 < max(decoders) < MOST_OF_A_DECODER
