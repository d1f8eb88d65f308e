"""The benchmark programs as their users start them: their last line is JSON with a summary, whoever is missing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import common

ROOT = Path(__file__).resolve().parents[1]


def run(program: str, *options: str) -> dict:
    """The JSON object that a benchmark prints last."""
    command = [sys.executable, str(ROOT / "benchmarks" / program), "--json", "--runs", "1", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.guest
def test_compute_without_peers_reports_its_own_seconds_only():
    result = run("compute.py", "chase", "--scale", "0.04", "--without", "qemu", "--without", "unicorn")
    assert result["summary"] == {
        "geomean_vs_qemu": None,
        "min_vs_qemu": None,
        "geomean_vs_unicorn": None,
        "min_vs_unicorn": None,
    }
    assert result["guests"]["chase"]["seconds"]["numachine"] > 0


@pytest.mark.guest
def test_a_guest_computes_the_same_under_unicorn():
    pytest.importorskip("unicorn")
    result = run("compute.py", "fibonacci", "--scale", "0.002", "--without", "qemu")
    assert result["summary"]["geomean_vs_unicorn"] > 0


@pytest.mark.guest
def test_an_unknown_guest_is_refused_with_the_names_of_those_there_are():
    command = [sys.executable, str(ROOT / "benchmarks" / "compute.py"), "nothing"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "nothing" in done.stderr and "fibonacci" in done.stderr


@pytest.mark.linux
def test_every_stage_of_the_translator_takes_time():
    summary = run("translate.py", "--mib", "0.25")["summary"]
    assert summary["insn_per_s"] > 0
    assert all(summary[stage]["ns_per_insn"] > 0 for stage in ("decode", "template", "stencil", "region"))


def test_contestants_take_turns():
    order: list[str] = []
    results = common.interleaved(2, {"a": lambda: order.append("a") or 1.0, "b": lambda: order.append("b") or 2.0})
    assert order == ["a", "b", "a", "b"]
    assert results == {"a": [1.0, 1.0], "b": [2.0, 2.0]}


def test_the_geometric_mean_of_nothing_is_none():
    assert common.geometric_mean([]) is None
    assert common.geometric_mean([0.5, 2.0]) == pytest.approx(1)
