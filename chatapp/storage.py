"""Static files as they are served: hashed names for all, and the style sheet in one piece."""

import re
from collections.abc import Iterator
from typing import Any

from django.core.files.base import ContentFile
from whitenoise.storage import CompressedManifestStaticFilesStorage

IMPORT = re.compile(r'@import url\("([^"]+)"\) layer\((\w+)\);')


class Storage(CompressedManifestStaticFilesStorage):
    patterns = (
        *CompressedManifestStaticFilesStorage.patterns,
        ("js/*.js", ((r'(?P<matched>(?P<how>import |resolve\(|from )"(?P<url>\./[\w-]+\.js)")', '%(how)s"%(url)s"'),)),
    )

    def post_process(self, paths: dict[str, Any], dry_run: bool = False, **options: Any) -> Iterator:
        """One file per component is for people; a browser gets them in one request."""
        source, name = paths["css/app.css"]
        with source.open(name) as file:
            sheet = IMPORT.sub(lambda match: self._layer(paths, match), file.read().decode())
        self.delete("css/app.css")
        self.save("css/app.css", ContentFile(sheet.encode()))
        paths["css/app.css"] = (self, "css/app.css")
        yield from super().post_process(paths, dry_run, **options)

    def _layer(self, paths: dict[str, Any], match: re.Match[str]) -> str:
        source, name = paths[f"css/{match[1]}"]
        with source.open(name) as file:
            return f"@layer {match[2]} {{\n{file.read().decode()}}}"
