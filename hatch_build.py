"""The package's page on PyPI: README.md, and the project's addresses.

Links of README.md are relative, which is right in a checkout and wrong on PyPI. Where the build knows the repository
(`GITHUB_REPOSITORY`, as in GitHub Actions) links and images lead into it, at the tag that is built. Elsewhere the text
stays as it is.
"""

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class PageHook(MetadataHookInterface):
    def update(self, metadata: dict[str, Any]) -> None:
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        metadata["urls"] = {}
        if repository := os.environ.get("GITHUB_REPOSITORY"):
            home = f"{os.environ.get('GITHUB_SERVER_URL', 'https://github.com')}/{repository}"
            text = absolute(text, home, os.environ.get("GITHUB_REF_NAME", "main"))
            metadata["urls"] = {"Source": home, "Changelog": f"{home}/blob/main/CHANGELOG.md"}
        metadata["readme"] = {"content-type": "text/markdown", "text": text}


def absolute(text: str, home: str, ref: str) -> str:
    """Relative links of Markdown as addresses in the repository `home` at `ref`; images as raw files."""
    return re.sub(
        r"(!?)(\[[^\]]*\])\((?!https?:|#)([^)\s]+)\)",
        lambda link: f"{link[1]}{link[2]}({home}/{'raw' if link[1] else 'blob'}/{ref}/{link[3]})",
        text,
    )
