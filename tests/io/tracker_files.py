"""A person in front of a camera that moves, and files in which trackers would tell of it, in their own layouts."""

from __future__ import annotations

import collections
import pickle
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from synthetic_smpl import PARENTS, model, posed, rodrigues

from a4d.io.bodies.smpl import JOINTS
from a4d.io.bodies.smpl_skeleton import PLACES

WIDTH, HEIGHT = 96, 64
FRAMES = 5


def person_model(parents: tuple[int, ...] = PARENTS) -> dict[str, np.ndarray]:
    """A synthetic model whose joints are those of a person, hands and face near theirs; poses displace nothing."""
    arrays, random = model(seed=2, parents=parents), np.random.default_rng(2)
    places = np.array(PLACES)
    for above in parents[len(places) :]:
        places = np.concatenate([places, places[above : above + 1] + random.normal(0.0, 0.01, (1, 3))])
    owners = np.arange(len(arrays["v_template"])) % len(places)
    arrays["v_template"] = places[owners] + random.normal(0.0, 0.03, (len(owners), 3))
    arrays["v_template"][: len(places)] = places
    arrays["J_regressor"] = np.eye(len(places), len(owners))
    arrays["weights"] = np.eye(len(places))[owners]
    arrays["posedirs"] = np.zeros_like(arrays["posedirs"])
    return arrays


@dataclass
class Filmed:
    """The truth: a person of SMPL in a world with +Y up, and a camera, which stays or moves.

    Args:
        is_moving: the camera.
    """

    is_moving: bool = True
    arrays: dict[str, np.ndarray] = field(default_factory=person_model)

    def __post_init__(self) -> None:
        random = np.random.default_rng(4)
        self.betas = random.normal(0.0, 1.0, 10)
        self.pose = random.normal(0.0, 0.2, (FRAMES, 24, 3))
        self.pose[:, 0] = [0.05, 0.3, -0.02]
        self.pose[:, 0, 1] += np.linspace(0, 0.6, FRAMES)
        self.translation = np.linspace([0.0, 1.2, 0.0], [0.3, 1.25, 0.2], FRAMES)
        turns = np.linspace(0.0, 0.2 if self.is_moving else 0.0, FRAMES)
        # Looking along -Z of the world, with +Y down: a half turn about X, and a little more.
        self.camera_from_world = np.tile(np.eye(4), (FRAMES, 1, 1))
        for frame, turn in enumerate(turns):
            rotation = rodrigues(np.array([0.1, turn, 0.0])) @ np.diag([1.0, -1.0, -1.0])
            centre = np.array([0.1 + turn, 1.1, 3.6])
            self.camera_from_world[frame, :3, :3] = rotation
            self.camera_from_world[frame, :3, 3] = -rotation @ centre
        self.focal = 1.1 * WIDTH

    @property
    def pelvis(self) -> np.ndarray:
        """(3,) at rest, of this shape."""
        return (self.arrays["J_regressor"] @ (self.arrays["v_template"] + self.arrays["shapedirs"] @ self.betas))[0]

    def in_camera(self) -> tuple[np.ndarray, np.ndarray]:
        """(F, 24, 3) and (F, 3) pose and translation as the camera sees them."""
        pose, places = self.pose.copy(), np.zeros((FRAMES, 3))
        for frame, camera in enumerate(self.camera_from_world):
            pose[frame, 0] = vector_of(camera[:3, :3] @ rodrigues(self.pose[frame, 0]))
            pelvis = self.pelvis + self.translation[frame]
            places[frame] = camera[:3, :3] @ pelvis + camera[:3, 3] - self.pelvis
        return pose, places

    def pixels(self, frame: int, focal: float | None = None) -> np.ndarray:
        """(V, 2) where the vertices are seen, by the paper's formula."""
        vertices = posed(self.arrays, self.pose[frame], self.betas, self.translation[frame])
        camera = self.camera_from_world[frame]
        seen = vertices @ camera[:3, :3].T + camera[:3, 3]
        return seen[:, :2] / seen[:, 2:] * (focal or self.focal) + [WIDTH / 2, HEIGHT / 2]

    def intrinsic(self) -> np.ndarray:
        """(3, 3)."""
        return np.array([[self.focal, 0, WIDTH / 2], [0, self.focal, HEIGHT / 2], [0, 0, 1]])


def vector_of(rotation: np.ndarray) -> np.ndarray:
    """(3,) axis times angle, by the eigenvector, so that half turns are told."""
    values, vectors = np.linalg.eig(rotation)
    axis = np.real(vectors[:, np.argmin(np.abs(values - 1))])
    angle = np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1))
    return min((axis * angle, -axis * angle), key=lambda v: np.abs(rodrigues(v) - rotation).max())


def instant_avatar(folder: Path, filmed: Filmed, thetas: bool = False) -> Path:
    folder.mkdir()
    pose, betas = filmed.pose.reshape(FRAMES, 72), filmed.betas[None]
    parts = {"thetas": pose} if thetas else {"global_orient": pose[:, :3], "body_pose": pose[:, 3:]}
    np.savez(folder / "poses.npz", betas=betas, transl=filmed.translation, **parts)
    camera = filmed.camera_from_world[0]
    np.savez(folder / "cameras.npz", intrinsic=filmed.intrinsic(), extrinsic=camera, height=HEIGHT, width=WIDTH)
    return folder


def gaussian_avatar(folder: Path, filmed: Filmed) -> Path:
    (folder / "images").mkdir(parents=True)
    (folder / "cam_parms").mkdir()
    from PIL import Image

    for frame, camera in enumerate(filmed.camera_from_world):
        Image.new("RGB", (WIDTH, HEIGHT)).save(folder / f"images/{frame}.png")
        np.savez(folder / f"cam_parms/{frame}.npz", intrinsic=filmed.intrinsic().astype(np.float32), extrinsic=camera)
    values = {"beta": filmed.betas[None], "body_pose": filmed.pose.reshape(FRAMES, 72), "trans": filmed.translation}
    torch.save({name: torch.from_numpy(value).float() for name, value in values.items()}, folder / "smpl_parms.pth")
    return folder


def phalp(path: Path, filmed: Filmed) -> Path:
    """Frames by name, a second person, a moment that is foretold; the focal length is the layout's own."""
    pose, places = filmed.in_camera()
    frames = {}
    for frame in range(FRAMES):
        rotations = np.stack([rodrigues(vector) for vector in pose[frame]]).astype(np.float32)
        person = {"global_orient": rotations[:1], "body_pose": rotations[1:], "betas": filmed.betas.astype(np.float32)}
        other = {**person, "betas": np.zeros(10, np.float32)}
        camera = places[frame].astype(np.float32)
        frames[f"video/img/{frame + 1:06d}.jpg"] = {
            "tid": [3, 1] if frame != 2 else [1], "time": frame, "shot": 0,
            "tracked_ids": [1], "tracked_time": [4, 0] if frame == 3 else [0, 0],
            "smpl": [other, person] if frame != 2 else [person],
            "camera": [camera + 1, camera] if frame != 2 else [camera],
            "size": [[HEIGHT, WIDTH]] * 2, "mask": [{"size": [HEIGHT, WIDTH], "counts": b"abc"}],
            "img_path": "video/img", "2d_joints": [np.zeros(90)], "conf": [np.float32(0.9)],
        }  # fmt: skip
    dump(frames, path, compress=3)
    return path


def wham(path: Path, filmed: Filmed) -> Path:
    """Two people; what the bodies are centred by is taken off of `trans`, and not of `trans_world`."""
    pose, places = filmed.in_camera()
    hips = np.array(PLACES[1:3]).mean(0)
    world = np.array([
        rodrigues(filmed.pose[frame, 0]) @ (hips - PLACES[0]) + PLACES[0] + filmed.translation[frame]
        for frame in range(FRAMES)
    ])  # fmt: skip
    whole = {
        "pose": pose.reshape(FRAMES, 72), "trans": places, "pose_world": filmed.pose.reshape(FRAMES, 72),
        "trans_world": world, "betas": np.tile(filmed.betas, (FRAMES, 1)), "verts": np.zeros((FRAMES, 8, 3)),
        "frame_ids": np.arange(FRAMES),
    }  # fmt: skip
    brief = {name: value[:2] for name, value in whole.items()}
    dump(collections.defaultdict(dict, {0: brief, 4: whole}), path)
    return path


def gvhmr(path: Path, filmed: Filmed) -> Path:
    pose, places = filmed.in_camera()
    values = {"K_fullimg": np.tile(filmed.intrinsic(), (FRAMES, 1, 1))}
    nested = {}
    for name, root, moved in (("incam", pose[:, 0], places), ("global", filmed.pose[:, 0], filmed.translation)):
        nested[f"smpl_params_{name}"] = {
            "body_pose": filmed.pose[:, 1:22].reshape(FRAMES, 63), "betas": np.tile(filmed.betas, (FRAMES, 1)),
            "global_orient": root, "transl": moved,
        }  # fmt: skip
    stored = {**values, **nested}
    torch.save(as_tensors({**stored, "net_outputs": {"pred_x": np.zeros(3)}}), path)
    return path


def as_tensors(values):
    if isinstance(values, dict):
        return {name: as_tensors(value) for name, value in values.items()}
    return torch.from_numpy(values).float()


def tram(folder: Path, filmed: Filmed) -> Path:
    """Moments out of order, tensors within a pickle, and the camera in the folder above."""
    (folder / "hps").mkdir(parents=True)
    pose, places = filmed.in_camera()
    order = [3, 0, 1, 4, 2]
    rotations = np.array([[rodrigues(vector) for vector in pose[frame]] for frame in order])
    shapes = np.tile(filmed.betas, (FRAMES, 1))
    track = {"pred_rotmat": rotations, "pred_shape": shapes, "pred_trans": places[order][:, None]}
    np.save(folder / "hps/hps_track_0.npy", {**as_tensors(track), "frame": torch.tensor(order)}, allow_pickle=True)
    world = np.linalg.inv(filmed.camera_from_world).astype(np.float32)
    camera = {
        "pred_cam_R": world[:, :3, :3], "pred_cam_T": world[:, :3, 3], "img_focal": np.float32(filmed.focal),
        "img_center": np.array([WIDTH / 2, HEIGHT / 2], np.float32),
    }  # fmt: skip
    np.save(folder / "camera.npy", camera, allow_pickle=True)
    return folder


def sam_3d_body(folder: Path, filmed: Filmed) -> Path:
    """Keypoints of two people, one of whom is in the last pictures alone, and a few that no joint is."""
    from a4d.io.trackers.sam_3d_body import KEYPOINTS

    folder.mkdir()
    names = {name: index for index, name in enumerate(JOINTS[24])} | {"left_big_toe": 10, "right_big_toe": 11}
    head = names["head"]
    for frame in range(FRAMES):
        joints = posed(filmed.arrays, filmed.pose[frame], filmed.betas, filmed.translation[frame])[:24]
        turn = np.linalg.multi_dot([rodrigues(filmed.pose[frame, joint]) for joint in (0, 3, 6, 9, 12, 15)])
        points = np.zeros((70, 3))
        for name, place in KEYPOINTS.items():
            side = 0.07 if name.startswith("left") else -0.07
            of_head = {"ear": [side, 0.05, 0.0], "eye": [side / 2, 0.05, 0.1]}.get(name.rpartition("_")[2])
            points[place] = joints[names[name]] if of_head is None else joints[head] + turn @ of_head
        camera = filmed.camera_from_world[frame]
        points = points @ camera[:3, :3].T + camera[:3, 3]
        middle = points[9]
        values = {"pred_keypoints_3d": points - middle, "pred_cam_t": middle, "focal_length": np.array(filmed.focal)}
        np.savez(folder / f"{frame + 8}_subj00.npz", **values, pred_vertices=np.zeros((5, 3)))
        if frame > 2:
            np.savez(folder / f"{frame + 8}_subj01.npz", **values)
    return folder


def amass(path: Path, filmed: Filmed, joints: int = 52) -> Path:
    """The same motion with +Z up."""
    turn = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    poses = np.zeros((FRAMES, joints, 3))
    poses[:, :22] = filmed.pose[:, :22]
    poses[:, 0] = [vector_of(turn @ rodrigues(vector)) for vector in filmed.pose[:, 0]]
    pelvis = np.array(PLACES[0])
    trans = (filmed.translation + pelvis) @ turn.T - pelvis
    np.savez(
        path, poses=poses.reshape(FRAMES, -1), trans=trans, betas=np.zeros(16), gender="male",
        mocap_framerate=np.array(60.0), dmpls=np.zeros((FRAMES, 8)),
    )  # fmt: skip
    return path


def dump(values: object, path: Path, compress: int = 0) -> None:
    """As joblib writes it where it is installed; else an ordinary pickle, which readers of both must take."""
    try:
        import joblib
    except ImportError:
        path.write_bytes(pickle.dumps(values, 4))
    else:
        joblib.dump(values, path, compress=compress)
