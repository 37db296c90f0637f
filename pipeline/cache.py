"""Tensors kept for later edits, bounded in bytes."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

from torch import Tensor

T = TypeVar("T")


class TensorCache:
    """Values made of tensors, up to `limit` bytes in total. The least recently used value is removed first."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.bytes = 0
        self._values: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value of a key, made if it is absent. Threads that ask at the same time may each make it."""
        found: T | None = self.find(key)
        if found is not None:
            return found
        value = make()
        with self._lock:
            self.bytes += bytes_of(value) - bytes_of(self._values.pop(key, ()))
            self._values[key] = value
            while self.bytes > self.limit:
                self.bytes -= bytes_of(self._values.popitem(last=False)[1])
        return value

    def find(self, key: Hashable) -> Any:
        """The value of a key, or None."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def clear(self) -> None:
        """Remove all values."""
        with self._lock:
            self._values.clear()
            self.bytes = 0


def bytes_of(value: Any) -> int:
    """Bytes of a tensor, or of all tensors in a mapping or sequence."""
    if isinstance(value, Tensor):
        return value.nbytes
    return sum(map(bytes_of, value.values() if isinstance(value, Mapping) else value))
