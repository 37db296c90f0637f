"""The errors of the pipeline: a PipelineError can be corrected by the caller, a Fault cannot."""


class PipelineError(Exception):
    """An error that the caller can correct: a bad argument, an unreadable picture, an incomplete checkpoint.

    `field` names the argument at fault, if there is one.
    """

    def __init__(self, detail: str, *, field: str | None = None) -> None:
        super().__init__(f"{field}: {detail}" if field else detail)
        self.detail = detail
        self.field = field


class Fault(Exception):
    """Something below the edit failed, whatever the request was."""


class NotFinite(Fault):
    """The network produced values that are not finite, instead of a picture."""

    def __init__(self) -> None:
        super().__init__("The network produced values that are not finite.")


class OutOfMemory(Fault):
    """The device has no memory for the work, even for one edit alone."""


class DeviceLost(Fault):
    """The device no longer answers. Only a new process can use it again."""
