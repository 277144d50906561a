"""Conditions: one for all or one per row, and errors for what a model cannot be conditioned on."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.core.conditions import ConditionSpec

CLASSES = ConditionSpec.of(10, None)
ARRAYS = ConditionSpec.of(None, (2, 3))
NONE = ConditionSpec.of(None, None)


def test_both_kinds_are_refused():
    with pytest.raises(ValueError, match=r"exclude each other; received num_classes=10 .*\(3,\).*one-hot"):
        ConditionSpec.of(10, (3,))


@pytest.mark.parametrize("num_classes", [1, 0, 2.0, True, "10"])
def test_number_of_classes_is_an_integer_of_two_or_more(num_classes):
    with pytest.raises(ValueError, match="`num_classes` must be an integer of at least 2"):
        ConditionSpec.of(num_classes, None)


def test_shape_of_a_condition_is_a_shape():
    with pytest.raises(ValueError, match="`condition_shape` must be a tuple of positive integers"):
        ConditionSpec.of(None, 3)


def test_truth_and_description():
    assert CLASSES and ARRAYS and not NONE
    assert str(CLASSES) == "integers [batch] from 0 to 9 or one-hot vectors [batch, 10]"
    assert str(ARRAYS) == "floats [batch, 2, 3]"
    assert str(ConditionSpec.of(None, ())) == "floats [batch]"


def test_signature_and_input_fit_each_other():
    for spec, shape, dtype in ((CLASSES, (None,), "int32"), (ARRAYS, (None, 2, 3), "float32")):
        (space,) = spec.spaces()
        entry, symbolic = space.spec(), space.keras_input()
        assert tuple(entry.shape) == tuple(symbolic.shape) == shape
        assert entry.dtype.name == keras.backend.standardize_dtype(symbolic.dtype) == dtype
        assert entry.name == symbolic.name == "condition"
    assert NONE.spaces() == ()


def test_examples_are_conditions_that_the_model_takes():
    for spec in (CLASSES, ARRAYS, ConditionSpec.of(2, None), ConditionSpec.of(None, (), tf.float64)):
        (space,) = spec.spaces()
        example = space.example(7)
        np.testing.assert_array_equal(spec.rows(example, 7), example, strict=True)


@pytest.mark.parametrize("value", [3, np.int64(3), np.array(3), tf.constant(3), 3.0])
def test_one_class_serves_all_rows(value):
    rows = CLASSES.rows(value, 4)
    assert rows.dtype == tf.int32
    np.testing.assert_array_equal(rows, [3, 3, 3, 3])


@pytest.mark.parametrize(
    "value", [[1, 9, 0], np.array([1, 9, 0], np.uint8), np.array([1.0, 9.0, 0.0]), tf.constant([1, 9, 0])]
)
def test_one_class_per_row_is_kept(value):
    rows = CLASSES.rows(value, 3)
    assert rows.dtype == tf.int32
    np.testing.assert_array_equal(rows, [1, 9, 0])


def test_one_array_serves_all_rows_and_one_per_row_is_kept():
    one = np.arange(6.0).reshape(2, 3)
    rows = ARRAYS.rows(one, 4)
    assert rows.dtype == tf.float32
    np.testing.assert_array_equal(rows, np.stack([one] * 4))
    each = np.arange(12.0).reshape(2, 2, 3)
    np.testing.assert_array_equal(ARRAYS.rows(each, 2), each)


def test_one_row_for_many_is_no_single_condition():
    """Its rank decides: a batch of one does not stand for four."""
    with pytest.raises(ValueError, match=r"one row per example, 4, or be a single .*received shape \(1,\)"):
        CLASSES.rows([3], 4)
    with pytest.raises(ValueError, match=r"one row per example, 4.*received shape \(3, 2, 3\)"):
        ARRAYS.rows(np.zeros((3, 2, 3)), 4)


def test_unconditional_model_takes_none_and_only_none():
    assert NONE.rows(None, 4) is None
    with pytest.raises(ValueError, match="unconditional; received a `condition`.*Leave it out, or build"):
        NONE.rows(3, 4)


@pytest.mark.parametrize("spec", [CLASSES, ARRAYS])
def test_conditional_model_needs_one(spec):
    with pytest.raises(ValueError, match=r"needs a `condition`, .*received none.*`fit\(x, condition\)`"):
        spec.rows(None, 4)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (10, r"integers in \[0, 9\]; received values from 10 to 10. Raise `num_classes`, or relabel"),
        (-1, "received values from -1"),
        ([0, 1, 10, 2], "from 0 to 10"),
        ([0, 1, 1.5, 2], "received fractions"),
        ([0, 1, np.nan, 2], "finite"),
        (np.zeros((4, 2, 1)), r"must have shape \[batch\]; received \(4, 2, 1\)"),
    ],
)
def test_what_is_no_class_is_refused(value, words):
    with pytest.raises(ValueError, match=words):
        CLASSES.rows(value, 4)


def test_what_is_no_such_array_is_refused():
    with pytest.raises(ValueError, match=r"must have shape \[batch, 2, 3\]; received \(3, 2\)"):
        ARRAYS.rows(np.zeros((3, 2)), 4)
    with pytest.raises(ValueError, match=r"must have shape \[batch, 2, 3\]; received \(4, 6\). Reshape"):
        ARRAYS.rows(np.zeros((4, 6)), 4)
    with pytest.raises(ValueError, match="1 NaN"):
        ARRAYS.rows(np.array([[0, 1, 2], [3, 4, np.nan]]), 4)
    with pytest.raises(TypeError, match="must hold numbers"):
        ARRAYS.rows(np.full((2, 3), "a"), 4)


@pytest.mark.parametrize(("spec", "one"), [(CLASSES, np.array(3)), (ARRAYS, np.arange(6.0).reshape(2, 3))])
def test_symbolic_conditions_follow_the_same_rule(spec, one):
    @tf.function
    def rows(condition, x):
        return spec.rows(condition, tf.shape(x)[0])

    expected = np.stack([one] * 4)
    given = tf.constant(one, spec.dtype)
    np.testing.assert_array_equal(rows(given, tf.zeros([4, 1])), expected)
    np.testing.assert_array_equal(rows(tf.stack([given] * 4), tf.zeros([4, 1])), expected)
    # Rows may also be unknown until the graph runs.
    concrete = rows.get_concrete_function(spec.spaces()[0].spec(), tf.TensorSpec([None, 1]))
    np.testing.assert_array_equal(concrete(tf.stack([given] * 4), tf.zeros([4, 1])), expected)


@pytest.mark.parametrize("shape", [(None, 4), (5, 2), (None, 2, 4)])
def test_symbolic_conditions_of_another_shape_are_refused_when_the_graph_is_made(shape):
    with pytest.raises(ValueError, match=r"must have shape \[batch, 2, 3\]"):
        tf.function(lambda c: ARRAYS.rows(c, 5)).get_concrete_function(tf.TensorSpec(shape))


LABELS = np.array([3, 0, 9, 3])


@pytest.mark.parametrize(
    "value",
    [
        np.eye(10, dtype="float32")[LABELS],
        np.eye(10, dtype=int)[LABELS],
        np.eye(10, dtype=bool)[LABELS],
        tf.one_hot(LABELS, 10),
        np.eye(10)[LABELS].tolist(),
        LABELS[:, None],
        LABELS[:, None].astype("float32"),
    ],
    ids=["floats", "integers", "booleans", "tensor", "list", "column", "column of floats"],
)
def test_one_hot_vectors_and_columns_are_classes(value):
    CLASSES.check_values(value)
    rows = CLASSES.rows(value, 4)
    assert rows.dtype == tf.int32
    np.testing.assert_array_equal(rows, LABELS)
    np.testing.assert_array_equal(CLASSES.standardize(np.asarray(value)), LABELS)


@pytest.mark.parametrize("width", [10, 1, None])
def test_graphs_take_them_too_where_the_width_is_known_late(width):
    graph = tf.function(CLASSES.standardize).get_concrete_function(tf.TensorSpec([None, width]))
    if width != 1:
        np.testing.assert_array_equal(graph(tf.one_hot(LABELS, 10)), LABELS)
    if width != 10:
        np.testing.assert_array_equal(graph(tf.constant(LABELS[:, None], tf.float32)), LABELS)


def test_one_graph_takes_numbers_and_vectors():
    graph = tf.function(lambda c: CLASSES.rows(CLASSES.standardize(c), 4))
    graph = graph.get_concrete_function(tf.TensorSpec(None))
    for value in (LABELS, LABELS[:, None], np.eye(10)[LABELS]):
        np.testing.assert_array_equal(graph(tf.constant(value, tf.float32)), LABELS)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (
            np.full((2, 10), 0.1),
            r"one-hot rows.*0\.1.*in row 0 \(2 such rows\).*argmax.*condition_shape=\(10,\)",
        ),
        (np.eye(10)[:2] + np.eye(10)[1:3], r"one-hot rows.*1\., 1\..*in row 0"),
        (np.zeros((2, 10)), r"one-hot rows.*in row 0"),
        (np.array([[11], [3]]), r"\[0, 9\]; received values from 3 to 11"),
        (np.eye(12)[:4], r"one-hot vectors of 12 classes, shape \(4, 12\).*`num_classes=12`"),
        (np.zeros((2, 5)), r"must have shape \[batch\]; received \(2, 5\)"),
    ],
)
def test_rows_that_are_not_one_hot_are_refused(value, words):
    for check in (CLASSES.check_values, lambda c: CLASSES.rows(c, 2)):
        with pytest.raises(ValueError, match=words):
            check(value)


def test_one_one_hot_vector_does_not_pass_for_class_numbers():
    three = ConditionSpec.of(3, None)
    vector = np.array([0.0, 1.0, 0.0])
    for num_rows in (3, 5):
        with pytest.raises(ValueError, match=r"one one-hot vector.*`condition=1`"):
            three.rows(vector, num_rows)
    np.testing.assert_array_equal(three.rows(vector.astype(int), 3), [0, 1, 0])
    np.testing.assert_array_equal(three.rows(np.array([0.0, 1.0, 1.0]), 3), [0, 1, 1])


def test_a_keras_tensor_is_refused_with_the_way_out():
    with pytest.raises(TypeError, match=r"KerasTensor.*`model\(x, condition=condition\)`"):
        CLASSES.rows(keras.Input((), dtype="int32"), 4)
