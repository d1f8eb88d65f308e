"""RAM as objects, beside the QEMU that is installed."""

from __future__ import annotations

import pytest

from emu.cli.main import system_x86_64
from tests.qmp.peers import QEMU, Ours, Qemu

M0, M1 = ["-object", "memory-backend-ram,id=m0,size=64M"], ["-object", "memory-backend-ram,id=m1,size=64M"]
CHOICES = {
    "default": ["-m", "64M"],
    "named": ["-M", "pc,memory-backend=m0", *M0],
    "default name": ["-M", "pc,memory-backend=pc.ram", "-object", "memory-backend-ram,id=pc.ram,size=64M"],
    "nodes": ["-m", "128M", *M0, *M1, "-numa", "node,memdev=m0", "-numa", "node,memdev=m1"],
}


@pytest.fixture(params=CHOICES)
def peers(request, tmp_path):
    if QEMU is None:
        pytest.skip("needs qemu-system-x86_64")
    pair = [Ours(CHOICES[request.param]), Qemu(CHOICES[request.param], tmp_path)]
    yield pair
    for peer in pair:
        peer.close()


def both(peers, command, **arguments):
    """Our answer and QEMU's; what lists in the order of a hash table is sorted."""
    answers = [peer.execute(command, **arguments) for peer in peers]
    for answer in answers:
        if isinstance(answer.get("return"), list):
            answer["return"].sort(key=lambda backend: backend["id"])
    return answers


def test_backends_and_the_machines_link_are_qemus(peers):
    for command, arguments in (("query-memdev", {}), ("query-memory-size-summary", {}),
                               ("qom-get", {"path": "/machine", "property": "memory-backend"}),
                               ("qom-get", {"path": "/machine", "property": "memory"})):  # fmt: skip
        mine, theirs = both(peers, command, **arguments)
        assert mine == theirs


def test_a_backend_in_use_stays_and_another_may_come_and_go(peers):
    used = peers[1].query("query-memdev")[0]["id"]
    for command, arguments in (("object-del", {"id": used}),
                               ("object-add", {"qom_type": "memory-backend-ram", "id": "more", "size": 1 << 20}),
                               ("query-memdev", {}), ("object-del", {"id": "more"}), ("query-memdev", {})):  # fmt: skip
        mine, theirs = both(peers, command, **arguments)
        assert mine == theirs


@pytest.mark.parametrize("arguments, text", [
    (["-M", "pc,memory-backend=foo"], "Memory backend 'foo' not found"),
    (["-M", "pc,memory-backend=m0", "-m", "32M", *M0], "Machine memory size does not match the size of the memory backend"),
    (["-object", "memory-backend-ram,id=pc.ram,size=64M", "-m", "64M"],
     "object name 'pc.ram' is reserved for the default RAM backend, it can't be used for any other purposes. "
     "Change the object's 'id' to something else"),
])  # fmt: skip
def test_what_cannot_be_is_refused_in_qemus_words(arguments, text, capsys):
    assert system_x86_64(["-S", *arguments]) == 1
    assert capsys.readouterr().err.strip().endswith(f": {text}")
