"""Templates of this project's HTML pages."""

from jinja2 import Environment, PackageLoader, StrictUndefined


def page_templates() -> Environment:
    """Templates of the package `tasks`; whatever is put into them is escaped, and what is missing is an error."""
    return Environment(
        loader=PackageLoader("tasks", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
