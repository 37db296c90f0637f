"""The records of all jobs, in Redis. Each transition is one Lua script (`jobs/lua/`); this is its Python interface.

`requests` is for the web tier, `work` for workers, `upkeep` for the keeper; `statistics` and
`queues` only count.
"""

from jobs.store.queues import Queues
from jobs.store.requests import Requests
from jobs.store.statistics import Statistics
from jobs.store.upkeep import Upkeep
from jobs.store.work import Work


class JobStore(Requests, Statistics, Queues, Work, Upkeep):
    """Every job's record and the transitions between its states.

    Raises:
        RecordsUnavailable: from any method, when Redis does not answer in time.
        QueueFull: from `submit` and `admit`, when there is no room for anybody's job.
    """
