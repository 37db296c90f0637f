"""The errors of the pipeline: PipelineError, which the caller can correct, and faults, which they cannot."""


class PipelineError(Exception):
    """Something that the caller can correct: a bad argument, an unreadable picture, a checkpoint with parts missing.

    `field` names the argument at fault when there is one.
    """

    def __init__(self, detail: str, *, field: str | None = None) -> None:
        super().__init__(f"{field}: {detail}" if field else detail)
        self.detail = detail
        self.field = field


class Fault(Exception):
    """Something that broke below the edit, whatever was asked for."""


class NotFinite(Fault):
    """The network gave numbers that are not finite, which are no picture."""

    def __init__(self) -> None:
        super().__init__("The network gave numbers that are not finite.")


class OutOfMemory(Fault):
    """The device has no memory for the work, even for one edit alone."""


class DeviceLost(Fault):
    """The device answers no more; only a new process gets it back."""
