"""``python -m lessons`` says where it wrote, or why it did not."""

from __future__ import annotations

import pytest

from lessons.__main__ import main
from lessons.pictures import PICTURES


def test_pictures_are_written_and_named(tmp_path, capsys):
    assert main(["pictures", "--folder", str(tmp_path / "new")]) == 0

    files = [str(tmp_path / "new" / f"{name}.svg") for name in PICTURES]
    assert capsys.readouterr().out.splitlines() == files
    assert sorted(map(str, (tmp_path / "new").iterdir())) == sorted(files)


def test_a_folder_that_is_a_file_is_named(tmp_path, capsys):
    (tmp_path / "file").touch()

    assert main(["pictures", "--folder", str(tmp_path / "file")]) == 1
    assert str(tmp_path / "file") in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["train"], ["export", "--fold", "x"]])
def test_a_wrong_command_ends_with_2(arguments):
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == 2
