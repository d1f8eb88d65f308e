"""Every wrong request gets the answer that it gets from QEMU 7.2, and changes nothing; wrong_requests.txt has both."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

CPU = "qemu64-x86_64-cpu"
OPTIONS = ["-M", "q35", "-smp", "2,maxcpus=4,sockets=2,dies=1,cores=2,threads=1", "-m", "64", "-accel", "tcg"]
TABLE = Path(__file__).with_name("wrong_requests.txt")
CRASH, PLUGGED = "crash", "plugged"  # what QEMU does where it does not answer as it should


@dataclass(frozen=True)
class Row:
    """A request, QEMU's answer, and ours."""

    request: bytes
    qemu: str
    ours: str


def read_rows() -> list[Row]:
    rows: list[Row] = []
    for line in TABLE.read_text().splitlines():
        text = line.partition("    # ")[0].strip()
        if not line or line.startswith("#"):
            continue
        if not line.startswith(" "):
            request = line.replace(":T,", f':"{CPU}",').replace(":T}", f':"{CPU}"}}').encode() + b" \n"
        elif text.startswith("here "):
            rows[-1] = Row(request, rows[-1].qemu, text.removeprefix("here "))
        else:
            rows.append(Row(request, text, text))
    return rows


ROWS = read_rows()


def shown(answer) -> str:
    """An answer as the table has it."""
    error = answer.get("error")
    text = f"{error['class']}: {error['desc']}" if error else f"return: {json.dumps(answer['return'])}"
    echo = f" id {json.dumps(answer['id'])}" if "id" in answer else ""
    return re.sub(" +", " ", text + echo)


def with_one_plugged(peer):
    peer.query("device_add", driver=CPU, id="c1", socket_id=1, core_id=0, thread_id=0)
    return peer


@pytest.fixture(scope="module")
def ours(ours):
    return with_one_plugged(ours)


@pytest.fixture(scope="module")
def qemu(qemu):
    return with_one_plugged(qemu)


@pytest.mark.parametrize("row", ROWS, ids=[row.request.decode().strip() for row in ROWS])
def test_wrong_request_is_answered_and_changes_nothing(ours, row):
    before = ours.query("query-hotpluggable-cpus")
    assert shown(ours.send(row.request)) == row.ours
    assert ours.query("query-hotpluggable-cpus") == before


def test_recorded_answers_are_those_of_the_installed_qemu(qemu):
    rows = [row for row in ROWS if row.qemu not in (CRASH, PLUGGED)]
    assert {row.request: shown(qemu.send(row.request)) for row in rows} == {row.request: row.qemu for row in rows}


def test_table_is_long_and_says_why_it_differs():
    assert len(ROWS) > 190
    differing = [line for line in TABLE.read_text().splitlines() if line.startswith("    here ")]
    assert all("    # " in line for line in differing) and len(differing) < 20
