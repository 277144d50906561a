"""A reader sees nothing, all of the old content, or all of the new, whatever happens to the writer."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from keras_genmod.core import hidden_names
from keras_genmod.core.files import replacing_directory, replacing_file

# Imports the file without the package around it: the processes that are killed need nothing of TensorFlow.
PACKAGE = str(Path(hidden_names.__file__).parents[1])
IMPORT = """
import os, sys, time, types
for name, folder in (("keras_genmod", sys.argv[1]), ("keras_genmod.core", sys.argv[1] + "/core")):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [folder]
from keras_genmod.core import files
"""
KILLED = (
    IMPORT
    + """
with {writer} as temporary:
    {body}
    print("half", flush=True)
    time.sleep(600)
"""
)
KILLED_FILE = KILLED.format(
    writer="files.replacing_file(sys.argv[2])", body="temporary.write_text('half of the n')"
)
KILLED_FOLDER = KILLED.format(
    writer="files.replacing_directory(sys.argv[2], overwrite=True)",
    body="(temporary / 'weights').write_text('half of the n')",
)
KILLED_BETWEEN_RENAMES = (
    IMPORT
    + """
rename = os.rename
def rename_and_stop(old, new):
    rename(old, new)
    print("half", flush=True)
    time.sleep(600)
with files.replacing_directory(sys.argv[2], overwrite=True) as temporary:
    os.rename = rename_and_stop
"""
)


def kill_in_the_middle(script, target):
    command = [sys.executable, "-c", script, PACKAGE, str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "half\n"
        process.kill()
    assert process.returncode == -signal.SIGKILL


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def write_folder(target, text, **options):
    with replacing_directory(target, **options) as temporary:
        (temporary / "weights").write_text(text)


def test_file_appears_only_when_complete_and_keeps_its_suffixes(tmp_path):
    target = tmp_path / "new" / "vae-0.5.weights.h5"
    with replacing_file(target) as temporary:
        assert temporary.name.endswith(target.name) and temporary.name.startswith(".")
        assert temporary.parent == target.parent and not temporary.exists()
        temporary.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert names(target.parent) == [target.name]


def test_failed_file_leaves_the_old_one(tmp_path):
    target = tmp_path / "vae.keras"
    target.write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing_file(target) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert target.read_text() == "old"
    assert names(tmp_path) == ["vae.keras"]


def test_file_through_a_link_writes_what_the_link_names(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "3.keras").write_text("old")
    (tmp_path / "latest.keras").symlink_to(tmp_path / "run" / "3.keras")
    with replacing_file(tmp_path / "latest.keras") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "latest.keras").is_symlink()
    assert (tmp_path / "run" / "3.keras").read_text() == "new"


def test_directory_appears_only_when_complete(tmp_path):
    target = tmp_path / "serving" / "vae" / "1"
    with replacing_directory(target) as temporary:
        assert list(temporary.iterdir()) == []
        (temporary / "weights").write_text("new")
        assert not target.exists()
    assert (target / "weights").read_text() == "new"
    assert names(target.parent) == ["1"]


def test_failed_directory_leaves_nothing_not_even_the_parents_it_made(tmp_path):
    with pytest.raises(RuntimeError), replacing_directory(tmp_path / "serving" / "vae" / "1"):
        raise RuntimeError
    assert names(tmp_path) == []


def test_failed_overwrite_leaves_the_old_directory(tmp_path):
    write_folder(tmp_path / "1", "old")
    with pytest.raises(RuntimeError), replacing_directory(tmp_path / "1", overwrite=True) as temporary:
        (temporary / "weights").write_text("half")
        raise RuntimeError
    assert (tmp_path / "1" / "weights").read_text() == "old"
    assert names(tmp_path) == ["1"]


def test_old_directory_comes_back_when_the_new_one_cannot_take_its_name(tmp_path):
    write_folder(tmp_path / "1", "old")
    with pytest.raises(FileNotFoundError), replacing_directory(tmp_path / "1", overwrite=True) as temporary:
        temporary.rmdir()
    assert (tmp_path / "1" / "weights").read_text() == "old"
    assert names(tmp_path) == ["1"]


def test_existing_directory_is_replaced_only_on_request(tmp_path):
    write_folder(tmp_path / "1", "old")
    (tmp_path / "1" / "only in the old one").touch()
    with pytest.raises(ValueError, match="overwrite=True"), replacing_directory(tmp_path / "1"):
        pytest.fail("The body must not run.")
    assert (tmp_path / "1" / "weights").read_text() == "old"
    write_folder(tmp_path / "1", "new", overwrite=True)
    assert (tmp_path / "1" / "weights").read_text() == "new"
    assert names(tmp_path / "1") == ["weights"] and names(tmp_path) == ["1"]


@pytest.mark.parametrize("writer", [replacing_file, replacing_directory])
@pytest.mark.parametrize("below", ["file/1", "file/serving/1", "/proc/keras_genmod/1", "s3://bucket/1"])
def test_unwritable_places_are_refused_before_the_work(writer, below, tmp_path):
    (tmp_path / "file").touch()
    target = below if "://" in below else tmp_path / below
    with pytest.raises(ValueError, match="received .*1'"), writer(target):
        pytest.fail("The body must not run.")
    assert names(tmp_path) == ["file"]


def test_file_and_folder_do_not_replace_each_other(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="must be a folder"), replacing_directory(tmp_path / "file", True):
        pytest.fail("The body must not run.")
    with pytest.raises(ValueError, match="must be a file"), replacing_file(tmp_path):
        pytest.fail("The body must not run.")


def test_killed_file_writer_leaves_the_old_file_and_the_next_write_clears_up(tmp_path):
    target = tmp_path / "vae.keras"
    target.write_text("old")
    kill_in_the_middle(KILLED_FILE, target)
    assert target.read_text() == "old"
    assert len(names(tmp_path)) == 2
    with replacing_file(target) as temporary:
        temporary.write_text("new")
    assert target.read_text() == "new"
    assert names(tmp_path) == ["vae.keras"]


@pytest.mark.parametrize("existed", [False, True])
def test_killed_directory_writer_leaves_nothing_or_the_old_one(existed, tmp_path):
    target = tmp_path / "1"
    if existed:
        write_folder(target, "old")
    kill_in_the_middle(KILLED_FOLDER, target)
    assert target.exists() == existed
    if existed:
        assert (target / "weights").read_text() == "old"
    assert len(names(tmp_path)) == 1 + existed
    write_folder(target, "new", overwrite=True)
    assert (target / "weights").read_text() == "new"
    assert names(tmp_path) == ["1"]


def test_writer_killed_between_its_two_renames_loses_nothing(tmp_path):
    target = tmp_path / "1"
    write_folder(target, "old")
    kill_in_the_middle(KILLED_BETWEEN_RENAMES, target)
    assert not target.exists()
    with pytest.raises(RuntimeError), replacing_directory(target, overwrite=True):
        assert (target / "weights").read_text() == "old"
        raise RuntimeError
    assert (target / "weights").read_text() == "old"
    assert names(tmp_path) == ["1"]


def test_leftovers_of_dead_writers_of_any_target_are_cleared_and_no_others(tmp_path):
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    here, elsewhere = hidden_names.this_machine(), "0000abcd"
    others = [
        f".tmp-{here}-{os.getppid()}-0.vae.keras",  # its writer lives
        f".tmp-{elsewhere}-{ended.pid}-0.vae.keras",  # its writer may live on another machine
        f".tmp-{here}-0.vae.keras",
        "tmp-1-0.vae.keras",
    ]
    dead = [
        f".tmp-{here}-{ended.pid}-0.vae.keras",
        f".tmp-{here}-{ended.pid}-0.gan.keras",  # another target
        f".tmp-{here}-{os.getpid()}-999999.vae.keras",  # number reused
        f".tmp-{elsewhere}-{os.getppid()}-0.gan.keras",  # nothing changed for two days
    ]
    for name in (*others, *dead):
        (tmp_path / name).touch()
    two_days_ago = time.time() - 2 * 24 * 60 * 60
    os.utime(tmp_path / dead[-1], (two_days_ago, two_days_ago))
    with replacing_file(tmp_path / "vae.keras") as temporary:
        temporary.touch()
    assert names(tmp_path) == sorted([*others, "vae.keras"])


def test_killed_writers_of_ever_new_targets_leave_nothing_for_ever(tmp_path):
    """As exports do, each of which goes to a new version."""
    write_folder(tmp_path / "1", "first")
    for version in (2, 3, 4):
        kill_in_the_middle(KILLED_FOLDER, tmp_path / str(version))
        assert len(names(tmp_path)) == 2, "the first version and what this writer left"
    write_folder(tmp_path / "5", "last")
    assert names(tmp_path) == ["1", "5"]


def test_a_writer_elsewhere_that_wrote_a_moment_ago_lives(tmp_path):
    """A folder does not change when a file below it grows."""
    folder = tmp_path / ".tmp-0000abcd-1-0.7"
    (folder / "variables").mkdir(parents=True)
    (folder / "variables" / "data").touch()
    two_days_ago = time.time() - 2 * 24 * 60 * 60
    for path in (folder / "variables", folder):
        os.utime(path, (two_days_ago, two_days_ago))
    write_folder(tmp_path / "8", "new")
    assert (folder / "variables" / "data").exists()


def test_a_folder_that_a_dead_writer_put_aside_comes_back_whoever_writes_next(tmp_path):
    write_folder(tmp_path / "1", "old")
    kill_in_the_middle(KILLED_BETWEEN_RENAMES, tmp_path / "1")
    write_folder(tmp_path / "2", "other")
    assert (tmp_path / "1" / "weights").read_text() == "old"
    assert names(tmp_path) == ["1", "2"]


def test_a_device_keeps_its_place(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="device or pipe"), replacing_file(tmp_path / "pipe"):
        pytest.fail("The body must not run.")
    assert (tmp_path / "pipe").is_fifo()


def test_two_writers_of_one_process_do_not_clear_each_other(tmp_path):
    target = tmp_path / "vae.keras"
    with replacing_file(target) as first:
        first.write_text("first")
        with replacing_file(target) as second:
            second.write_text("second")
        assert target.read_text() == "second"
        assert Path(first).exists()
    assert target.read_text() == "first"
