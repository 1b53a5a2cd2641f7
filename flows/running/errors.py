"""Errors that a person sees as one message; imported without Prefect, so that help is quick."""


class RunFailedError(RuntimeError):
    """A flow run that was waited for ended in another state than Completed.

    Attributes
    ----------
    is_crash : it did not fail by itself, so that another may do better.
    flow_run : its id.
    """

    def __init__(self, said: str, is_crash: bool, flow_run: str) -> None:
        super().__init__(said)
        self.is_crash = is_crash
        self.flow_run = flow_run
