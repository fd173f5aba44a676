"""diffusers, imported when something of it is first wanted: it is an extra, and takes seconds to import."""

from typing import Any

from gcbench.core.errors import UserError


def diffusers() -> Any:
    """The module. UserError: it is not installed."""
    try:
        import diffusers as module
    except ImportError:
        raise UserError("ldm needs the extra ldm: pip install 'gcbench[ldm]'") from None
    return module
