"""A stand-in for the model server, as strict as the real one about what clients send.

It answers requests in the formats of TensorFlow Serving's REST and gRPC interfaces by running the
SavedModel in this process. It knows one version of each model, which has the label "stable".
"""

import contextlib
import http.server
import json
import re
import threading

import numpy as np
import tensorflow as tf

PREDICT_PATH = re.compile(r"/v1/models/([^/:]+)(?:(?:/versions/(\d+))|(?:/labels/([^/:]+)))?:predict")


class Refused(Exception):
    """A request that the server does not answer."""

    def __init__(self, message, status=400):
        super().__init__(message)
        self.status = status


class Models:
    """What both interfaces ask: model name -> folder of one version."""

    def __init__(self, folders):
        self.loaded = {name: tf.saved_model.load(folder) for name, folder in folders.items()}
        self.versions = {name: folder.name for name, folder in folders.items()}

    def signature(self, model, name, version="", label=""):
        known = model in self.loaded and version in ("", self.versions[model]) and label in ("", "stable")
        if not known:
            raise Refused(f"Servable not found for request: {model} {version}{label}", 404)
        signatures = self.loaded[model].signatures
        if (name or "serving_default") not in signatures:
            raise Refused(f'Serving signature name: "{name}" not found in signature def')
        return signatures[name or "serving_default"]


def run(signature, inputs):
    specs = signature.structured_input_signature[1]
    if set(inputs) != set(specs):
        raise Refused(f"input size does not match signature: {sorted(inputs)} != {sorted(specs)}")
    for name, array in inputs.items():
        if array.dtype != specs[name].dtype.as_numpy_dtype:
            raise Refused(f"Expects {name} to be {specs[name].dtype.name} but {array.dtype} is provided")
    try:
        answer = signature(**{name: tf.constant(array) for name, array in inputs.items()})
    except (tf.errors.InvalidArgumentError, ValueError, TypeError) as error:
        raise Refused(str(error)) from error
    return {name: tensor.numpy() for name, tensor in answer.items()}


# --- REST ---


def answer_json(signature, body):
    """The answer to a body of JSON; the rules are those of the server's `json_tensor.cc`."""
    if not isinstance(body, dict):
        raise Refused("JSON Value: Is not object")
    if ("instances" in body) == ("inputs" in body):
        raise Refused("expecting only one of 'inputs' or 'instances' keys to exist")
    dtypes = {name: spec.dtype for name, spec in signature.structured_input_signature[1].items()}
    if "inputs" in body:
        outputs = run(signature, from_columns(body["inputs"], dtypes))
        columns = {name: to_json(array) for name, array in outputs.items()}
        return {"outputs": columns if len(columns) > 1 else next(iter(columns.values()))}
    outputs = run(signature, from_rows(body["instances"], dtypes))
    if any(array.ndim == 0 for array in outputs.values()):
        raise Refused("Tensor has no shape information")
    if len({len(array) for array in outputs.values()}) > 1:
        raise Refused("Tensor has inconsistent batch size")
    names, columns = list(outputs), [to_json(array) for array in outputs.values()]
    rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    return {"predictions": rows if len(names) > 1 else columns[0]}


def from_columns(inputs, dtypes):
    if not isinstance(inputs, dict):
        if len(dtypes) > 1:
            raise Refused("inputs is a plain value/list, but expecting an object")
        inputs = dict.fromkeys(dtypes, inputs)
    if not set(dtypes) <= set(inputs):
        raise Refused(f"Missing named input: {sorted(set(dtypes) - set(inputs))} in 'inputs' object.")
    return {name: to_array(inputs[name], dtype) for name, dtype in dtypes.items()}


def from_rows(instances, dtypes):
    if not isinstance(instances, list) or not instances:
        raise Refused("Excepting 'instances' to be an list/array with values")
    objects = {isinstance(row, dict) for row in instances}
    if len(objects) > 1 or (objects == {False} and len(dtypes) > 1):
        raise Refused("instances is a plain list, but expecting list of objects")
    if objects == {False}:
        instances = [dict.fromkeys(dtypes, row) for row in instances]
    if any(set(row) != set(dtypes) for row in instances):
        raise Refused(f"keys must be equal to: {','.join(sorted(dtypes))}")
    return {name: to_array([row[name] for row in instances], dtype) for name, dtype in dtypes.items()}


def to_array(value, dtype):
    """Nested lists as an array, without conversions between kinds of numbers."""
    check_leaves(value, dtype)
    try:
        return np.array(value, dtype.as_numpy_dtype)
    except (ValueError, OverflowError) as error:
        raise Refused(f"Encountered list at unexpected size or value out of range: {error}") from error


def check_leaves(value, dtype):
    if isinstance(value, list):
        for item in value:
            check_leaves(item, dtype)
        return
    kinds = (int, float) if dtype.is_floating else bool if dtype.is_bool else int
    if not isinstance(value, kinds) or isinstance(value, bool) != dtype.is_bool:
        raise Refused(f"JSON Value: {value!r} is not of expected type: {dtype.name}")


def to_json(array):
    """Nested lists; float32 numbers in as few digits as give the same float32, like the server's."""
    if array.ndim:
        return [to_json(item) for item in array]
    return float(str(array)) if array.dtype == np.float32 else array.item()


@contextlib.contextmanager
def rest_server(models):
    """The URL of a server on a free port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            try:
                status, answer = 200, self.answer()
            except Refused as refused:
                status, answer = refused.status, {"error": str(refused)}
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def answer(self):
            content = self.rfile.read(int(self.headers["Content-Length"]))
            match = PREDICT_PATH.fullmatch(self.path)
            if not match:
                raise Refused(f"Malformed request: POST {self.path}")
            try:
                body = json.loads(content)
            except ValueError as error:
                raise Refused(f"JSON Parse error: {error}") from error
            name = body.get("signature_name", "") if isinstance(body, dict) else ""
            if not isinstance(name, str):
                raise Refused("'signature_name' key must be a string value.")
            model, version, label = (group or "" for group in match.groups())
            return answer_json(models.signature(model, name, version, label), body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# --- gRPC ---


@contextlib.contextmanager
def grpc_server(models):
    """The address of a server on a free port, of the real service with its real messages."""
    from concurrent.futures import ThreadPoolExecutor

    import grpc
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
        def Predict(self, request, context):
            spec = request.model_spec
            version = str(spec.version.value) if spec.HasField("version") else ""
            try:
                signature = models.signature(spec.name, spec.signature_name, version, spec.version_label)
                inputs = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
                outputs = run(signature, inputs)
            except Refused as refused:
                missing = refused.status == 404
                code = grpc.StatusCode.NOT_FOUND if missing else grpc.StatusCode.INVALID_ARGUMENT
                context.abort(code, str(refused))
            response = predict_pb2.PredictResponse(model_spec=spec)
            for name, array in outputs.items():
                response.outputs[name].CopyFrom(tf.make_tensor_proto(array))
            return response

    server = grpc.server(ThreadPoolExecutor(2), options=[("grpc.max_receive_message_length", -1)])
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Service(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()
