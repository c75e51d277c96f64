"""`manage.py sessions`: what operators do with sessions, by the rules of the app."""

import io
import json
import stat

import pytest
from django.core.management import CommandError, call_command

from sessions_core import errors
from sessions_core.gateway import tools
from sessions_core.models import By, Chat, ChatEvent, Message
from tests.test_session_verbs import allow_main
from tests.test_sessions import PROTECTED, answered

pytestmark = [pytest.mark.django_db, pytest.mark.thorough]


@pytest.fixture
def work(ada):
    chat = Chat.objects.start(ada, title="Work", persistent=False)
    answered(chat)
    return chat


@pytest.fixture
def main(ada):
    return Chat.objects.main_of(allow_main(ada), By(ada))


def sessions(*arguments):
    out = io.StringIO()
    call_command("sessions", *map(str, arguments), stdout=out)
    return out.getvalue()


def refused(*arguments):
    with pytest.raises(CommandError) as refusal:
        sessions(*arguments)
    return str(refusal.value)


def now(chat):
    return Chat.objects.get(pk=chat.pk)


class TestWhich:
    def test_a_key_says_enough_and_a_name_needs_its_owner(self, work):
        sessions("rename", work.key, "Job")
        sessions("rename", "job", "Career", "--user", "ada")
        assert now(work).title == "Career"
        assert sessions("show", "WORK", "--user", "ada").startswith(f"key: {work.key}\n")
        assert "add --user NAME" in refused("show", "Career")

    def test_what_is_not_there_is_answered_with_what_to_do(self, work, ada, bob):
        assert "`manage.py sessions list --user ada` shows all" in refused("show", "Nothing", "--user", "ada")
        assert "There is no session" in refused("show", "webchat-none")
        assert "There is no session" in refused("show", work.key, "--user", "bob")
        assert "There is no account “eve”" in refused("list", "--user", "eve")
        work.trash(By(ada))
        assert "is in the trash. `manage.py sessions restore" in refused("rename", work.key, "x")
        sessions("restore", "work", "--user", "ada")
        assert "is not in the trash" in refused("restore", work.key)

    @pytest.mark.parametrize("odd", ["\x00", "\x1b[31m", "\udcff", "", "%", "main"])
    def test_odd_references_are_only_not_found(self, ada, odd):
        assert "There is no session" in refused("show", odd, "--user", "ada")
        assert "\x1b" not in refused("show", odd)
        assert "There is no account" in refused("list", "--user", f"x{odd}")


class TestList:
    def test_people_get_columns(self, work, main):
        work.protect(True, By(None))
        lines = sessions("list").splitlines()
        assert lines[0].split() == ["KEY", "OWNER", "MESSAGES", "LAST", "ACTIVE", "MARKS", "NAME"]
        assert f"{work.key}  ada    2         " in "\n".join(lines)
        assert lines[1].endswith("Main") or lines[2].endswith("Main")
        assert any("persistent" in line and line.endswith("Work") for line in lines)

    def test_machines_get_json(self, work):
        (row,) = json.loads(sessions("list", "--json"))
        assert (row["key"], row["name"], row["owner"], row["messages"]) == (work.key, "Work", "ada", 2)
        assert json.loads(sessions("show", work.key, "--json")) == row

    def test_it_can_be_narrowed(self, work, ada, bob):
        by = By(ada)
        _, old, gone, his = (Chat.objects.start(ada, title=name) for name in ("Kept", "Old", "Gone", "His"))
        old.protect(False, by)
        old.archive(True, by)
        gone.trash(by)
        his.give(bob, by)

        def names(*options):
            return {row["name"] for row in json.loads(sessions("list", "--json", *options))}

        assert names() == {"Work", "Kept", "Old", "His"}
        assert names("--user", "ada") == {"Work", "Kept", "Old"}
        assert names("--persistent") == {"Kept", "His"}
        assert names("--archived") == {"Old"}
        assert names("--trash") == {"Gone"}

    def test_a_name_cannot_command_the_terminal(self, work):
        Chat.objects.filter(pk=work.pk).update(title="\x1b[2J\u202eevil\n")
        for output in (sessions("list"), sessions("show", work.key), sessions("unprotect", work.key)):
            assert not {"\x1b", "\u202e"} & set(output)
            assert "\\x1b[2J\\u202eevil\\n" in output


class TestVerbs:
    def test_each_is_the_pages_and_leaves_its_trace(self, ada):
        sessions("create", "Work", "--user", "ada", "--no-persistent")
        chat = Chat.objects.get()
        answered(chat)
        sessions("protect", chat.key)
        assert now(chat).persistent
        sessions("unprotect", chat.key)
        sessions("reset", chat.key)
        assert now(chat).chapter == 2
        sessions("delete", chat.key)
        assert now(chat).deleted_at
        sessions("restore", chat.key)
        assert not now(chat).deleted_at
        assert list(ChatEvent.objects.filter(source="cli").order_by("pk").values_list("verb", flat=True)) == [
            *("created", "protected", "unprotected", "reset", "deleted", "restored")
        ]

    def test_a_refusal_has_the_words_of_the_app(self, work, ada):
        work.protect(True, By(ada))
        assert refused("reset", work.key) == PROTECTED
        assert refused("create", "work", "--user", "ada") == str(errors.NameTaken("work"))
        assert refused("rename", work.key, "main") == "“main” is reserved. Choose another name."
        assert "--user NAME" in refused("create", "x")

    def test_a_refusal_exits_with_an_error_and_says_so_on_stderr(self, work, ada, capsys):
        from django.core.management import ManagementUtility

        work.protect(True, By(ada))
        with pytest.raises(SystemExit) as exit:
            ManagementUtility(["manage.py", "sessions", "reset", work.key]).execute()
        told = capsys.readouterr()
        assert exit.value.code and PROTECTED in told.err and not told.out

    def test_main_is_reset_on_the_gateway_when_told_to(self, main, monkeypatch):
        asked = []
        monkeypatch.setattr(tools, "reset_session", lambda *args: asked.append(args))
        assert refused("reset", "main", "--user", "ada") == f"{errors.SharedByAll('main')} --yes confirms it."
        assert not asked
        sessions("reset", "main", "--user", "ada", "--yes")
        assert asked == [("main", "main")]


def test_a_session_may_go_on_from_another_of_the_same_person(work, ada, bob):
    work.receive("My train leaves at 7:42").versions.get().settle("done")
    sessions("create", "Travel", "--user", "ada", "--based-on", "work")
    made = Chat.objects.for_user(ada).called("Travel")
    assert made.based_on == work
    assert made.messages.filter(text="My train leaves at 7:42").exists()
    assert "There is no session" in refused("create", "Mine", "--user", "bob", "--based-on", work.key)


def test_a_name_is_needed_to_create_one(ada):
    assert "no visible characters" in refused("create", "", "--user", "ada")


class TestFiles:
    def test_what_is_exported_can_be_imported(self, work, bob, tmp_path):
        file = tmp_path / "work.json"
        file.touch()
        file.chmod(0o644)
        sessions("export", work.key, "-o", file)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        sessions("import", file, "--user", "bob")
        copy = Chat.objects.for_user(bob).get()
        assert (copy.title, copy.messages.count()) == ("Work", 2)

    def test_all_of_a_person_or_one_to_read(self, work, ada, bob):
        Chat.objects.start(ada, title="Second")
        Chat.objects.start(bob, title="Third")
        data = json.loads(sessions("export", "--user", "ada"))
        assert {chat["title"] for chat in data["chats"]} == {"Work", "Second"}
        assert sessions("export", work.key, "--markdown").startswith("# Work\n")

    def test_files_that_are_not_there_or_none_of_ours(self, bob, work, tmp_path):
        assert "cannot be read: No such file" in refused("import", tmp_path / "none", "--user", "bob")
        assert "cannot be written: No such file" in refused("export", work.key, "-o", tmp_path / "none" / "x")
        (tmp_path / "x").write_text("hello")
        assert "no export of this app" in refused("import", tmp_path / "x", "--user", "bob")


class TestGive:
    def test_one_or_all_but_main_under_free_names(self, work, main, ada, bob):
        Chat.objects.start(ada, title="Plans")
        Chat.objects.start(bob, title="Plans")
        gone = Chat.objects.start(ada, title="Gone")
        gone.trash(By(ada))
        sessions("give", "work", "--user", "ada", "--to", "bob")
        assert now(work).owner == bob
        sessions("give", "--all", "--user", "ada", "--to", "bob")
        assert {chat.name for chat in Chat.objects.for_user(bob)} == {"Work", "Plans", "Plans (2)"}
        assert list(Chat.objects.for_user(ada)) == [main]

    def test_what_cannot_be_is_refused(self, work, main, ada, bob):
        assert refused("give", "main", "--user", "ada", "--to", "bob") == str(errors.NotGiven())
        assert "has it already" in refused("give", work.key, "--to", "ada")
        assert "either which session, or --all" in refused("give", "--user", "ada", "--to", "bob")
        assert "either which session, or --all" in refused("give", work.key, "--all", "--user", "ada", "--to", "bob")
        bob.deactivate()
        assert "deactivated" in refused("give", work.key, "--to", "bob")


class TestDryRun:
    @pytest.mark.parametrize(
        ("verb", "arguments"),
        [
            ("create", ["New", "--user", "ada"]),
            ("rename", ["KEY", "New"]),
            ("protect", ["KEY"]),
            ("unprotect", ["KEY"]),
            ("reset", ["KEY"]),
            ("delete", ["KEY"]),
            ("give", ["KEY", "--to", "bob"]),
            ("give", ["--all", "--user", "ada", "--to", "bob"]),
            ("import", ["FILE", "--user", "ada"]),
            ("restore", ["GONE"]),
            ("prune", []),
        ],
    )
    def test_it_says_what_would_be_done_and_changes_nothing(self, work, ada, bob, tmp_path, verb, arguments):
        work.receive("Running")
        file = tmp_path / "work.json"
        sessions("export", work.key, "-o", file)
        gone = Chat.objects.start(ada, title="Gone")
        gone.trash(By(ada))
        Chat.objects.filter(pk=gone.pk).update(deleted_at="2026-01-01T00:00Z")
        words = {"KEY": work.key, "FILE": file, "GONE": gone.key}
        before = snapshot()
        said = sessions(verb, *(words.get(word, word) for word in arguments), "--dry-run")
        assert snapshot() == before
        first, *others = said.splitlines()
        assert first == "Dry run, nothing is changed:"
        assert any("ada" in line or "bob" in line for line in others)

    def test_a_refusal_is_one_too(self, work, ada):
        work.protect(True, By(ada))
        assert refused("reset", work.key, "--dry-run") == PROTECTED

    def test_the_gateway_is_not_asked(self, main, monkeypatch):
        monkeypatch.setattr(tools, "reset_session", lambda *args: pytest.fail("asked"))
        assert refused("reset", "main", "--user", "ada", "--dry-run").endswith("--yes confirms it.")
        assert "Reset: “Main” of ada" in sessions("reset", "main", "--user", "ada", "--dry-run", "--yes")

    @pytest.mark.django_db(transaction=True)
    def test_nobody_hears_of_it(self, work, monkeypatch):
        from sessions_core.hub import hub

        work.receive("Running")
        Message.objects.claim("p", 1)
        heard = []
        monkeypatch.setattr(hub, "publish", lambda topic, event: heard.append(event["type"]))
        sessions("delete", work.key, "--dry-run")
        assert not heard
        sessions("delete", work.key)
        assert {"rev", "list", "stop"} <= set(heard)


def snapshot():
    from django.apps import apps

    ours = apps.get_app_config("sessions_core").get_models()
    return {model: list(model.objects.order_by("pk").values()) for model in ours}
