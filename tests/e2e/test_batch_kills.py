"""A batch of a thousand lines, while the web tier, the worker and the keeper are killed again and again."""

import json
import time
from itertools import cycle, islice

import httpx
import pytest
from openai import OpenAI

from tests.e2e.test_openai_client import all_jobs
from tests.local_stack import OBEDIENT, PHOTO, Up

LINES = 1000
KILLS = 10


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_thousand_lines_and_ten_kills_make_a_thousand_results_each_once(tmp_path):
    with Up(tmp_path / "data", **OBEDIENT, LEASE_SECONDS="5") as up:
        http = httpx.Client(trust_env=False)
        with OpenAI(base_url=f"{up.url}/openai/v1", api_key="any", max_retries=20, http_client=http) as client:
            photo = client.files.create(file=PHOTO.open("rb"), purpose="vision").id
            body = {"prompt": "make it sepia", "images": [{"file_id": photo}], "num_inference_steps": 2}
            line = {"method": "POST", "url": "/v1/images/edits"}
            lines = [{"custom_id": str(i), **line, "body": {**body, "seed": i}} for i in range(LINES)]
            source = client.files.create(file="\n".join(map(json.dumps, lines)).encode(), purpose="batch").id
            batch = client.batches.create(input_file_id=source, endpoint="/v1/images/edits", completion_window="24h")
            victims = list(islice(cycle(("api.main", "worker.app", "worker.keeper")), KILLS))
            while (now := client.batches.retrieve(batch.id)).status == "in_progress":
                if victims and now.request_counts.completed >= LINES * (KILLS - len(victims)) // (KILLS + 1):
                    up.kill(victims.pop())
                time.sleep(0.5)
            assert (now.status, victims) == ("completed", [])
            counts = now.request_counts
            assert (counts.total, counts.completed, counts.failed) == (LINES, LINES, 0)
            results = [json.loads(text) for text in client.files.content(now.output_file_id).iter_lines()]
            assert [result["custom_id"] for result in results] == [str(i) for i in range(LINES)]
            assert len({result["response"]["body"]["data"][0]["job_id"] for result in results}) == LINES
            assert len(all_jobs(up)) == LINES, "no line was submitted twice"
