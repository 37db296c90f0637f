"""Recognizes device faults in PyTorch's errors, which have several classes or only a text."""

import gc

import torch

from pipeline.errors import DeviceLost, Fault, OutOfMemory

OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")
DEVICE_LOST = ("CUDA error", "CUDNN_STATUS_", "cuDNN error", "CUBLAS_STATUS_", "HIP error", "NVML")


def fault_of(error: BaseException) -> Fault | None:
    """The fault behind an error, or None. It is a new exception, so that it keeps no frame and no tensor alive."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return OutOfMemory(str(error))
    if not isinstance(error, RuntimeError):
        return None
    said = str(error)
    if any(words in said for words in OUT_OF_MEMORY):
        return OutOfMemory(said)
    if isinstance(error, torch.AcceleratorError) or any(words in said for words in DEVICE_LOST):
        return DeviceLost(said)
    return None


def free_memory() -> None:
    """Free unused memory. Call it outside `except`, because the traceback holds the tensors of the failed call."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
