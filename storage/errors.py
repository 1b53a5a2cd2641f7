"""Errors that a person can act on: what was found, the rule that it breaks, the remedy."""


class InputError(ValueError):
    """Report input that breaks a rule. It is never retried, and ends the command line with exit code 2.

    Parameters
    ----------
    found : what was found, as a sentence without the final full stop; may continue with a table over several lines.
    rule : what must hold, as a sentence without the final full stop.
    remedy : what the reader can do about it.
    """

    def __init__(self, found: str, rule: str, remedy: str) -> None:
        super().__init__(found, rule, remedy)
        self.found, self.rule, self.remedy = found, rule, remedy

    def __str__(self) -> str:
        return f"{self.found}\n  rule: {self.rule}\n  remedy: {self.remedy}"


class ArtifactError(RuntimeError):
    """Report an artefact that is missing, incomplete or damaged, with the name of the artefact and of the file."""
