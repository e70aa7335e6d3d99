"""TensorFlow Lite networks of MediaPipe in LiteRT's interpreter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from flatbuffers import Builder, flexbuffers


class Network:
    """One network on one thread: ``network(*inputs)`` gives its outputs in their order.

    Args:
        content: of the ``.tflite`` file.
    """

    def __init__(self, content: bytes) -> None:
        self._interpreter = Interpreter(model_content=content, num_threads=1)
        self._interpreter.allocate_tensors()
        self._inputs = [part["index"] for part in self._interpreter.get_input_details()]
        self._outputs = [part["index"] for part in self._interpreter.get_output_details()]
        #: Pixels of a side of the first input.
        self.side = int(self._interpreter.get_input_details()[0]["shape"][1])

    def __call__(self, *tensors: np.ndarray) -> list[np.ndarray]:
        """tensors: float32, without the leading axis of the batch; nor have the outputs one."""
        for index, tensor in zip(self._inputs, tensors, strict=True):
            self._interpreter.set_tensor(index, tensor[None])
        self._interpreter.invoke()
        found = (self._interpreter.get_tensor(index) for index in self._outputs)
        return [tensor[0] if len(tensor) == 1 else tensor for tensor in found]


class AttentionMesh:
    """The face mesh that looks again at eyes, irises and lips ("attention mesh").

    Three of its operations are MediaPipe's own, which LiteRT does not know: a rotated box around
    some landmarks, the features in that box, and the way back of what is found there. Here they
    stand between the two parts of the network. Source: Grishchenko et al., "Attention Mesh:
    High-fidelity Face Mesh Prediction in Real-time", 2020; sizes and landmarks are the file's.
    """

    _FEATURES = "p_re_lu_3"
    _CROPS = [f"transform_tensor_bilinear_v2{part}" for part in ("", "_1", "_2")]
    _FOUND = [f"conv_{part}" for part in ("lips", "left_eye", "right_eye")]
    _IRISES = ["conv_left_iris", "conv_right_iris"]
    # An eye's landmarks begin with its rim, whose mean depth is its iris's.
    _N_RIM = 16

    def __init__(self, content: bytes) -> None:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
        self._boxes = [
            _Box(**flexbuffers.Loads(bytes(operator.customOptions)))
            for operator in model.subgraphs[0].operators
            if model.operatorCodes[operator.opcodeIndex].customCode == b"Landmarks2TransformMatrix"
        ]
        whole = [self._FEATURES, "output_mesh", "conv_faceflag"]
        self._whole = Network(_part(model, ["input_1"], whole))
        self._again = Network(_part(model, self._CROPS, [*self._FOUND, *self._IRISES]))
        self.side = self._whole.side

    def __call__(self, tensor: np.ndarray) -> tuple[np.ndarray, float]:
        """Points [478, 3] in pixels of the tensor [side, side, 3] in [0, 1]; the face's logit."""
        features, mesh, logit = self._whole(tensor)
        mesh = mesh.reshape(-1, 3)
        step = self.side / len(features)
        ways = [box.way_in(mesh[:, :2] / np.float32(step)) for box in self._boxes]
        found = self._again(*(look(features, way, self._boxes[0].output_width) for way in ways))
        # What is found counts input pixels along the box's axes, from its corner.
        lips, left_eye, right_eye, *irises = (
            xy.reshape(-1, 2) @ way[:, :2].T + way[:, 2] * step
            for xy, way in zip(found, [*ways, *ways[1:]], strict=True)
        )
        for box, xy in zip(self._boxes, (lips, left_eye, right_eye), strict=True):
            mesh[box.subset_idxs, :2] = xy
        depths = [mesh[box.subset_idxs[: self._N_RIM], 2].mean() for box in self._boxes[1:]]
        flat = [np.insert(xy, 2, z, axis=1) for xy, z in zip(irises, depths, strict=True)]
        return np.concatenate((mesh, *flat)), float(logit.item())


@dataclass(frozen=True)
class _Box:
    """A box around some landmarks, upright along the line between two of them."""

    subset_idxs: list[int]
    left_rotation_idx: int
    right_rotation_idx: int
    target_rotation_radians: float
    scale_x: float
    scale_y: float
    output_width: int
    output_height: int

    def way_in(self, points: np.ndarray) -> np.ndarray:
        """Matrix [2, 3] from the box's cells to the pixels of points [468, 2]."""
        x, y = points[self.right_rotation_idx] - points[self.left_rotation_idx]
        angle = self.target_rotation_radians + np.arctan2(y, x)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        turned = points[self.subset_idxs] @ turn
        low, high = turned.min(0), turned.max(0)
        size = (high - low) * [self.scale_x, self.scale_y]
        corner = turn @ ((low + high - size) / 2)
        cells = [self.output_width, self.output_height]
        return np.concatenate((turn * size / cells, corner[:, None]), 1)


def look(features: np.ndarray, way: np.ndarray, side: int) -> np.ndarray:
    """Features [side, side, channels] at the middles of a box's cells, zero outside the picture."""
    cells = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1) + 0.5
    # One pixel of border, so that a place between the picture and its outside has four neighbours.
    at = np.clip(cells @ way[:, :2].T + way[:, 2] + 0.5, 0, len(features) + 0.999)
    padded = np.pad(features, ((1, 1), (1, 1), (0, 0)))
    x, y = np.moveaxis(at.astype(int), -1, 0)
    u, v = np.moveaxis(at % 1, -1, 0)[..., None]
    upper = (1 - u) * padded[y, x] + u * padded[y, x + 1]
    lower = (1 - u) * padded[y + 1, x] + u * padded[y + 1, x + 1]
    return ((1 - v) * upper + v * lower).astype(np.float32)


def _part(model: schema.ModelT, inputs: list[str], outputs: list[str]) -> bytes:
    """A model file that computes some of a model's tensors from others, both given by name."""
    graph = model.subgraphs[0]
    whole = graph.inputs, graph.outputs, graph.operators
    numbers = {tensor.name.decode(): i for i, tensor in enumerate(graph.tensors)}
    graph.inputs = [numbers[name] for name in inputs]
    graph.outputs = [numbers[name] for name in outputs]
    wanted, graph.operators = set(graph.outputs), []
    for operator in reversed(whole[2]):
        if wanted & set(operator.outputs):
            graph.operators.insert(0, operator)
            wanted |= set(operator.inputs) - set(graph.inputs)
    builder = Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    graph.inputs, graph.outputs, graph.operators = whole
    return bytes(builder.Output())
