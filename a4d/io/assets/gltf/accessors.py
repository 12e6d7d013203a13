"""Typed arrays out of buffer bytes: bounds are checked before anything is allocated."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from a4d.io.assets.gltf.container import Container
from a4d.io.assets.gltf.schema import Sparse

COMPONENTS: dict[int, np.dtype] = {
    5120: np.dtype("i1"),
    5121: np.dtype("u1"),
    5122: np.dtype("<i2"),
    5123: np.dtype("<u2"),
    5125: np.dtype("<u4"),
    5126: np.dtype("<f4"),
}
SHAPES = {
    "SCALAR": (1, 1),
    "VEC2": (1, 2),
    "VEC3": (1, 3),
    "VEC4": (1, 4),
    "MAT2": (2, 2),
    "MAT3": (3, 3),
    "MAT4": (4, 4),
}
"""Columns and rows of an element; a vector is one column."""

MENDED = ("POSITION", "NORMAL", "TANGENT", "TEXCOORD_", "COLOR_")

ZERO_LIMIT = 2**24
"""Numbers in an accessor without a buffer view, whose count no buffer bounds."""


@dataclass(frozen=True)
class Source:
    """Where elements lie.

    Args:
        view: index of the buffer view.
        offset: of the first element, bytes from the view's start.
        count: of elements.
    """

    view: int
    offset: int
    count: int


@dataclass(frozen=True)
class Accessors:
    """Decoded accessors of a file, each decoded once.

    Args:
        container: the file.
    """

    container: Container
    _decoded: dict[int, NDArray] = field(default_factory=dict)

    @cached_property
    def _surface(self) -> frozenset[int]:
        """Those of the look and shape of meshes, where what is not finite can be mended."""
        primitives = (primitive for mesh in self.container.gltf.meshes for primitive in mesh.primitives)
        attributes = (item for primitive in primitives for item in primitive.attributes.items())
        return frozenset(index for name, index in attributes if name.startswith(MENDED))

    def array(self, index: int) -> NDArray:
        """The elements of an accessor, with sparse values substituted and normalised integers mapped to floats.

        Returns:
            (count,) of scalars, (count, n) of vectors, or (count, n, n) of matrices, [row, column]; in the file's
            component type, or float32 where normalised. Read-only.

        Raises:
            InvalidInputError: it does not exist, does not fit its buffer view, or holds floats that are not finite and
                belong to no surface.
        """
        if index not in self._decoded:
            self._decoded[index] = self._decode(index)
        return self._decoded[index]

    def floats(
        self,
        index: int,
        shape: tuple[int, ...],  # of an element
        what: str,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """The elements of an accessor of floats, or of integers that stand for floats, (count, *shape).

        Raises:
            InvalidInputError: as `array`, or its elements have another shape.
        """
        array = self.array(index)
        if array.shape[1:] != shape:
            raise self.container.invalid(f"{what} (accessor {index}) has elements of the wrong type")
        return torch.from_numpy(array.astype(np.float64)).to(dtype)

    def integers(
        self,
        index: int,
        shape: tuple[int, ...],  # of an element
        what: str,
    ) -> Tensor:
        """The elements of an accessor of unsigned integers, (count, *shape) int64.

        Raises:
            InvalidInputError: as `array`, or its elements are of another kind.
        """
        array = self.array(index)
        if array.shape[1:] != shape or array.dtype.kind != "u":
            raise self.container.invalid(f"{what} (accessor {index}) has elements of the wrong type")
        return torch.from_numpy(array.astype(np.int64))

    def _decode(self, index: int) -> NDArray:
        accessor = self.container.item(self.container.gltf.accessors, index, "accessor")
        shape, component = SHAPES[accessor.type], COMPONENTS[accessor.component_type]
        what = f"accessor {index}"
        if accessor.buffer_view is not None:
            source = Source(accessor.buffer_view, accessor.byte_offset, accessor.count)
            elements = self._elements(source, shape, component, what)
        elif accessor.count * math.prod(shape) > ZERO_LIMIT:
            raise self.container.invalid(f"{what} has {accessor.count} elements but no buffer view")
        else:
            elements = np.zeros((accessor.count, *shape), component)
        if accessor.sparse is not None:
            elements = self._substituted(accessor.sparse, elements, what)
        if component.kind == "f" and index not in self._surface and not np.isfinite(elements).all():
            raise self.container.invalid(f"{what} holds values that are not finite numbers")
        if accessor.normalized and component.kind in "iu":
            elements = np.maximum(elements / np.float64(np.iinfo(component).max), -1.0).astype(np.float32)
        columns, rows = shape
        if columns > 1:
            return elements.transpose(0, 2, 1)
        return elements[:, 0, 0] if rows == 1 else elements[:, 0]

    def _elements(self, source: Source, shape: tuple[int, int], component: np.dtype, what: str) -> NDArray:
        """A window on the buffer, (count, columns, rows)."""
        view = self.container.view(source.view)
        columns, rows = shape
        # The columns of a matrix start at multiples of four bytes.
        column_size = rows * component.itemsize if columns == 1 else 4 * math.ceil(rows * component.itemsize / 4)
        size = columns * column_size
        stride = self.container.gltf.buffer_views[source.view].byte_stride or size
        if stride < size:
            raise self.container.invalid(f"{what} has elements of {size} bytes, {stride} bytes apart")
        end = source.offset + stride * (source.count - 1) + (columns - 1) * column_size + rows * component.itemsize
        if end > len(view):
            raise self.container.invalid(f"{what} ends at byte {end} of buffer view {source.view} of {len(view)} bytes")
        strides = (stride, column_size, component.itemsize)
        return np.ndarray((source.count, columns, rows), component, view, source.offset, strides)

    def _substituted(self, sparse: Sparse, elements: NDArray, what: str) -> NDArray:
        indices, values = sparse.indices, sparse.values
        places = self._elements(
            Source(indices.buffer_view, indices.byte_offset, sparse.count),
            SHAPES["SCALAR"],
            COMPONENTS[indices.component_type],
            f"{what}'s indices",
        ).reshape(-1)
        if places.max() >= len(elements) or (places[1:] <= places[:-1]).any():
            raise self.container.invalid(f"{what} has sparse indices out of range or out of order")
        source = Source(values.buffer_view, values.byte_offset, sparse.count)
        elements = elements.copy()
        elements[places] = self._elements(source, elements.shape[1:], elements.dtype, f"{what}'s values")
        return elements
