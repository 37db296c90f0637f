"""What PyTorch's errors say of the device: they have several classes, or are plain RuntimeErrors with words in them."""

import gc

import torch

from pipeline.errors import DeviceLost, Fault, OutOfMemory

OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")
DEVICE_LOST = ("CUDA error", "CUDNN_STATUS_", "cuDNN error", "CUBLAS_STATUS_", "HIP error", "NVML")


def fault_of(error: BaseException) -> Fault | None:
    """The fault that an error tells of, if it does; a new exception, so that it keeps no frame and no tensor alive."""
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
    """Give back what nobody uses; to be called outside `except`, for the traceback holds the tensors of what failed."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
