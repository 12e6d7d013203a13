"""Models of the SMPL family, against the paper's formula in plain numpy."""

import pickle

import numpy as np
import pytest
import torch
from scipy.sparse import csc_matrix
from synthetic_smpl import PARENTS, PARENTS_X, VERTICES, model, posed

from a4d.errors import InvalidInputError
from a4d.geometry.deformation.retargeting import body_parts
from a4d.geometry.transforms import rotation_from_axis_angle
from a4d.io.bodies.smpl import read_smpl


def write(path, arrays):
    if path.suffix == ".npz":
        np.savez_compressed(path, **arrays)
    else:
        said = {"bs_style": "lbs", "pose_training_info": {"v2v_error": np.float64(3)}}
        stored = {**arrays, **said, "J_regressor": csc_matrix(arrays["J_regressor"])}
        path.write_bytes(pickle.dumps(stored, 2))
    return path


@pytest.mark.parametrize("name", ["model.npz", "model.pkl"])
def test_vertices_are_those_of_the_paper(tmp_path, name):
    arrays, random = model(), np.random.default_rng(5)
    body = read_smpl(write(tmp_path / name, arrays))
    pose, betas = random.normal(0, 0.6, (3, 24, 3)), random.normal(0, 1.5, (3, 10))
    translation = random.normal(0, 1.0, (3, 3))
    pose[1] = 0.0
    rotations, numbers, shift = (torch.from_numpy(value).float() for value in (pose, betas, translation))
    vertices = body.posed(rotation_from_axis_angle(rotations), numbers, shift).vertices.numpy()
    for frame in range(3):
        expected = posed(arrays, pose[frame], betas[frame], translation[frame])
        assert np.abs(vertices[frame] - expected).max() < 1e-5


def test_gradients_are_those_of_finite_differences(tmp_path):
    body = read_smpl(write(tmp_path / "model.npz", model())).to(dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    pose = 0.4 * torch.randn(24, 3, dtype=torch.float64, generator=generator)
    pose[3] = 0.0
    shape = torch.randn(10, dtype=torch.float64, generator=generator)
    inputs = (pose.requires_grad_(), shape.requires_grad_(), torch.zeros(3, dtype=torch.float64, requires_grad=True))

    def some_vertices(pose, shape, translation):
        return body.posed(rotation_from_axis_angle(pose), shape, translation).vertices[::48]

    assert torch.autograd.gradcheck(some_vertices, inputs)


def test_smpl_has_its_names_and_rigs_understand_them(tmp_path):
    body = read_smpl(write(tmp_path / "model.pkl", model()))
    assert body.parents.tolist() == list(PARENTS)
    parts = body_parts(body.skeleton())
    expected = {
        "pelvis": ("", "hips"), "spine1": ("", "chest"), "head": ("", "head"),
        "left_hip": ("left", "thigh"), "right_knee": ("right", "shin"), "left_ankle": ("left", "foot"),
        "left_collar": ("left", "shoulder"), "left_shoulder": ("left", "upperarm"), "right_elbow": ("right", "forearm"),
        "left_wrist": ("left", "hand"),
    }  # fmt: skip
    assert {name: parts[body.names.index(name)] for name in expected} == expected


def test_smpl_x_has_betas_and_expressions_and_texture_coordinates(tmp_path):
    arrays = model(parents=PARENTS_X, betas=400)
    arrays |= {"vt": np.array([[0.0, 0.0], [1.0, 0.25]]), "ft": np.zeros((VERTICES, 3), dtype=np.uint32)}
    arrays["ft"][:, 1] = 1
    body = read_smpl(write(tmp_path / "model.npz", arrays), betas=3, expressions=2)
    assert body.names[22:26] == ("jaw", "left_eye", "right_eye", "left_index1")
    assert body.shape_names == ("beta0", "beta1", "beta2", "expression0", "expression1")
    shape = torch.zeros(5)
    shape[4] = 2.0
    expected = arrays["v_template"] + 2.0 * arrays["shapedirs"][..., 301]
    assert np.abs(body.rest(shape)[0].numpy() - expected).max() < 1e-6
    assert body.uvs is not None
    assert body.uvs[0].tolist() == [[0.0, 1.0], [1.0, 0.75], [0.0, 1.0]]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"weights": np.zeros((VERTICES, 23))}, "'weights' is"),
        ({"posedirs": np.zeros((VERTICES, 3, 206))}, "'posedirs' is"),
        ({"v_template": np.full((VERTICES, 3), np.nan)}, "not finite"),
        ({"f": np.full((4, 3), VERTICES)}, "vertices that it lacks"),
        ({"f": np.zeros((4, 4), dtype=np.int64)}, "'f' is"),
        ({"shapedirs": np.array(3.0)}, "'shapedirs' is"),
        ({"kintree_table": np.array([[1, 0, *range(1, 23)], range(24)])}, "no tree"),
        ({"weights": np.array([{}], dtype=object)}, "Python objects"),
    ],
)
@pytest.mark.parametrize("suffix", [".npz", ".pkl"])
def test_arrays_that_make_no_body_are_refused(tmp_path, change, complaint, suffix):
    with pytest.raises(InvalidInputError, match=complaint):
        read_smpl(write(tmp_path / f"model{suffix}", {**model(), **change}))


def test_other_files_are_no_models(tmp_path):
    (tmp_path / "model.txt").write_text("SMPL")
    with pytest.raises(InvalidInputError, match=r"\.pkl and \.npz"):
        read_smpl(tmp_path / "model.txt")


def test_an_archive_that_unfolds_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("a4d.io.bodies.smpl.LARGEST", 1000)
    with pytest.raises(InvalidInputError, match="unfolds to over 1000 bytes"):
        read_smpl(write(tmp_path / "model.npz", model()))
