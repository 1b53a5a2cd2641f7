"""Begin every generated page alike."""

NOTE = "Written by `make docs` from the code. Do not edit this page: change the text in the code."


def head(title: str, lead: str) -> str:
    """Begin a page: its title, where it comes from, and one sentence on what else to read."""
    return f"# {title}\n\n{NOTE}\n\n{lead}\n"
