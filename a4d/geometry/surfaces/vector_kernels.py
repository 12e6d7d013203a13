"""What kernels do with points: three scalars each, which the compiler keeps in registers."""

from a4d.kernel_cache import njit

Vector = tuple[float, float, float]


@njit(cache=True, error_model="numpy", nogil=True, inline="always")
def dot(a, b) -> float:
    """The scalar product."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@njit(cache=True, error_model="numpy", nogil=True, inline="always")
def less(a, b) -> Vector:
    """The difference a - b."""
    return a[0] - b[0], a[1] - b[1], a[2] - b[2]


@njit(cache=True, error_model="numpy", nogil=True, inline="always")
def along(origin, direction, share) -> Vector:
    """The point at a share of a direction from an origin."""
    return origin[0] + share * direction[0], origin[1] + share * direction[1], origin[2] + share * direction[2]


@njit(cache=True, error_model="numpy", nogil=True, inline="always")
def row(array, index) -> Vector:
    """Scalars rather than a view: counting the references to a shared array costs more than the arithmetic."""
    return array[index, 0], array[index, 1], array[index, 2]


@njit(cache=True, error_model="numpy", nogil=True, inline="always")
def corners(triangles, index) -> tuple[Vector, Vector, Vector]:
    """A triangle's three corners."""
    return (
        (triangles[index, 0, 0], triangles[index, 0, 1], triangles[index, 0, 2]),
        (triangles[index, 1, 0], triangles[index, 1, 1], triangles[index, 1, 2]),
        (triangles[index, 2, 0], triangles[index, 2, 1], triangles[index, 2, 2]),
    )


@njit(cache=True, error_model="numpy", nogil=True, inline="always")
def cross(a, b) -> Vector:
    """The vector product."""
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]
