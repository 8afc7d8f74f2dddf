"""Models of every kind, written as their authors would, for services to be tried on.

Each function writes one version folder. TensorFlow is imported by the functions alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NUMERIC_TYPES = (
    "float16", "float32", "float64", "int8", "int16", "int32", "int64",
    "uint8", "uint16", "uint32", "uint64", "bool",
)  # fmt: skip


def tensorflow() -> Any:
    """TensorFlow, its notes kept to itself."""
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")
    return tf


def half_plus_two_tf1(folder: Path) -> None:
    """TensorFlow Serving's own example in TF1's form: a graph, a session and a builder.

    References:
        tensorflow_serving/servables/tensorflow/testdata/saved_model_half_plus_two.py.
    """
    tf = tensorflow()
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        a, b, c = (
            v1.get_variable(name, initializer=value, use_resource=False)
            for name, value in (("a", 0.5), ("b", 2.0), ("c", 3.0))
        )
        serialised = v1.placeholder(tf.string, name="tf_example")
        features = {
            name: tf.io.FixedLenFeature([1], tf.float32, default_value=[0.0])
            for name in ("x", "x2")
        }
        example = v1.io.parse_example(serialised, features)
        x, x2 = tf.identity(example["x"], name="x"), example["x2"]
        y = tf.add(tf.multiply(a, x), b, name="y")
        y2 = tf.add(tf.multiply(a, x), c, name="y2")
        y3 = tf.add(tf.multiply(a, x2), c, name="y3")
        session.run(v1.global_variables_initializer())
        _build_half_plus_two(tf, session, folder, (serialised, x, y, y2, y3))


def _build_half_plus_two(tf: Any, session: Any, folder: Path, tensors: tuple[Any, ...]) -> None:
    info = tf.compat.v1.saved_model.build_tensor_info
    make = tf.compat.v1.saved_model.build_signature_def
    serialised, x, y, y2, y3 = (info(it) for it in tensors)

    def regress(out: Any) -> Any:
        return make({"inputs": serialised}, {"outputs": out}, "tensorflow/serving/regress")

    def classify(out: Any) -> Any:
        return make({"inputs": serialised}, {"scores": out}, "tensorflow/serving/classify")

    builder = tf.compat.v1.saved_model.Builder(str(folder))
    builder.add_meta_graph_and_variables(
        session,
        ["serve"],
        {
            "regress_x_to_y": regress(y),
            "regress_x_to_y2": regress(y2),
            "regress_x2_to_y3": regress(y3),
            "classify_x_to_y": classify(y),
            "classify_x2_to_y3": classify(y3),
            "serving_default": make({"x": x}, {"y": y}, "tensorflow/serving/predict"),
        },
    )
    builder.save()


def half_plus_two_tf2(folder: Path) -> None:
    """The same in TF2's form: a module with functions."""
    tf = tensorflow()
    module = tf.Module()
    module.a, module.b = tf.Variable(0.5), tf.Variable(2.0)

    @tf.function(input_signature=[tf.TensorSpec([None, 1], tf.float32, name="x")])
    def predict(x: Any) -> Any:
        return {"y": module.a * x + module.b}

    def from_examples(serialised: Any) -> Any:
        one = tf.io.FixedLenFeature([1], tf.float32)
        return predict(tf.io.parse_example(serialised, {"x": one})["x"])["y"]

    texts = [tf.TensorSpec([None], tf.string, name="inputs")]
    module.regress = tf.function(lambda inputs: {"outputs": from_examples(inputs)}, texts)
    module.classify = tf.function(
        lambda inputs: {
            "scores": from_examples(inputs),
            "classes": tf.fill(tf.stack([tf.size(inputs), 1]), "half"),
        },
        texts,
    )
    _save(
        folder,
        module,
        {
            "serving_default": predict,
            "regress_x_to_y": module.regress,
            "classify_x_to_y": module.classify,
        },
    )


def plain_half_plus_two(folder: Path) -> None:
    """Half plus two alone: a graph that works number by number."""
    tf = tensorflow()
    _save_function(folder, lambda x: {"y": 0.5 * x + 2.0}, [tf.TensorSpec([None, 1], name="x")])


def scaled(folder: Path) -> None:
    """``y`` is ``x`` times ``scale``, and ``scale`` is 3 by default."""
    tf = tensorflow()
    module = tf.Module()
    three = tf.constant(3.0)
    module.f = tf.function(
        lambda x, scale=three: {"y": x * scale},
        [tf.TensorSpec([None], name="x"), tf.TensorSpec([], name="scale")],
    )
    _save(folder, module, {"serving_default": module.f})


def several(folder: Path) -> None:
    """Several signatures, named in several ways, with several inputs and outputs."""
    tf = tensorflow()
    pair = [tf.TensorSpec([None, 2], name="a"), tf.TensorSpec([None], tf.int32, name="b")]
    module = tf.Module()
    module.v = tf.Variable([[1.0, 2.0], [3.0, 4.0]])
    module.both = tf.function(
        lambda a, b: {"product": a @ module.v, "count": b + tf.shape(a)[0]}, pair
    )
    module.twice = tf.function(lambda x: {"out": 2.0 * x}, [tf.TensorSpec([None], name="x")])
    module.none = tf.function(lambda: {"v": module.v}, [])
    _save(
        folder, module, {"both": module.both, "Twice/it.": module.twice, "variables": module.none}
    )


def texts(folder: Path) -> None:
    """Strings in and out, with characters beyond ASCII, and bytes that are no text."""
    tf = tensorflow()
    _save_function(
        folder,
        lambda text: {
            "upper": tf.strings.upper(text, encoding="utf-8"),
            "raw_bytes": tf.strings.join([text, tf.constant(b"\xff\x00")]),
            "length": tf.strings.length(text),
        },
        [tf.TensorSpec([None], tf.string, name="text")],
    )


def counter(folder: Path) -> None:
    """A count that every call adds to."""
    tf = tensorflow()
    module = tf.Module()
    module.count = tf.Variable(0.0)
    module.add = tf.function(
        lambda step: {"count": tf.reshape(module.count.assign_add(tf.reduce_sum(step)), [1])},
        [tf.TensorSpec([None], name="step")],
    )
    _save(folder, module, {"serving_default": module.add})


def dice(folder: Path) -> None:
    """Random numbers."""
    tf = tensorflow()
    _save_function(
        folder,
        lambda x: {"y": x + tf.random.uniform(tf.shape(x))},
        [tf.TensorSpec([None, 3], name="x")],
    )


def vocabulary(folder: Path, words: Path) -> None:
    """A table that is filled from an asset when the model is loaded."""
    tf = tensorflow()
    words.write_text("house\ngarden\nriver\n")
    module = tf.Module()
    module.asset = tf.saved_model.Asset(str(words))
    whole, number = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
    module.table = tf.lookup.StaticHashTable(
        tf.lookup.TextFileInitializer(module.asset, tf.string, whole, tf.int64, number), -1
    )
    module.find = tf.function(
        lambda word: {"place": module.table.lookup(word)},
        [tf.TensorSpec([None], tf.string, name="word")],
    )
    _save(folder, module, {"serving_default": module.find})


def types(folder: Path) -> None:
    """A signature a type, each turning its rows round; and two types that no wire here has."""
    tf = tensorflow()
    module = tf.Module()
    functions = {}
    for name in (*NUMERIC_TYPES, "bfloat16", "complex64"):
        functions[name] = tf.function(
            lambda x: {"y": tf.gather(x, tf.range(tf.shape(x)[0])[::-1])},
            [tf.TensorSpec([None, 2], tf.dtypes.as_dtype(name), name="x")],
        )
    module.functions = list(functions.values())
    _save(folder, module, functions)


def shapes(folder: Path) -> None:
    """Tensors of any rank, and of none."""
    tf = tensorflow()
    module = tf.Module()
    module.free = tf.function(lambda x: {"y": x + 1.0}, [tf.TensorSpec(None, name="x")])
    module.scalar = tf.function(lambda x: {"y": x * x}, [tf.TensorSpec([], name="x")])
    module.total = tf.function(
        lambda x: {"y": tf.reduce_sum(x)}, [tf.TensorSpec([None, None], name="x")]
    )
    _save(
        folder,
        module,
        {"serving_default": module.free, "scalar": module.scalar, "total": module.total},
    )


def embedding(folder: Path) -> None:
    """The sum of two places in a list of three; others are out of range."""
    tf = tensorflow()
    _save_function(
        folder,
        lambda place: {
            "value": tf.reduce_sum(tf.gather(tf.constant([10.0, 20.0, 30.0]), place), axis=1)
        },
        [tf.TensorSpec([None, 2], tf.int32, name="place")],
    )


def network(folder: Path, inputs: int = 13) -> None:
    """A small Keras network with its normalisation, exported as Keras exports it."""
    import keras

    tensorflow()
    keras.utils.set_random_seed(7)
    normalisation = keras.layers.Normalization()
    normalisation.adapt(np.random.default_rng(7).normal(10.0, 5.0, (100, inputs)))
    model = keras.Sequential(
        [
            keras.Input((inputs,), name="keras_tensor"),
            normalisation,
            keras.layers.Dense(64, "relu"),
            keras.layers.Dense(64, "relu"),
            keras.layers.Dense(1),
        ]
    )
    model.export(str(folder), verbose=False)


def tagged(folder: Path, *tags: str) -> None:
    """A TF1 graph under other tags than usual, that doubles."""
    tf = tensorflow()
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None], name="x")
        y = tf.multiply(x, 2.0, name="y")
        signature = v1.saved_model.predict_signature_def({"x": x}, {"y": y})
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, list(tags), {"serving_default": signature})
        builder.save()


def litert(saved_model: Path, output: Path, *signatures: str) -> None:
    """Convert a SavedModel."""
    tf = tensorflow()
    output.parent.mkdir(parents=True, exist_ok=True)
    converter = tf.lite.TFLiteConverter.from_saved_model(
        str(saved_model), signature_keys=list(signatures)
    )
    output.write_bytes(converter.convert())


def unsigned_litert(output: Path) -> None:
    """A LiteRT file without signatures: ``total`` is the weighted sum 1 a + 10 b of ``rows``."""
    tf = tensorflow()
    v1 = tf.compat.v1
    output.parent.mkdir(parents=True, exist_ok=True)
    with tf.Graph().as_default(), v1.Session() as session:
        rows = v1.placeholder(tf.float32, [None, 2], name="rows")
        total = tf.linalg.matvec(rows, tf.constant([1.0, 10.0]), name="total")
        converter = v1.lite.TFLiteConverter.from_session(session, [rows], [total])
        output.write_bytes(converter.convert())


def endless_litert(output: Path) -> None:
    """A LiteRT network that never comes to an end."""

    def forever(x: Any) -> Any:
        tf = tensorflow()
        return {"y": tf.while_loop(lambda _: True, lambda it: [it * 0.5], [x])[0]}

    _litert_function(output, forever)


def greedy_litert(output: Path) -> None:
    """A LiteRT network that takes 64 MiB for each row."""
    tf = tensorflow()

    def fill(x: Any) -> Any:
        return {"y": tf.fill(tf.stack([tf.shape(x)[0], 2**24]), 1.0)}

    _litert_function(output, fill)


def crashing_litert(output: Path) -> None:
    """A LiteRT network that ends whoever runs it: a loop whose body is the loop itself."""
    from ai_edge_litert import schema_py_generated as schema
    from tensorflow.lite.tools import flatbuffer_utils

    endless_litert(output)
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(output.read_bytes()))
    loops = [
        operator.builtinOptions
        for operator in model.subgraphs[0].operators
        if operator.builtinOptionsType == schema.BuiltinOptions.WhileOptions
    ]
    for loop in loops:
        loop.bodySubgraphIndex = 0
    output.write_bytes(bytes(flatbuffer_utils.convert_object_to_bytearray(model)))


def example(**features: float) -> Any:
    """A ``tf.Example`` with one float a feature."""
    from service.messages import example_pb2

    message = example_pb2.Example()
    for name, value in features.items():
        message.features.feature[name].float_list.value.append(value)
    return message


def write_warm_up(folder: Path, logs: list[Any]) -> Path:
    """Write a warm-up file with TensorFlow's own writer."""
    tf = tensorflow()
    path = folder / "assets.extra/tf_serving_warmup_requests"
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for log in logs:
            writer.write(log.SerializeToString())
    return path


def answers(
    folder: Path, signature: str, **inputs: Any
) -> dict[str, np.ndarray[Any, np.dtype[Any]]]:
    """What TensorFlow itself computes."""
    tf = tensorflow()
    function = tf.saved_model.load(str(folder)).signatures[signature]
    return {name: it.numpy() for name, it in function(**inputs).items()}


def _save_function(folder: Path, function: Any, signature: list[Any]) -> None:
    tf = tensorflow()
    module = tf.Module()
    module.f = tf.function(function, signature)
    _save(folder, module, {"serving_default": module.f})


def _save(folder: Path, module: Any, signatures: Mapping[str, Any]) -> None:
    tensorflow().saved_model.save(module, str(folder), signatures=dict(signatures))


def _litert_function(output: Path, function: Any) -> None:
    tf = tensorflow()
    module = tf.Module()
    module.f = tf.function(function, [tf.TensorSpec([None], name="x")])
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [module.f.get_concrete_function()], module
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_bytes(converter.convert())


def laborious(folder: Path, size: int = 512) -> None:
    """A model whose every call multiplies large matrices: some milliseconds on a CPU."""
    tf = tensorflow()

    def labour(x: Any) -> dict[str, Any]:
        matrix = tf.fill([size, size], x[0] / size)
        for _ in range(3):
            matrix = tf.matmul(matrix, matrix)
        return {"y": x + 0.0 * matrix[0, 0]}

    _save_function(folder, labour, [tf.TensorSpec([None], tf.float32, "x")])
