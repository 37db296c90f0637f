"""Runs jobs: `app` is the Celery worker, `run` the story of one job, `keeper` the process that loses none of them."""
