"""docs/reliability.md names tests that exist."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
PAGE = (TESTS.parent / "docs" / "reliability.md").read_text()
NAMED = re.findall(r"`([\w/]+\.py)` ((?:\w+)(?:, \w+)*)", PAGE.partition("## Faults")[2].partition("\n## ")[0])


@pytest.mark.parametrize(("path", "names"), sorted(set(NAMED)))
def test_every_test_that_is_named_is_there(path, names):
    there = re.findall(r"def test_(\w+)\(", (TESTS / path).read_text())
    for name in names.split(", "):
        assert any(name in test for test in there), name


def test_tests_are_named_for_every_fault():
    rows = re.findall(r"^\| [\d–, ]+ \|.*", PAGE, re.MULTILINE)
    assert len(rows) > 30 and all(re.search(r"`[\w/]+\.py` \w", row) for row in rows)
