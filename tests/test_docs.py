"""README, docs and `.env.example` say what is true."""

import re
import shlex
from pathlib import Path

import pytest
from django.core.management import CommandError, get_commands, load_command_class
from django.urls import URLPattern, get_resolver

from sessions_core import slash
from sessions_core.errors import Refusal

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
EXAMPLE = (ROOT / ".env.example").read_text()
PAGES = [README, *(path.read_text() for path in (ROOT / "docs").glob("*.md"))]
MANAGED = re.compile(r"manage\.py ([^`\n]+)")
UNTOLD = {  # what every Django project has, or a few lines
    "sessions_core": ["migrations"],
    "chatapp": ["asgi", "context_processors", "forms", "settings", "storage", "templatetags"],
}
SETTINGS = re.sub(r"(?<=\d)_(?=\d)", "", (ROOT / "chatapp" / "settings.py").read_text())


def test_the_example_lists_exactly_the_settings_there_are():
    read = set(re.findall(r'(?:env\.\w+|secret|address|authority|flag|natural|rates)\(\s*"([A-Z_]+)"', SETTINGS))
    assert set(re.findall(r"^#([A-Z_]+)=", EXAMPLE, re.MULTILINE)) == read


def test_the_example_gives_the_real_defaults():
    for name, default in re.findall(r"^#([A-Z_]+)=(\S+)$", EXAMPLE, re.MULTILINE):
        assert re.search(rf'"{name}", (default=)?"?{re.escape(default)}"?[,)]', SETTINGS, re.IGNORECASE), name


@pytest.mark.parametrize("words", sorted({words.strip() for page in PAGES for words in MANAGED.findall(page)}))
def test_every_command_of_the_docs_exists_and_can_be_written_so(words):
    name, *rest = shlex.split(words.replace("%i", "8001"), comments=True)  # as systemd does with an instance's name
    parser = load_command_class(get_commands()[name], name).create_parser("manage.py", name)
    if name == "test":  # it takes pytest's options and paths too
        assert not [
            word
            for word in parser.parse_known_args(rest)[1]
            if word.startswith("tests/") and not (ROOT / word).exists()
        ]
    elif rest or not parser._subparsers:  # the name alone speaks of all its verbs
        parser.parse_args(rest)


def test_a_command_that_is_written_wrong_is_noticed():
    parser = load_command_class(get_commands()["sessions"], "sessions").create_parser("manage.py", "sessions")
    for wrong in ("frobnicate", "list --frobnicate", "give work --user leaver"):
        with pytest.raises(CommandError):
            parser.parse_args(wrong.split())


def test_the_guide_has_exactly_the_commands_there_are():
    rows = re.findall(r"^\| (`/.*`) \| ", (ROOT / "docs" / "guide.md").read_text(), re.MULTILINE)
    told = {command for row in rows for command in re.findall(r"`(.+?)`", row.replace("\\|", "|"))}
    short = {f"/{c.alias}" for c in slash.COMMANDS.values() if c.alias}
    assert told - short == {command.usage for command in slash.COMMANDS.values()}
    assert short <= set(re.findall(r"`(/\w+)`", (ROOT / "docs" / "guide.md").read_text()))


def test_the_map_has_every_module():
    told = {part for path in re.findall(r"`\s*([\w/]+?)(?:\.py|/)`", README) for part in path.split("/")}
    for folder in ("sessions_core", "chatapp"):
        modules = {
            path.stem for path in (ROOT / folder).iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
        }
        assert modules - told <= {"__init__", "apps", *UNTOLD[folder]}, folder


def test_the_readme_leads_to_every_page_of_the_docs():
    for page in (ROOT / "docs").glob("*.md"):
        assert f"](docs/{page.name})" in README


@pytest.mark.django_db
def test_the_page_for_operators_names_every_metric_and_no_other():
    from sessions_core.metrics import registry

    page = (ROOT / "docs" / "operating.md").read_text()
    named = {name.removesuffix("_total") for name in re.findall(r"^\| `(webchat_\w+)", page, re.MULTILINE)}
    assert named == {family.name for family in registry.collect()}


def test_every_setting_the_page_for_operators_speaks_of_exists():
    page = (ROOT / "docs" / "operating.md").read_text()
    told = {"".join(name) for name in re.findall(r"^([A-Z_]+)=|`([A-Z]+_[A-Z_]+)[`=]", page, re.MULTILINE)}
    known = set(re.findall(r"^#([A-Z_]+)=", EXAMPLE, re.MULTILINE))
    assert {name.removesuffix("_FILE") for name in told} <= known and "PUBLIC_URL" in told


def test_every_command_of_ours_explains_itself():
    for name, app in get_commands().items():
        if app in ("chatapp", "sessions_core"):
            assert load_command_class(app, name).help, name


def test_every_file_of_the_map_exists():
    folder = ROOT
    for indent, name in re.findall(r"^\| `( *)([\w./*]+)`", README, re.MULTILINE):
        if not indent:
            folder = ROOT / name if name.endswith("/") else ROOT
        for part in name.split():
            assert list((folder if indent else ROOT).glob(part.rstrip("/"))), name


def test_every_link_of_the_docs_leads_somewhere():
    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
            assert target.startswith("https://") or (document.parent / target).exists(), (document, target)


def test_the_socket_page_names_every_frame_and_code():
    page = (ROOT / "docs" / "socket.md").read_text()
    names = ("consumers", "following", "standing")
    consumer, *others = [(ROOT / "chatapp" / f"{name}.py").read_text() for name in names]
    for code in re.findall(r"\b4\d{3}\b", consumer.split("class ")[0]):
        assert code in page, code
    for frame in {"{seq,", "rev", "end", *re.findall(r'"type": "(\w+)"', "".join([consumer, *others]))}:
        assert f"`{frame} " in page, frame


def test_every_route_of_a_page_has_a_name():
    assert all(pattern.name for pattern in get_resolver().url_patterns if isinstance(pattern, URLPattern))


def test_the_api_page_names_every_call():
    from chatapp.api.calls import schema

    page = (ROOT / "docs" / "api.md").read_text()
    for path, methods in schema()["paths"].items():
        for method in methods:
            assert f"### `{method.upper()} {path}`" in page


def test_the_api_page_names_codes_that_there_are():
    from chatapp.api import calls, refusals

    ours = re.findall(r'refusal\(\d+, "(\w+)"', "".join(p.read_text() for p in (ROOT / "chatapp" / "api").glob("*.py")))
    domain = {refusals.code_of(kind) for kind in subclasses(Refusal)}
    named = set(re.findall(r"^\| \d+ \| `(\w+)`", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE))
    assert set(ours) | set(calls.CODES.values()) <= named <= {*ours, *calls.CODES.values(), *domain}


def subclasses(kind):
    return {kind, *(deeper for sub in kind.__subclasses__() for deeper in subclasses(sub))}
