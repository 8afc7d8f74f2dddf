"""A conversion is made once, whatever came of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import pytest

from service.inference.choice import cache_folders
from service.inference.conversion import NotConvertible, read_samples, write_samples
from service.inference.conversion_cache import ConversionCache, Interrupted
from service.messages import saved_model_pb2

if TYPE_CHECKING:
    from pathlib import Path

FLOAT, STRING = 1, 7


def write_saved_model(folder: Path, *, dtype: int = FLOAT, shape: tuple[int, ...] | None = (-1, 2)):
    """A SavedModel as far as its signatures go."""
    model = saved_model_pb2.SavedModel()
    graph = model.meta_graphs.add()
    graph.meta_info_def.tags.append("serve")
    definition = graph.signature_def["serving_default"]
    for info in (definition.inputs["x"], definition.outputs["y"]):
        info.name, info.dtype = "t:0", dtype
        info.tensor_shape.unknown_rank = shape is None
        for size in shape or ():
            info.tensor_shape.dim.add(size=size)
    (folder / "variables").mkdir(parents=True, exist_ok=True)
    (folder / "saved_model.pb").write_bytes(model.SerializeToString())
    (folder / "variables" / "variables.data").write_bytes(b"weights")


class Converter:
    """Copies the weights instead of converting; refuses, or is stopped, when told to."""

    def __init__(self, error: NotConvertible | None = None) -> None:
        self.error = error
        self.calls = 0
        self.samples: dict = {}

    def __call__(self, version, output, tags, samples) -> None:
        assert tags == ("serve",)
        self.calls += 1
        self.samples = read_samples(samples)
        if self.error is not None:
            raise self.error
        output.write_bytes((version / "variables" / "variables.data").read_bytes())


@pytest.fixture
def version(tmp_path) -> Path:
    write_saved_model(tmp_path / "version")
    return tmp_path / "version"


def find(tmp_path, version, converter, samples=None) -> Path:
    cache = ConversionCache([tmp_path / "cache"], converter)
    return cache.find(version, ("serve",), samples or {})


def test_a_conversion_is_made_once_and_found_again(tmp_path, version):
    converter = Converter()
    first = find(tmp_path, version, converter)
    second = find(tmp_path, version, converter)

    assert first == second
    assert first.read_bytes() == b"weights"
    assert converter.calls == 1


def test_a_copy_of_a_version_shares_its_conversion(tmp_path, version):
    write_saved_model(tmp_path / "copy")
    converter = Converter()

    assert find(tmp_path, version, converter) == find(tmp_path, tmp_path / "copy", converter)
    assert converter.calls == 1


@pytest.mark.parametrize("name", ["variables/variables.data", "model.tflite", "assets/words"])
def test_other_content_is_converted_anew(tmp_path, version, name):
    converter = Converter()
    before = find(tmp_path, version, converter)
    (version / name).parent.mkdir(exist_ok=True)
    (version / name).write_bytes(b"other")

    assert find(tmp_path, version, converter) != before
    assert converter.calls == 2


def test_a_refusal_is_remembered_with_its_reason(tmp_path, version):
    converter = Converter(NotConvertible("LiteRT lacks Frobnicate"))
    with pytest.raises(NotConvertible, match=r"^LiteRT lacks Frobnicate$"):
        find(tmp_path, version, converter)
    with pytest.raises(NotConvertible, match=r"^LiteRT lacks Frobnicate \(as found before\)$"):
        find(tmp_path, version, converter)

    assert converter.calls == 1


def test_a_stopped_conversion_is_tried_again(tmp_path, version):
    converter = Converter(Interrupted("stopped"))
    with pytest.raises(NotConvertible, match="stopped"):
        find(tmp_path, version, converter)
    converter.error = None

    assert find(tmp_path, version, converter).read_bytes() == b"weights"


def test_nothing_half_made_stays(tmp_path, version):
    with pytest.raises(ZeroDivisionError):
        find(tmp_path, version, Converter(ZeroDivisionError()))

    assert [it.name for it in (tmp_path / "cache").iterdir()] == ["lock"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"dtype": STRING}, "signature serving_default has strings in x"),
        ({"dtype": 14}, "signature serving_default has numbers LiteRT lacks in x"),
        ({"shape": None}, "signature serving_default takes x of any rank"),
    ],
)
def test_what_litert_cannot_have_is_not_even_tried(tmp_path, changes, reason):
    write_saved_model(tmp_path / "version", **changes)
    converter = Converter()
    with pytest.raises(NotConvertible) as refused:
        find(tmp_path, tmp_path / "version", converter)

    assert str(refused.value) == reason
    assert converter.calls == 0


def test_a_folder_that_cannot_be_written_to_is_passed_over(tmp_path, version):
    (tmp_path / "file").write_text("in the way")
    cache = ConversionCache([tmp_path / "file" / "cache", tmp_path / "second"], Converter())

    assert cache.find(version, ("serve",), {}).parent == tmp_path / "second"


def test_without_any_folder_nothing_is_converted(tmp_path, version):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(NotConvertible, match="no conversion can be kept"):
        ConversionCache([tmp_path / "file" / "cache"], Converter()).find(version, ("serve",), {})


def test_a_shared_place_that_others_can_write_to_is_not_trusted(tmp_path, version, monkeypatch):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    (tmp_path / "planted").mkdir(mode=0o777)
    (tmp_path / "planted").chmod(0o777)
    with pytest.raises(NotConvertible, match="no conversion can be kept"):
        ConversionCache([tmp_path / "planted"], Converter()).find(version, ("serve",), {})


def test_the_conversions_that_were_used_last_are_kept(tmp_path, version, monkeypatch):
    monkeypatch.setattr("service.inference.conversion_cache._KEPT", 2)
    paths = []
    for day, weights in enumerate((b"a", b"b", b"c")):
        (version / "variables" / "variables.data").write_bytes(weights)
        paths.append(find(tmp_path, version, Converter()))
        os.utime(paths[-1], (day + 1, day + 1))
    (version / "variables" / "variables.data").write_bytes(b"d")
    find(tmp_path, version, Converter())

    assert [it.exists() for it in paths] == [False, False, True]


def test_samples_reach_the_converter_as_they_are(tmp_path, version):
    converter = Converter()
    rows = [{"x": np.array([[1.5, np.nan]], np.float32)}, {"x": np.zeros((0, 2), np.float32)}]
    find(tmp_path, version, converter, {"serving_default": rows})

    found = converter.samples["serving_default"]
    assert [it["x"].dtype for it in found] == [np.float32, np.float32]
    np.testing.assert_array_equal(found[0]["x"], rows[0]["x"])
    assert found[1]["x"].shape == (0, 2)


def test_strings_among_samples_are_left_out(tmp_path):
    path = tmp_path / "samples.npz"
    write_samples(path, {"s": [{"x": np.ones(1), "t": np.array([b"a"], object)}]})

    assert [list(it) for it in read_samples(path)["s"]] == [["x"]]


def test_the_cache_is_the_users_unless_asked_otherwise(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/tmp")
    own = f"/tmp/hearth-{os.getuid()}"

    assert [str(it) for it in cache_folders(None, {"HOME": "/h"})] == ["/h/.cache/hearth", own]
    assert [str(it) for it in cache_folders(None, {"HOME": "/h", "XDG_CACHE_HOME": "/c"})] == [
        "/c/hearth",
        "/h/.cache/hearth",
        own,
    ]
    assert [str(it) for it in cache_folders(tmp_path, {"HOME": "/h"})] == [str(tmp_path), own]
