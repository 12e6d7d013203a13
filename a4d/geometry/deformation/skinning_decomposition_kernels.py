"""Kernels of the skinning decomposition, parallel over vertices."""

import math

import numpy as np
from numba import prange

from a4d.kernel_cache import njit

ATOMS = 8
"""Upper bound of the influences per vertex, and one more while they are exchanged."""


@njit(cache=True, error_model="numpy", nogil=True)
def _minimise(gram, members, count, ridge, solution) -> None:
    """Weights of sum 1, of any sign, that minimise w^T G w over some rows: G w = 1, scaled, by Cholesky's method."""
    factor = np.zeros((count, count))
    for i in range(count):
        for j in range(i + 1):
            value = gram[members[i], members[j]] + (ridge if i == j else 0.0)
            for k in range(j):
                value -= factor[i, k] * factor[j, k]
            factor[i, j] = math.sqrt(max(value, ridge)) if i == j else value / factor[j, j]
    for i in range(count):
        solution[i] = 1.0
        for k in range(i):
            solution[i] -= factor[i, k] * solution[k]
        solution[i] /= factor[i, i]
    total = 0.0
    for i in range(count - 1, -1, -1):
        for k in range(i + 1, count):
            solution[i] -= factor[k, i] * solution[k]
        solution[i] /= factor[i, i]
        total += solution[i]
    for i in range(count):
        solution[i] /= total


@njit(cache=True, error_model="numpy", nogil=True)
def _solve_simplex(gram, size, weights) -> None:
    """Weights of sum 1 and none negative that minimise w^T G w, by dropping what turns negative (Lawson and Hanson).

    Args:
        gram: (ATOMS, ATOMS) float64, the leading `size` rows and columns.
        size: number of candidates.
        weights: (ATOMS,) float64, a feasible start; filled.
    """
    ridge = 0.0
    for i in range(size):
        ridge += gram[i, i]
    # Bones that move alike are exchangeable; a trace of ridge shares the weight among them.
    ridge = 1e-9 * ridge / size + 1e-30
    members, count = np.arange(size), size
    solution = np.empty(size)
    while True:
        _minimise(gram, members, count, ridge, solution)
        step, blocking = 1.0, -1
        for i in range(count):
            weight = weights[members[i]]
            if solution[i] < 0 and weight < step * (weight - solution[i]):
                step, blocking = weight / (weight - solution[i]), i
        for i in range(count):
            weights[members[i]] += step * (solution[i] - weights[members[i]])
        if blocking < 0:
            return
        weights[members[blocking]] = 0.0
        count -= 1
        members[blocking] = members[count]


@njit(parallel=True, cache=True, error_model="numpy", nogil=True)
def fit_weights(rest, trajectories, bones, influences, joints, weights) -> None:
    """Sparse convex weights of every vertex: fully corrective Frank-Wolfe steps, each adding the bone that helps most.

    Args:
        rest: (V, 3) float64.
        trajectories: (V, T, 3) float64.
        bones: (T, B, 3, 4) float64 posed_from_rest.
        influences: per vertex, less than ATOMS.
        joints: (V, influences) int64, filled.
        weights: (V, influences) float64, filled; each row sums to 1.
    """
    frames, count = bones.shape[0], bones.shape[1]
    for v in prange(len(rest)):
        offset = np.empty((count, frames * 3))
        best, least = 0, np.inf
        for b in range(count):
            square = 0.0
            for t in range(frames):
                for c in range(3):
                    matrix = bones[t, b, c]
                    moved = matrix[0] * rest[v, 0] + matrix[1] * rest[v, 1] + matrix[2] * rest[v, 2] + matrix[3]
                    offset[b, 3 * t + c] = moved - trajectories[v, t, c]
                    square += offset[b, 3 * t + c] ** 2
            if square < least:
                best, least = b, square
        atoms = np.zeros(ATOMS, np.int64)
        shares = np.zeros(ATOMS)
        gram = np.zeros((ATOMS, ATOMS))
        atoms[0], shares[0], gram[0, 0], size = best, 1.0, least, 1
        # A few steps beyond the number of influences exchange early choices for better ones.
        for _ in range(2 * influences):
            residual = np.zeros(frames * 3)
            for i in range(size):
                residual += shares[i] * offset[atoms[i]]
            energy = np.dot(residual, residual)
            added, slope = -1, energy * (1 - 1e-6)
            for b in range(count):
                product = np.dot(offset[b], residual)
                if product < slope:
                    added, slope = b, product
            if added < 0:
                break
            is_known = False
            for i in range(size):
                is_known |= atoms[i] == added
            if is_known:
                break
            atoms[size], shares[size] = added, 0.0
            size += 1
            for i in range(size):
                gram[i, size - 1] = np.dot(offset[atoms[i]], offset[added])
                gram[size - 1, i] = gram[i, size - 1]
            _solve_simplex(gram, size, shares)
            size = _without_weakest(atoms, shares, gram, size, influences)
        for i in range(influences):
            joints[v, i] = atoms[i] if i < size else 0
            weights[v, i] = shares[i] if i < size else 0.0


@njit(cache=True, error_model="numpy", nogil=True)
def _without_weakest(atoms, shares, gram, size, limit) -> int:
    """Remove unused bones, and the weakest while there are more than the limit; the rest is solved again."""
    while True:
        weakest = 0
        for i in range(1, size):
            if shares[i] < shares[weakest]:
                weakest = i
        if shares[weakest] > 1e-6 and size <= limit:
            return size
        size -= 1
        atoms[weakest], shares[weakest] = atoms[size], shares[size]
        gram[weakest, : size + 1] = gram[size, : size + 1]
        gram[: size + 1, weakest] = gram[: size + 1, size]
        gram[weakest, weakest] = gram[size, size]
        shares[:size] /= shares[:size].sum()
        _solve_simplex(gram, size, shares)


@njit(parallel=True, cache=True, error_model="numpy", nogil=True)
def nearest_bones(rest, trajectories, bones, joints, errors) -> None:
    """The bone that moves each vertex best on its own.

    Args:
        rest: (V, 3) float64.
        trajectories: (V, T, 3) float64.
        bones: (T, B, 3, 4) float64 posed_from_rest.
        joints: (V,) int64, filled.
        errors: (V,) float64, filled; sum of squares.
    """
    for v in prange(len(rest)):
        errors[v] = np.inf
        for b in range(bones.shape[1]):
            square = 0.0
            for t in range(bones.shape[0]):
                for c in range(3):
                    matrix = bones[t, b, c]
                    moved = matrix[0] * rest[v, 0] + matrix[1] * rest[v, 1] + matrix[2] * rest[v, 2] + matrix[3]
                    square += (moved - trajectories[v, t, c]) ** 2
                if square >= errors[v]:
                    break
            if square < errors[v]:
                joints[v], errors[v] = b, square
