"""What all tests share: two devices in one process, fixed seeds, nothing left over.

Two logical CPU devices let `MirroredStrategy` be tested in the test's own process. TensorFlow
takes such settings only before its first operation, hence `pytest_configure`.
"""

import gc
import os
import random
import subprocess
import sys

import pytest
from _pytest.doctest import DoctestItem

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")

# Its promises are assertions; this tells what was compared.
pytest.register_assert_rewrite("keras_genmod.testing")

# The folder with the real data sets, for the longer tests that read them.
DATA_FOLDER = os.environ.get("KERAS_GENMOD_DATA")


def pytest_configure(config):
    """Sets TensorFlow up, in the processes that run tests."""
    if config.getoption("dist", "no") != "no":
        return  # pytest-xdist's controller runs no test, and starts sooner without TensorFlow.
    config.pluginmanager.register(EagerExamples())
    import tensorflow as tf

    GLOBAL_DRAWS.watch()

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    if "PYTEST_XDIST_WORKER" in os.environ and "TF_NUM_INTRAOP_THREADS" not in os.environ:
        # The workers share the cores already. Threads between operations stay: replicas that
        # wait for each other need them.
        tf.config.threading.set_intra_op_parallelism_threads(1)


class GlobalDraws:
    """Lets TensorFlow keep its prepared functions when a global seed is set that no operation has drawn from.

    To set the seed, TensorFlow forgets all that it has prepared for running, since random operations among it
    are at some place of their sequence. All functions are then prepared anew, test after test, although the
    package draws from seeds of its own.
    """

    def __init__(self):
        self._drawn = True
        self._traced = False

    def watch(self):
        """Takes the place of TensorFlow's functions, which all users call by their modules' names."""
        from tensorflow.python.eager import context
        from tensorflow.python.framework import random_seed

        self._context = context
        self._get, random_seed.get_seed = random_seed.get_seed, self._get_seed
        self._set, context.set_global_seed = context.set_global_seed, self._set_global_seed

    def forget(self):
        """Lets go of what is prepared when a seed is set next."""
        self._drawn, self._traced = True, False

    def _get_seed(self, op_seed):
        """The seeds of an operation, which is about to be made."""
        self._drawn = True
        # An operation within a function draws whenever that is called.
        self._traced |= not self._context.executing_eagerly()
        return self._get(op_seed)

    def _set_global_seed(self, seed):
        if self._drawn:
            self._set(seed)
            self._drawn = self._traced
        else:
            state = self._context.context()
            state._seed, state._rng = seed, random.Random(seed)


GLOBAL_DRAWS = GlobalDraws()


class EagerExamples:
    """Runs the examples of docstrings without graphs, whose tracing takes longer than their few steps."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item):
        """A plugin's hook, since a conftest's hooks are for the tests below its folder."""
        if not isinstance(item, DoctestItem):
            return (yield)
        import tensorflow as tf

        tf.config.run_functions_eagerly(True)
        try:
            return (yield)
        finally:
            tf.config.run_functions_eagerly(False)


def pytest_report_header():
    return f"KERAS_GENMOD_DATA: {DATA_FOLDER or 'not set; tests on real data are left out'}"


def pytest_ignore_collect(collection_path):
    """Keeps the doctest collector from importing the scripts that tests start by themselves."""
    is_helper = collection_path.suffix == ".py" and not collection_path.name.startswith("test_")
    return True if is_helper else None


def pytest_collection_modifyitems(config, items):
    """Leaves out the tests on real data where there is none."""
    if DATA_FOLDER:
        return
    lacking = [item for item in items if "data_folder" in getattr(item, "fixturenames", ())]
    if lacking:
        config.hook.pytest_deselected(items=lacking)
        items[:] = [item for item in items if item not in lacking]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
    """Seeds before any fixture is made, so that shared fixtures do not depend on test order."""
    import keras

    keras.utils.set_random_seed(0)


@pytest.fixture(scope="session", autouse=True)
def _no_data_folder():
    """The default tests are the same with and without real data on the machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("KERAS_GENMOD_DATA", raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def _half_precision():
    """Skips what computes in half precision where TensorFlow ends the process on its first product.

    It asks the processor whether oneDNN has such kernels, and not oneDNN, which may have been told by
    `ONEDNN_MAX_CPU_ISA` to leave out the processor's newer instructions. Whether it does is tried.
    """
    if "ONEDNN_MAX_CPU_ISA" not in os.environ or _half_precision_works():
        yield
        return
    import keras

    create = keras.dtype_policies.DTypePolicy.__init__

    def create_or_skip(self, name=None, *args, **kwargs):
        create(self, name, *args, **kwargs)
        if self.compute_dtype in ("float16", "bfloat16"):
            pytest.skip("TensorFlow has no kernels of half precision under this ONEDNN_MAX_CPU_ISA")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.dtype_policies.DTypePolicy, "__init__", create_or_skip)
        yield


def _half_precision_works():
    """Whether a process of its own survives a product and its sum with a bias."""
    script = (
        "import tensorflow as tf\n"
        "layer = tf.function(lambda x, w, b: tf.nn.relu(tf.matmul(x, w) + b))\n"
        "for dtype in (tf.bfloat16, tf.float16):\n"
        "    layer(tf.ones([8, 16], dtype), tf.ones([16, 4], dtype), tf.ones([4], dtype))\n"
    )
    return subprocess.run([sys.executable, "-c", script], capture_output=True).returncode == 0


@pytest.fixture(scope="module", autouse=True)
def _free_memory():
    """Forgets a file's models and compiled functions before the next file runs."""
    yield
    import keras

    keras.backend.clear_session()
    GLOBAL_DRAWS.forget()
    gc.collect()
    # What TensorFlow keeps for good, some megabytes for each `fit`, is not to be walked through ever again.
    gc.freeze()


@pytest.fixture(autouse=True)
def _fresh_state():
    """Gives each test the same random numbers and Keras' default precision."""
    import keras

    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy("float32")
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture
def float64(_fresh_state):
    """Double precision, for identities between two computations of one thing.

    They differ by roundings, whose size depends on the processor's instructions, the libraries' kernels and
    the number of threads. Rounded to 2**-53, terms of size 1 that are added a hundred thousand times in
    another order, or go through a map of condition 1e5, still agree to 1e-11.
    """
    import keras

    keras.config.set_dtype_policy("float64")


@pytest.fixture
def data_folder(monkeypatch):
    """The folder with the real data sets, set for `keras_genmod.data.load`.

    Tests that ask for it are left out of the run when `KERAS_GENMOD_DATA` is not set.
    """
    monkeypatch.setenv("KERAS_GENMOD_DATA", DATA_FOLDER)
    return DATA_FOLDER


@pytest.fixture(scope="session")
def strategy():
    """Two replicas, on the two logical CPU devices of this process."""
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
