"""Wake-ups: Celery messages that say "there is work". They carry no job, and may be lost or doubled at no cost."""

import logging
import ssl
import threading
import time
from typing import Any

from celery import Celery

from jobs.connections import SCHEME, Group, connect
from jobs.scripts import reaching_redis
from jobs.settings import Settings
from jobs.store import JobStore

log = logging.getLogger(__name__)

QUEUE = "wake-ups"
PREFIX = "dk:broker:"
TASK = "darkroom.work"
PAUSE = 0.02  #: seconds between two checks for missing wake-ups


def queue_of(model: str) -> str:
    """The queue of the wake-ups for the workers of a model. Older versions use the queue without a model."""
    return f"{QUEUE}.{model}" if model else QUEUE


def celery_app(settings: Settings, *, timeout: float = 5.0) -> Celery:
    """The Celery app of both tiers: no results, no events, no delays. It waits at most `timeout` s for the broker."""
    group = Group.of(settings.broker) if settings.broker.startswith(SCHEME) else None
    app = Celery("darkroom", broker=group.broker if group else settings.broker, set_as_current=False)
    app.conf.update(
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        task_serializer="json",
        accept_content=["json"],
        task_default_queue=QUEUE,
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        task_send_sent_event=False,
        broker_connection_timeout=timeout,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        worker_hijack_root_logger=False,
        broker_use_ssl=checked_tls(settings.broker),
        task_publish_retry_policy={"max_retries": 1, "interval_start": 0, "interval_step": 0.1, "interval_max": 0.2},
        broker_transport_options={
            "global_keyprefix": PREFIX,
            "visibility_timeout": 600,
            "unacked_restore_interval": 10,
            "unacked_restore_throttle": 1,
            "socket_timeout": timeout,
            "socket_connect_timeout": min(timeout, 3.0),
            "socket_keepalive": True,
            "health_check_interval": 10,
            **({"master_name": group.name, "sentinel_kwargs": {"password": group.sentinel_password}} if group else {}),
        },
    )
    return app


def checked_tls(broker: str) -> dict[str, Any] | None:
    """TLS options that check the certificate of a `rediss://` broker, which Celery does not do by default."""
    return {"ssl_cert_reqs": ssl.CERT_REQUIRED} if broker.startswith("rediss:") else None


class Wakeups:
    """Sends wake-ups to the workers of each model, as many as would find both a queued job and a free slot."""

    def __init__(self, app: Celery, store: JobStore, broker: Any) -> None:
        self._app = app
        self._store = store
        self._broker = broker
        self._lock = threading.Lock()
        self._is_wanted = self._runs = False

    @classmethod
    def connect(cls, settings: Settings, store: JobStore, *, timeout: float) -> "Wakeups":
        """Wakeups over the settings' broker."""
        broker = connect(settings.broker, decode_responses=True, socket_timeout=timeout, socket_connect_timeout=timeout)
        return cls(celery_app(settings, timeout=timeout), store, broker)

    def top_up_soon(self) -> None:
        """Let a thread send the missing wake-ups, at most every 20 ms for all callers together."""
        with self._lock:
            self._is_wanted = True
            if not self._runs:
                self._runs = True
                threading.Thread(target=self._go_on, name="wake-ups", daemon=True).start()

    def _go_on(self) -> None:
        while self._still_wanted():
            self.top_up()
            time.sleep(PAUSE)

    def _still_wanted(self) -> bool:
        with self._lock:
            wanted, self._is_wanted = self._is_wanted, False
            self._runs = wanted
            return wanted

    def top_up(self) -> int:
        """Send the missing wake-ups. A failure only costs time, because the keeper does the same every second."""
        try:
            with reaching_redis():
                queues = {queue_of(model): number for model, number in self._store.wanted_wakeups().items()}
                missing = {name: number - self._broker.llen(PREFIX + name) for name, number in queues.items()}
            for name, number in missing.items():
                for _ in range(number):
                    self._app.send_task(TASK, queue=name)
        except Exception as error:  # whatever the broker's client raises: a lost wake-up must not fail an accepted job
            log.warning("no wake-up sent: %s", error)
            return 0
        return sum(max(0, number) for number in missing.values())
