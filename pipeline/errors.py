"""The one error that the pipeline raises on purpose."""


class PipelineError(Exception):
    """Something that whoever called can mend: a bad argument, an unreadable picture, a checkpoint with parts missing.

    `field` names the argument at fault when there is one.
    """

    def __init__(self, detail: str, *, field: str | None = None) -> None:
        super().__init__(f"{field}: {detail}" if field else detail)
        self.detail = detail
        self.field = field
