"""The benchmark works from end to end; what it measures is no test's business."""

import json
import subprocess
import sys

import pytest

from tests.bench.figures import Figure, histogram, part, table
from tests.server import ROOT, own_environment


def bench(tmp_path, *options):
    command = [sys.executable, "manage.py", "bench", "--tiny", *options]
    env = own_environment(WEBCHAT_DATA=str(tmp_path))
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)


def test_bench_measures_replies_and_pages_against_their_budgets(tmp_path):
    done = bench(tmp_path, "--json", "--only", "streaming", "--only", "pages")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    figures = {figure["name"]: figure for figure in said["figures"]}
    assert figures["C = 2: tokens lost"] | {"ours": 0, "met": True} == figures["C = 2: tokens lost"]
    delivered = figures["C = 2: delivered"]
    assert delivered["ours"] > 0 and delivered["ratio"] == delivered["ours"] / delivered["raw"]
    assert figures["C = 1: first token p50"]["ours"] > figures["C = 1: first token p50"]["raw"] > 0
    assert figures["C = 2: CPU for 1000 tokens"]["ours"] > 0
    assert 0 < figures["queries: sidebar"]["ours"] < 20
    assert figures["search of 20 chats, 200 messages: p95"]["at_most"] == 60
    assert said["machine"]["cores"] >= 1


def test_bench_knows_no_other_group(tmp_path):
    assert "invalid choice: 'everything'" in bench(tmp_path, "--only", "everything").stderr


def test_a_budget_is_for_the_figure_for_the_ratio_or_for_what_is_more_than_raw():
    assert Figure("a", "ms", 10, at_most=10).met and not Figure("a", "ms", 11, at_most=10).met
    assert Figure("a", "", 95, raw=100, at_least=0.95, of="ratio").met
    assert not Figure("a", "", 94, raw=100, at_least=0.95, of="ratio").met
    assert Figure("a", "ms", 30, raw=10, at_most=20, of="over").met
    assert not Figure("a", "ms", 31, raw=10, at_most=20, of="over").met
    assert Figure("a", "ms", 10).met is None


def test_the_table_says_what_was_not_met():
    lines = table([Figure("first token", "ms", 31, raw=10, at_most=20, of="over"), Figure("idle", "KB", 2)]).split("\n")
    cells = [[cell.strip() for cell in line.split("|")] for line in lines]
    assert cells[0] == ["figure", "raw", "ours", "ratio", "budget", "met"]
    assert cells[2:] == [
        ["first token, ms", "10", "31", "3.10", "≤ 20 over raw", "NO"],
        ["idle, KB", "", "2", "", "", ""],
    ]


def test_percentiles_are_of_all_that_was_measured():
    assert part(list(range(101)), 95) == 95
    assert (part([7.0], 95), part([], 95)) == (7.0, 0.0)


@pytest.mark.parametrize(("share", "expected"), [(0.5, 0.01), (0.75, 0.015), (1, 0.02)])
def test_a_histogram_counts_only_what_came_between_two_looks(share, expected):
    before = 't_bucket{le="0.01"} 100.0\nt_bucket{le="0.02"} 100.0\nt_bucket{le="+Inf"} 100.0\n'
    after = 't_bucket{le="0.01"} 110.0\nt_bucket{le="0.02"} 120.0\nt_bucket{le="+Inf"} 120.0\n'
    assert histogram("t", before, after, share) == pytest.approx(expected)
