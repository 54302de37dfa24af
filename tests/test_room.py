"""Room: how much memory there is, in a container and where nobody tells."""

from pathlib import Path

import pytest

from fastkm import memory
from fastkm.kernels import control_groups

V2 = {
    "memory.max": "1000000",
    "memory.current": "900000",
    "memory.stat": "anon 300000\ninactive_file 500000\n",
}
V1 = {
    "memory.limit_in_bytes": "2000000",
    "memory.usage_in_bytes": "500000",
    "memory.stat": "cache 1\ntotal_inactive_file 100000\n",
}

# name: (files, bytes that are left); a cache of files gives way to who needs the room
GROUPS = {
    "version 2": (V2, [600_000]),
    "version 1": (V1, [1_600_000]),
    "no limit": (V2 | {"memory.max": "max"}, []),
    "more than the limit": (V2 | {"memory.current": "2000000"}, [0]),
    "damaged": (V2 | {"memory.current": "much"}, []),
    "damaged statistics": (V2 | {"memory.stat": "inactive_file"}, []),
    "no files": ({}, []),
}


@pytest.mark.parametrize("name", GROUPS)
def test_room_in_a_control_group(name, tmp_path):
    files, expected = GROUPS[name]
    for file, content in files.items():
        (tmp_path / file).write_text(content)
    assert list(memory.room_in(tmp_path)) == expected


def test_the_groups_of_memory(tmp_path):
    membership = tmp_path / "membership"
    membership.write_text("4:cpu:/a\n3:memory:/a/b\n0::/c\n")
    found = list(control_groups("memory", Path("/groups"), membership))
    assert found[:3] == [Path(f"/groups/memory/{group}") for group in ("a/b", "a", "")]
    assert Path("/groups/c") in found and Path("/groups/cpu/a") not in found
    assert list(control_groups("memory", Path("/groups"), tmp_path / "none")) == []


def test_the_least_counts(tmp_path, monkeypatch):
    for file, content in V2.items():
        (tmp_path / file).write_text(content)
    monkeypatch.setattr(memory, "_groups", lambda: [tmp_path])
    assert memory.available() == 600_000
    assert memory.default_max() == 2**26  # never less


def test_a_system_that_does_not_tell(monkeypatch):
    def refuse(*arguments):
        raise OSError

    monkeypatch.setattr(Path, "read_text", refuse)
    assert memory.available() > 0
    monkeypatch.setattr(memory.os, "sysconf", refuse)
    assert memory.available() == memory.ASSUMED
