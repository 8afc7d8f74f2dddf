"""Every peer's packages are pinned, and its programs are there."""

from __future__ import annotations

import re
from importlib import metadata

import pytest

from benchmarks.cores import Cores
from benchmarks.peers import HEARTH, LIMITS, PEERS, environments

LISTS = sorted(environments.LISTS.glob("*.txt"))
NAMES = {peer.environment for peer in PEERS.values() if peer.environment}


def test_every_peer_has_its_list_and_every_list_its_peer():
    assert {path.stem for path in LISTS} == NAMES
    assert {path.stem for path in environments.LISTS.glob("*.in")} == NAMES


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.stem)
def test_every_package_of_a_peer_is_pinned_with_hashes(path):
    text = re.sub(r"^ *#.*\n?", "", path.read_text(), flags=re.MULTILINE)
    entries = [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]

    assert entries
    for entry in entries:
        assert re.match(r"^[a-z0-9-]+==\S+( ; .+?)?( +--hash=sha256:[0-9a-f]{64})+ *$", entry), (
            entry
        )
    assert "://" not in text


def test_the_version_of_an_installed_package_is_known():
    assert environments.package_version(PEERS["flask"]) == metadata.version("flask")
    assert environments.package_version(PEERS[HEARTH]) == ""


@pytest.mark.parametrize("key", PEERS)
def test_a_peer_s_package_is_asked_for_in_its_list(key):
    peer = PEERS[key]
    if peer.environment:
        words = re.split(r"[^a-z-]", (environments.LISTS / f"{peer.environment}.in").read_text())
        assert peer.distribution in words


def test_limits_and_hearth_need_no_environment_of_their_own():
    assert [PEERS[key].environment for key in (HEARTH, *LIMITS)] == ["", "", ""]


def test_servers_and_load_are_kept_apart():
    cores = Cores((0,), (1, 2))

    assert cores.serving(["serve"]) == ["taskset", "-c", "0", "serve"]
    assert cores.loading(["load"]) == ["taskset", "-c", "1,2", "load"]
    assert str(cores) == "servers on core 0, load on cores 1, 2"


def test_on_one_core_nothing_is_pinned():
    assert Cores().serving(["serve"]) == ["serve"]
    assert str(Cores()) == "servers and load share all cores"
