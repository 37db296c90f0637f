"""Every Redis key, in one place. The Lua scripts use the same names (see `scripts.py`).

    dk:job:{id}             hash    the record: the truth about one job
    dk:queue                zset    queued jobs by the order in which they are claimed; `:{model}` behind it for one
    dk:delayed              zset    queued jobs that must wait, by the time until which they do
    dk:parked               zset    queued jobs whose tenant has as many running as it may, as `tenant order id`
    dk:more:{status}        set     of queued or running jobs with several edits: all but the first, as `id:number`
    dk:more:{tenant}:{status}  set  the same of one tenant's jobs; or of a `model {model}`
    dk:turns:{pool}         zset    `tenant priority` by the turn that its next job gets (see `lua/fair_share.lua`)
    dk:turn:{pool}          string  the present turn
    dk:served               zset    models by when a worker was last heard of that serves them
    dk:worker-models        hash    the models that each worker serves, with spaces between
    dk:pools                hash    the pool of each model (see `lua/models.lua`)
    dk:pool-models          hash    the models of each pool
    dk:uniform              string  where all workers serve the same models: their pool, and these models
    dk:unsorted             string  while jobs may lack in the queues of their models: how far the search for them is
    dk:running              zset    running and canceling jobs by the end of their lease
    dk:deadlines            zset    jobs that are not over, by their deadline
    dk:expiry               zset    ended jobs by the time of their removal
    dk:ended                zset    ended jobs whose `end.json` is not written yet, by the time they ended
    dk:dead                 zset    jobs that failed through no fault of their client, by the time they ended
    dk:trash                zset    S3 folders of removed jobs that the keeper empties, by the time of removal
    dk:tombstones           zset    `tenant entry` of feeds' entries that tell of removed jobs, by time
    dk:index:{tenant}       zset    a tenant's jobs by id, which sorts by time; `:{status}` behind it for one status
    dk:events:{id}          stream  a job's last 500 events
    dk:feed:{tenant}        stream  a tenant's last 10,000 events
    dk:preview:{id}         hash    the latest small preview: predicted and noisy, JPEG
    dk:claim:{token}        string  the job that a claim token got
    dk:pixels:{sha256}      string  the job whose output has these pixels
    dk:once:{tenant}:{key}  hash    the job that an idempotency key stands for, and what was asked for with it
    dk:renders              list    tokens of renders that somebody waits for, the oldest last
    dk:render:{token}       string  what to render, JSON; gone when a worker has taken it, or nobody waits any longer
    dk:rendered:{token}     string  what came of it, JSON, for a short while
    dk:attempt:{digest}     string  the idempotency key of the last first try of a call that a client may repeat
    dk:hands:{worker}       set     the jobs that a worker holds
    dk:alone                hash    the job for which a worker empties itself, or has done so
    dk:workers              zset    workers by when they were last heard of
    dk:keepers              zset    keepers by when they last made a round
    dk:worker-info          hash    what each worker says of itself, JSON
    dk:checkpoint           string  what the latest worker says of itself; it outlives the workers
    dk:definitions          hash    what workers publish of models, JSON by its digest (see `served_models.py`)
    dk:models               hash    the digest of each model's last known definition, JSON by the model's id
    dk:paused               string  while it exists nothing is claimed; since when
    dk:draining             set     workers that are to claim no more
    dk:tenants              set     tenants that have ever submitted
    dk:limits:{tenant}      hash    what an operator allows a tenant instead of what the settings say
    dk:invited:{tenant}     zset    addresses for uploads that a tenant was given in the last day, by when
    dk:file:{id}            hash    what is known of a file that a client keeps here
    dk:files:{tenant}       zset    a tenant's files by when they were sent
    dk:batch:{id}           hash    a batch: what is the same for all its lines, and how many of them are over
    dk:batch-lines:{id}     hash    what became of each line, JSON by its number
    dk:batch-lease:{id}     string  the web process that feeds it at the moment
    dk:batches:{tenant}     zset    a tenant's batches by when they were made
    dk:open-batches         set     batches that are not over
    dk:stats                hash    running means, for estimates: of all, of a pool and of a model
    dk:promises             list    the last promised times until a job's end, each with what came of it
    dk:census               hash    how many jobs are queued and running, by `status model priority`
    dk:recount              hash    the census that a recount under way is making (see `lua/recount.lua`)
    dk:counts               hash    what was counted since the beginning, by name and labels (`lua/counts.lua`)
    dk:key:{id}             hash    an API key: its tenant, scopes and name, and the SHA-256 of its secret
    dk:keys                 zset    API keys by when they were made
    dk:session:{digest}     string  the API key that a session of the site stands for
    dk:rate:{key}:{kind}    string  the time at which a caller's allowance is whole again
    dk:wake                 channel `tenant id` of each job that changed

    dk:endpoint:{id}        hash    a registered webhook, with its secrets; `default:{tenant}` for those that jobs name
    dk:endpoints:{tenant}   zset    a tenant's registered webhooks by id
    dk:listeners:{tenant}:{type}  set  those of them that are told of one type of event
    dk:delivery:{id}        hash    one message to one webhook, and what came of it
    dk:messages:{job}       set     the deliveries that tell of a job
    dk:deliveries:{tenant}:{endpoint}  zset  the last deliveries to a webhook, by time
    dk:lanes                zset    lanes by when to look at them next; a lane is what goes to one receiver
    dk:lane:{lane}          zset    deliveries not yet made, by the time of their next attempt
    dk:flying:{lane}        zset    those under way, by the end of their sender's lease
    dk:sending:{tenant}     zset    all of a tenant's that are under way, likewise
    dk:aside:{tenant}       zset    its lanes that wait until it has less under way, by when they were put aside
    dk:circuit:{lane}       hash    how often the receiver failed in a row, since when, and until when it is left alone
    dk:instance             string  which Redis this is: the bucket holds the same, until this one has lost everything
    dk:signing-key          string  the seed of the key that signs for everybody, hex
    dk:outbox-wake          channel the id of each new delivery

Times are milliseconds of Redis' own clock.
"""

JOB = "dk:job:"
QUEUE = "dk:queue"
DELAYED = "dk:delayed"
PARKED = "dk:parked"
MORE = "dk:more:"
TURNS = "dk:turns:"
TURN = "dk:turn:"
SERVED = "dk:served"
WORKER_MODELS = "dk:worker-models"
POOLS = "dk:pools"
POOL_MODELS = "dk:pool-models"
UNIFORM = "dk:uniform"
UNSORTED = "dk:unsorted"
RUNNING = "dk:running"
DEADLINES = "dk:deadlines"
EXPIRY = "dk:expiry"
ENDED = "dk:ended"
DEAD = "dk:dead"
TOMBSTONES = "dk:tombstones"
TRASH = "dk:trash"
INDEX = "dk:index:"
EVENTS = "dk:events:"
FEED = "dk:feed:"
PREVIEW = "dk:preview:"
CLAIM = "dk:claim:"
PIXELS = "dk:pixels:"
ONCE = "dk:once:"
RENDERS = "dk:renders"
RENDER = "dk:render:"
RENDERED = "dk:rendered:"
HELD_JOBS = "dk:hands:"
ATTEMPT = "dk:attempt:"
ALONE = "dk:alone"
WORKERS = "dk:workers"
KEEPERS = "dk:keepers"
WORKER_INFO = "dk:worker-info"
CHECKPOINT = "dk:checkpoint"
DEFINITIONS = "dk:definitions"
MODELS = "dk:models"
PAUSED = "dk:paused"
DRAINING = "dk:draining"
TENANTS = "dk:tenants"
LIMITS = "dk:limits:"
INVITED = "dk:invited:"
FILE = "dk:file:"
FILES = "dk:files:"
BATCH = "dk:batch:"
BATCH_LINES = "dk:batch-lines:"
BATCH_LEASE = "dk:batch-lease:"
BATCHES = "dk:batches:"
OPEN_BATCHES = "dk:open-batches"
STATS = "dk:stats"
PROMISES = "dk:promises"
CENSUS = "dk:census"
RECOUNT = "dk:recount"
COUNTS = "dk:counts"
KEY = "dk:key:"
KEYS = "dk:keys"
SESSION = "dk:session:"
RATE = "dk:rate:"
WAKE = "dk:wake"

ENDPOINT = "dk:endpoint:"
ENDPOINTS = "dk:endpoints:"
LISTENERS = "dk:listeners:"
DELIVERY = "dk:delivery:"
MESSAGES = "dk:messages:"
DELIVERIES = "dk:deliveries:"
LANES = "dk:lanes"
LANE = "dk:lane:"
FLYING = "dk:flying:"
SENDING = "dk:sending:"
ASIDE = "dk:aside:"
CIRCUIT = "dk:circuit:"
INSTANCE = "dk:instance"
SIGNING_KEY = "dk:signing-key"
OUTBOX_WAKE = "dk:outbox-wake"


def all_keys() -> dict[str, str]:
    """The keys by their names, by which the Lua scripts call them too."""
    return {name: value for name, value in globals().items() if name.isupper()}
