"""The files of a page's script, and those that come later."""

import re

from tests.server import ROOT

JS = ROOT / "static/js"
IMPORT = re.compile(r'^import .*"\./([\w-]+)\.js"', re.MULTILINE)


def imports(name):
    return set(IMPORT.findall((JS / f"{name}.js").read_text()))


def with_all_it_imports(name):
    return {name}.union(*(with_all_it_imports(one) for one in imports(name)))


def test_what_a_later_file_imports_is_on_the_page_or_comes_first():
    """Otherwise it is asked for as a module, and a browser remembers that one did not come."""
    script = (JS / "socket.js").read_text()
    later = re.findall(r'resolve\("\./([\w-]+)\.js"\)', script)
    first = dict(re.findall(r'"?([\w-]+)"?: "([\w-]+)"', script.split("const FIRST = ")[1].split(";")[0]))
    assert len(later) > 5 and len(first) > 1
    for name in later:
        missing = imports(name) - with_all_it_imports("app")
        assert missing == ({first[name]} if name in first else set()), name


def test_files_come_later_by_way_of_what_remembers_no_miss():
    """`import()` at their own place would be remembered."""
    for file in JS.glob("*.js"):
        assert re.findall(r"\bimport\((.*?)\)", file.read_text()) == (["FILES[name]"] if file.stem == "socket" else [])
