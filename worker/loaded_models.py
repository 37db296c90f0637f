"""The models of one worker. Each is loaded when a job needs it; others are unloaded to make room in memory."""

import gc
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pipeline.errors import OutOfMemory
from worker.editors.editor import Editor

log = logging.getLogger(__name__)

POLL_SECONDS = 0.2  #: a job that waits for its model checks this often whether it should go on
SWAP_SECONDS = 5.0  #: after a job has waited this long for memory, newer jobs of loaded models wait behind it
RETRY_SECONDS = 60.0  #: pause before the first new try to load a model; the pause doubles after each failure
MOST_RETRY_SECONDS = 3600.0


class NotLoaded(Exception):
    """The model cannot be loaded now. This does not depend on the job."""


@dataclass(frozen=True)
class Weights:
    """Weights that are loaded together: those of one model, or of several models that share them. `memory` is in bytes.

    `load()` returns a function from a model's name to its editor.
    """

    models: tuple[str, ...]
    memory: int
    load: Callable[[], Callable[[str], Editor]]
    unload: Callable[[], None] = lambda: None


@dataclass
class _Loaded:
    editors: Callable[[str], Editor] | None = None  #: None while the weights are being loaded
    users: int = 0
    used_at: float = 0.0


@dataclass(frozen=True)
class _Trouble:
    """Why a model could not be loaded, the failed tries, and the time (monotonic) until which it is withdrawn."""

    reason: str
    tries: int
    until: float


@dataclass(eq=False)
class LoadedModels(Collector):
    """The editors of several models, of which at most `budget` bytes are loaded at a time (None: no limit).

    The least recently used model is unloaded first. A model that a job uses is never unloaded.
    """

    weights: Sequence[Weights]
    budget: int | None = None
    loads: int = 0
    swaps: int = 0  #: loads for which another model was unloaded
    _troubles: dict[str, _Trouble] = field(default_factory=dict)
    _loaded: dict[int, _Loaded] = field(default_factory=dict)
    _waiting: dict[object, float] = field(default_factory=dict)  #: jobs that wait for memory, and since when
    _change: threading.Condition = field(default_factory=threading.Condition)

    @property
    def troubles(self) -> dict[str, str]:
        """Why the models that are withdrawn now could not be loaded."""
        now = time.monotonic()
        return {model: trouble.reason for model, trouble in self._troubles.copy().items() if now < trouble.until}

    @property
    def models(self) -> list[str]:
        """The models that can be served."""
        withdrawn = self.troubles
        return [model for one in self.weights for model in one.models if model not in withdrawn]

    @property
    def loaded(self) -> list[str]:
        """The models that are loaded now."""
        with self._change:
            return [model for place, one in self._loaded.items() if one.editors for model in self.weights[place].models]

    @contextmanager
    def using(
        self, model: str, on_wait: Callable[[], None] = lambda: None, on_load: Callable[[], None] = lambda: None
    ) -> Iterator[Editor]:
        """The model's editor. It stays loaded until the end of the `with` block.

        `on_wait` is called at intervals while there is no memory for the model or another job loads it. `on_load` is
        called before this job loads it. An exception of either ends the wait.

        Raises:
            KeyError: the model is not one of this worker's.
            NotLoaded
        """
        place = self._place_of(model)
        one = self._enter(place, model, on_wait, on_load)
        try:
            yield self._editor(place, model)
        finally:
            with self._change:
                one.users -= 1
                one.used_at = time.monotonic()
                self._change.notify_all()

    def _editor(self, place: int, model: str) -> Editor:
        editors = self._loaded[place].editors
        if editors is None:
            raise NotLoaded(f"{model} is not loaded")
        return editors(model)

    def _place_of(self, model: str) -> int:
        return {name: place for place, one in enumerate(self.weights) for name in one.models}[model]

    def _enter(self, place: int, model: str, on_wait: Callable[[], None], on_load: Callable[[], None]) -> _Loaded:
        ticket, began = object(), time.monotonic()
        try:
            while True:
                with self._change:
                    if trouble := self.troubles.get(model):
                        raise NotLoaded(trouble)
                    one = self._loaded.get(place)
                    if one and one.editors and not self._is_held_back(began):
                        one.users += 1
                        return one
                    if one is None and self._make_room(place):
                        self._loaded[place] = one = _Loaded(users=1, used_at=time.monotonic())
                        break
                    if one is None:
                        self._waiting[ticket] = began
                    self._change.wait(POLL_SECONDS)
                on_wait()
        finally:
            self._waiting.pop(ticket, None)
        self._load(place, one, on_load)
        return one

    def _is_held_back(self, began: float) -> bool:
        """Whether an older job has waited for memory so long that newer jobs must wait behind it."""
        first = min(self._waiting.values(), default=began)
        return first < began and time.monotonic() - first > SWAP_SECONDS

    def _make_room(self, place: int) -> bool:
        """Unload unused models, the least recently used first, until these weights fit. False: they do not fit yet."""
        others = {other: one for other, one in self._loaded.items() if other != place}
        need = self.weights[place].memory
        used = sum(self.weights[other].memory for other in others)
        idle = sorted((one.used_at, other) for other, one in others.items() if one.editors and not one.users)
        swapped = False
        while self.budget is not None and others and used + need > self.budget:
            if not idle:
                return False
            _, other = idle.pop(0)
            used -= self.weights[other].memory
            del others[other]
            self._unload(other)
            swapped = True
        self.swaps += swapped
        return True

    def _unload(self, place: int) -> None:
        log.info("unloading %s", ", ".join(self.weights[place].models))
        del self._loaded[place]
        try:
            self.weights[place].unload()
        except Exception:
            log.exception("%s did not close", self.weights[place].models[0])
        free_memory()

    def _load(self, place: int, one: _Loaded, on_load: Callable[[], None]) -> None:
        """Load the weights of `one`. Other jobs go on meanwhile."""
        names = ", ".join(self.weights[place].models)
        try:
            on_load()
            began = time.monotonic()
            editors = self._load_or_make_room(place)
            log.info("loaded %s in %.1f s", names, time.monotonic() - began)
        except BaseException as error:
            with self._change:
                del self._loaded[place]
                if isinstance(error, NotLoaded):
                    self._withdraw(self.weights[place].models, str(error))
                self._change.notify_all()
            raise
        with self._change:
            one.editors = editors
            self.loads += 1
            for model in self.weights[place].models:
                self._troubles.pop(model, None)
            self._change.notify_all()

    def _withdraw(self, models: Sequence[str], reason: str) -> None:
        """Stop serving these models for a while: twice as long after each further failure."""
        known = self._troubles.get(models[0])
        tries = known.tries + 1 if known else 1
        pause = min(RETRY_SECONDS * 2 ** (tries - 1), MOST_RETRY_SECONDS)
        log.error("%s withdrawn for %.0f s: %s", ", ".join(models), pause, reason)
        self._troubles |= dict.fromkeys(models, _Trouble(reason, tries, time.monotonic() + pause))

    def _load_or_make_room(self, place: int) -> Callable[[str], Editor]:
        """Load the weights. If device memory is too small, unload all models that no job uses and try once more."""
        try:
            return self.weights[place].load()
        except OutOfMemory:
            with self._change:
                for other in [other for other, one in self._loaded.items() if other != place and one.editors]:
                    if not self._loaded[other].users:
                        self._unload(other)
        except Exception as error:
            raise NotLoaded(_sentence(error)) from error
        try:
            return self.weights[place].load()
        except Exception as error:
            raise NotLoaded(_sentence(error)) from error

    def collect(self) -> Iterable[Metric]:
        yield CounterMetricFamily("darkroom_worker_model_loads", "Times that a model was loaded.", self.loads)
        yield CounterMetricFamily(
            "darkroom_worker_model_swaps", "Loads for which another model was unloaded.", self.swaps
        )
        family = GaugeMetricFamily("darkroom_worker_model_loaded", "Whether a model is loaded.", labels=("model",))
        loaded = self.loaded
        for one in self.weights:
            for model in one.models:
                family.add_metric([model], float(model in loaded))
        yield family


def _sentence(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return text[0][:300] if text else type(error).__name__


def free_memory() -> None:
    """Free the memory of unreachable objects, also on the device."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
