"""Versions signed by somebody who is trusted, and what has been done to others."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from service.contract import SIGNATURE
from service.errors import InvalidRequest, VersionRefused
from service.repository import signatures
from service.repository.signatures import Signatures
from training import signing
from training.errors import SigningError

FILES = (
    "saved_model.pb",
    "model.tflite",
    "variables/variables.index",
    "variables/variables.data-00000-of-00001",
    "assets.extra/contract.json",
    "assets.extra/golden.json",
    "assets.extra/model-card.md",
    "assets.extra/report/index.html",
    "assets.extra/tf_serving_warmup_requests",
)


def make_key(folder: Path, name: str) -> tuple[Path, Path]:
    """A key of our own; gives its private and its public half."""
    key = ec.generate_private_key(ec.SECP256R1())
    private, public = folder / f"{name}.key", folder / f"{name}.pub"
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return private, public


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> dict[str, tuple[Path, Path]]:
    folder = tmp_path_factory.mktemp("keys")
    return {name: make_key(folder, name) for name in ("ours", "theirs")}


@pytest.fixture(scope="module")
def signed(tmp_path_factory, keys) -> Path:
    """A signed version of files in name only. Not to be changed."""
    version = tmp_path_factory.mktemp("signed") / "1"
    for name in FILES:
        (version / name).parent.mkdir(parents=True, exist_ok=True)
        (version / name).write_text(f"content of {name}")
    signing.sign(version, keys["ours"][0])
    return version


@pytest.fixture
def version(signed, tmp_path) -> Path:
    return Path(shutil.copytree(signed, tmp_path / "7"))


@pytest.fixture
def check(keys, capsys):
    """What is wrong with a version, as the process that checks it says; nothing for right."""

    def run(version: Path, *names: str) -> str:
        code = signatures.main([str(version), *(str(keys[it][1]) for it in names or ("ours",))])
        said = capsys.readouterr().out.strip()
        assert (code == 0) is (said == "")
        return said

    return run


def test_signed_version_is_right_whatever_its_number(check, version):
    assert check(version) == ""


def test_signature_of_another_key_does_not_hold(check, version):
    assert "does not hold with theirs.pub: Key mismatch" in check(version, "theirs")


def test_any_of_several_keys_will_do(check, version):
    assert check(version, "theirs", "ours") == ""


def test_version_without_signature_is_refused(check, version):
    (version / SIGNATURE).unlink()

    assert check(version) == "it is not signed: assets.extra/model.sig is missing"


@pytest.mark.parametrize("name", FILES)
def test_changed_file_is_found(check, version, name):
    content = bytearray((version / name).read_bytes())
    content[-1] ^= 1
    (version / name).write_bytes(content)

    assert f"Hash mismatch for '{name}'" in check(version)


@pytest.mark.parametrize("name", FILES)
def test_removed_file_is_found(check, version, name):
    (version / name).unlink()

    assert f"Missing files in model '7': {name}" in check(version)


@pytest.mark.parametrize("name", ["batching_params.pbtxt", ".gitignore", "assets.extra/x", "a/b"])
def test_added_file_is_found(check, version, name):
    (version / name).parent.mkdir(exist_ok=True)
    (version / name).write_text("more")

    assert f"Extra files found in model '7': {name}" in check(version)


def test_link_in_the_place_of_a_file_is_found(check, version, tmp_path):
    moved = (version / "model.tflite").rename(tmp_path / "elsewhere")
    (version / "model.tflite").symlink_to(moved)

    assert "does not hold with ours.pub: " in check(version)


def test_every_byte_of_the_signature_counts(check, version):
    """A changed character makes it another signature, or none; unless only its key's hint went."""
    whole = (version / SIGNATURE).read_bytes()
    for place in range(40, len(whole), len(whole) // 25):
        changed = bytearray(whole)
        changed[place] = ord("A") if changed[place] != ord("A") else ord("B")
        (version / SIGNATURE).write_bytes(changed)

        assert "does not hold" in check(version), place


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\x00", b"[" * 100_000])
def test_broken_signature_is_refused(check, version, content):
    (version / SIGNATURE).write_bytes(content)

    assert "does not hold with ours.pub: " in check(version)


def test_message_does_not_show_hashes_as_bytes(check, version):
    (version / "model.tflite").write_text("other")

    assert "digest_value" not in check(version)


def test_process_says_the_same(version, keys):
    ours = Signatures([keys["ours"][1]])
    ours.check_keys()
    ours.check(version)
    (version / "model.tflite").write_text("other")

    with pytest.raises(VersionRefused, match=r"does not hold with ours\.pub: .*'model\.tflite'"):
        ours.check(version)


def test_keys_are_checked_before_anything_is_served(tmp_path, keys):
    with pytest.raises(InvalidRequest, match=r"--verify_versions_with: .*none\.pub is no public"):
        Signatures([keys["ours"][1], tmp_path / "none.pub"]).check_keys()


def test_private_key_is_no_public_one(keys, capsys):
    assert signatures.main(["-", str(keys["ours"][0])]) == 1
    assert "is no public key to check with" in capsys.readouterr().out


def test_key_that_cannot_sign_is_named_before_the_training(tmp_path, keys):
    other = tmp_path / "rsa.key"
    key = rsa.generate_private_key(65537, 2048)
    other.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    for wrong in (other, keys["ours"][1], tmp_path / "none"):
        with pytest.raises(SigningError, match=f"{wrong.name} is no private key to sign with"):
            signing.check(wrong)


def test_signing_again_replaces_the_signature(check, version, keys):
    signing.sign(version, keys["theirs"][0])

    assert check(version, "theirs") == ""
    assert check(version, "ours") != ""
    assert [it.name for it in version.parent.iterdir()] == ["7"]


def test_library_is_not_in_the_server_itself():
    import subprocess
    import sys

    program = "import sys, service.process; print('model_signing' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "False"
