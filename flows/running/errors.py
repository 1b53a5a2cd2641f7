"""Define an error that a person sees as one message.

The module is imported without Prefect, so that `--help` is quick.
"""


class RunFailedError(RuntimeError):
    """Report that an awaited flow run did not end as Completed.

    Attributes
    ----------
    is_crash : whether its process was killed, so that another run may succeed.
    flow_run : id of the flow run.
    """

    def __init__(self, said: str, is_crash: bool, flow_run: str) -> None:
        super().__init__(said)
        self.is_crash = is_crash
        self.flow_run = flow_run
