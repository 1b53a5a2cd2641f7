"""Define the errors that a person can act on: what was found, the rule that it breaks, the remedy."""


class InputError(ValueError):
    """Report input that breaks a rule. It is never retried, and ends the command line with exit code 2.

    Parameters
    ----------
    found : what was found, with its values: a whole statement without final full stop. It is the headline of the
        message, and a table over several lines may follow it.
    rule : what must hold, as a whole statement without final full stop.
    remedy : what the reader can do about it, in the imperative.
    """

    def __init__(self, found: str, rule: str, remedy: str) -> None:
        super().__init__(found, rule, remedy)
        self.found, self.rule, self.remedy = found, rule, remedy

    def __str__(self) -> str:
        return f"{self.found}\n  rule: {self.rule}\n  remedy: {self.remedy}"


class AwayError(InputError):
    """Report a place that is not there now: a wrong path, or a share or server that will be there again."""


class ArtifactError(RuntimeError):
    """Report an artefact that is missing, incomplete or damaged. The message names the artefact and the file."""


class OutdatedError(ArtifactError):
    """Report a table that an earlier version of the program wrote, in a schema that is no longer read."""
