"""docs/configuration.md is `.env.example` as a page, row by row, and `.env.example` is what the settings read."""

import re

from tests.test_docs import EXAMPLE, ROOT

PAGE = (ROOT / "docs" / "configuration.md").read_text()


def tables(example: str) -> str:
    """One table for each part of the example, a row for each setting."""
    lines, words = [], []
    for line in example.splitlines():
        if part := re.match(r"# --- ([^.]+)", line):
            lines += ["", f"## {part[1]}", "", "| setting | default | what it does |", "|---|---|---|"]
        elif setting := re.match(r"#([A-Z_]+)=(.*)$", line):
            default = f"`{setting[2]}`" if setting[2] else ""
            lines.append(f"| `{setting[1]}` | {default} | {' '.join(words)} |")
            words = []
        elif line.startswith("# "):
            words.append(line[2:])
        else:
            words = []
    return "\n".join(lines).strip()


def test_every_setting_stands_in_the_reference_with_its_default_and_meaning():
    assert tables(EXAMPLE) in PAGE


def test_every_setting_the_reference_speaks_of_exists():
    told = set(re.findall(r"`([A-Z]+_[A-Z_]+)`", PAGE)) - {"WEBCHAT_ENV_FILE"}
    assert told <= set(re.findall(r"^#([A-Z_]+)=", EXAMPLE, re.MULTILINE))
