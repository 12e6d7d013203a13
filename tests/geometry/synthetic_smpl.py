"""A small model of the SMPL family with random numbers, as its authors' files hold them, and the paper's formula."""

import numpy as np

PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)
PARENTS_X = (
    *PARENTS[:22], 15, 15, 15,
    *(above for wrist, first in ((20, 25), (21, 40)) for knuckle in range(first, first + 15, 3)
      for above in (wrist, knuckle, knuckle + 1)),
)  # fmt: skip
"""SMPL-X: jaw and eyes hang on the head, and five fingers of three joints on each wrist."""

VERTICES = 96


def model(seed: int = 0, betas: int = 10, parents: tuple[int, ...] = PARENTS) -> dict[str, np.ndarray]:
    """Arrays in double precision: a blob of a body's size around each joint, weights of the nearest joints."""
    random, joints = np.random.default_rng(seed), len(parents)
    regressor = random.random((joints, VERTICES)) ** 4
    weights = np.where(random.random((VERTICES, joints)) < 3 / joints, random.random((VERTICES, joints)), 0.0)
    weights[np.arange(VERTICES), np.arange(VERTICES) % joints] += 1.0
    return {
        "v_template": random.normal(0.0, 0.4, (VERTICES, 3)),
        "shapedirs": random.normal(0.0, 0.02, (VERTICES, 3, betas)),
        "posedirs": random.normal(0.0, 0.005, (VERTICES, 3, 9 * (joints - 1))),
        "J_regressor": regressor / regressor.sum(1, keepdims=True),
        "weights": weights / weights.sum(1, keepdims=True),
        "kintree_table": np.array([[2**32 - 1, *parents[1:]], range(joints)], dtype=np.uint32),
        "f": np.array([(i, (i + 1) % VERTICES, (i + 2) % VERTICES) for i in range(VERTICES)], dtype=np.uint32),
    }


def posed(arrays: dict[str, np.ndarray], pose: np.ndarray, betas: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """(V, 3) by Loper et al. 2015, equations 2 to 10, one vertex and one joint after the other.

    `pose` is (J, 3) axes times angles, `betas` (S,), `translation` (3,).
    """
    rotations = [rodrigues(vector) for vector in pose]
    shaped = arrays["v_template"] + arrays["shapedirs"] @ betas
    joints = arrays["J_regressor"] @ shaped
    feature = np.concatenate([(rotation - np.eye(3)).ravel() for rotation in rotations[1:]])
    rest = shaped + arrays["posedirs"] @ feature
    world = []
    for joint, rotation in enumerate(rotations):
        parent = int(arrays["kintree_table"][0, joint])
        local = np.eye(4)
        local[:3, :3] = rotation
        local[:3, 3] = joints[joint] - (joints[parent] if joint else 0.0)
        world.append(world[parent] @ local if joint else local)
    result = np.zeros_like(rest)
    for vertex, place in enumerate(rest):
        for joint, matrix in enumerate(world):
            moved = matrix[:3, :3] @ (place - joints[joint]) + matrix[:3, 3]
            result[vertex] += arrays["weights"][vertex, joint] * moved
    return result + translation


def rodrigues(vector: np.ndarray) -> np.ndarray:
    angle = np.linalg.norm(vector)
    if angle == 0:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
