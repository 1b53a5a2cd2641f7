"""Errors a person can act on: the rule, what was found, what to do."""


class InputError(ValueError):
    """Input that breaks a rule; never retried, and ends the command line with exit code 2.

    Parameters
    ----------
    rule : what must hold, one sentence without the final full stop.
    found : what was found instead; may hold a table over several lines.
    remedy : what the reader can do about it.
    """

    def __init__(self, rule: str, found: str, remedy: str) -> None:
        super().__init__(rule, found, remedy)
        self.rule, self.found, self.remedy = rule, found, remedy

    def __str__(self) -> str:
        return f"{self.rule}.\n  found: {self.found}\n  remedy: {self.remedy}"


class ArtifactError(RuntimeError):
    """An artefact that is missing, incomplete or damaged; names the artefact and the file."""
