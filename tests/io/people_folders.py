"""A filmed person in the folders of data sets, each as its authors lay it out."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tracker_files import FRAMES, HEIGHT, WIDTH, Filmed, dump

from a4d.io.captures.capture import PosedCapture
from a4d.io.captures.colmap import write_colmap

COLOURS = [(20 + 40 * frame, 90, 200) for frame in range(FRAMES)]
SCALE = 0.31
"""COLMAP's units per metre."""


def mask(frame: int) -> np.ndarray:
    """(H, W) bool: a rectangle that moves."""
    inside = np.zeros((HEIGHT, WIDTH), bool)
    inside[10:50, 20 + 4 * frame : 50 + 4 * frame] = True
    return inside


def write_images(folder: Path, frames=range(FRAMES), suffix: str = "png", name: str = "{:05d}") -> list[Path]:
    folder.mkdir(parents=True)
    files = [folder / f"{name.format(place)}.{suffix}" for place in range(len(frames))]
    for file, frame in zip(files, frames, strict=True):
        Image.new("RGB", (WIDTH, HEIGHT), COLOURS[frame]).save(file)
    return files


def write_masks(folder: Path, frames=range(FRAMES), kind: str = "npy", name: str = "{:05d}", inverted=False) -> None:
    folder.mkdir(parents=True)
    for place, frame in enumerate(frames):
        values = mask(frame) != inverted
        if kind == "npy":
            np.save(folder / f"{name.format(place)}.npy", values.astype(np.uint8))
        else:
            Image.fromarray(values.astype(np.uint8) * 255).save(folder / f"{name.format(place)}.png")


def instant_avatar(folder: Path, filmed: Filmed) -> Path:
    """A whole sequence with masks of numbers."""
    write_images(folder / "images", name="image_{:04d}")
    write_masks(folder / "masks", name="mask_{:04d}")
    camera = filmed.camera_from_world[0]
    np.savez(folder / "cameras.npz", intrinsic=filmed.intrinsic(), extrinsic=camera, height=HEIGHT, width=WIDTH)
    write_poses(folder / "poses.npz", filmed, range(FRAMES), filmed.betas)
    return folder


def write_poses(path: Path, filmed: Filmed, frames, betas: np.ndarray) -> None:
    path.parent.mkdir(exist_ok=True)
    pose = filmed.pose[list(frames)].reshape(len(frames), 72)
    parts = {"global_orient": pose[:, :3], "body_pose": pose[:, 3:], "transl": filmed.translation[list(frames)]}
    np.savez(path, betas=betas[None], **parts)


def gaussian_avatar(folder: Path, filmed: Filmed) -> Path:
    """Three frames to train on, two for tests, whose betas are others."""
    for split, frames in (("train", [0, 1, 2]), ("test", [3, 4])):
        part = folder / split
        write_images(part / "images", frames, "jpg")
        write_masks(part / "masks", frames, "png")
        (part / "cam_parms").mkdir()
        for frame in frames:
            camera = filmed.camera_from_world[frame]
            np.savez(part / f"cam_parms/{frame}.npz", intrinsic=filmed.intrinsic(), extrinsic=camera)
        values = {
            "beta": filmed.betas[None] + (split == "test"), "body_pose": filmed.pose[frames].reshape(-1, 72),
            "trans": filmed.translation[frames],
        }  # fmt: skip
        torch.save({name: torch.from_numpy(value).float() for name, value in values.items()}, part / "smpl_parms.pth")
    return folder


def neuman(folder: Path, filmed: Filmed, refit: bool = False) -> Path:
    """A scene in COLMAP's units; frame 1 is for tests, and 3 for neither."""
    files = write_images(folder / "images")
    world = np.linalg.inv(filmed.camera_from_world)
    world[:, :3, 3] *= SCALE
    intrinsics = np.tile([filmed.focal, filmed.focal, WIDTH / 2, HEIGHT / 2], (FRAMES, 1))
    capture = PosedCapture(tuple(files), world, intrinsics, np.array([[WIDTH, HEIGHT]] * FRAMES))
    write_colmap(folder / "sparse", capture, folder / "images", is_binary=False)
    (folder / "train_split.txt").write_text("00000.png\n00002.png\n00004.png\n")
    (folder / "test_split.txt").write_text("00001.png\n")
    write_masks(folder / "segmentations", kind="png", inverted=True)
    if refit:
        write_masks(folder / "4d_humans/sam_segmentations", kind="png")
        pose = filmed.pose.reshape(FRAMES, 72)
        np.savez(
            folder / "4d_humans/smpl_optimized_aligned_scale.npz", global_orient=pose[:, :3], body_pose=pose[:, 3:],
            betas=np.tile(filmed.betas, (FRAMES, 1)), scale=np.full(FRAMES, SCALE), transl=SCALE * filmed.translation,
        )  # fmt: skip
        return folder
    pose, places = filmed.in_camera()
    dump({0: {"pose": pose.reshape(FRAMES, 72), "betas": np.tile(filmed.betas, (FRAMES, 1))}},
         folder / "smpl_output_romp.pkl")  # fmt: skip
    alignments = {}
    for frame, camera in enumerate(filmed.camera_from_world):
        back = camera[:3, :3].T
        alignments[files[frame].name] = SCALE * np.vstack([back.T, back @ (places[frame] - camera[:3, 3])])
    np.save(folder / "alignments.npy", alignments, allow_pickle=True)
    return folder


def people_snapshot(folder: Path, filmed: Filmed, lens=(0.0,) * 5) -> Path:
    """Film, masks and poses in the camera's own frame, and the camera as a pickle of Python 2."""
    import h5py

    from a4d.io.films.video import write_video

    folder.mkdir()
    pictures = [np.broadcast_to(np.float32(COLOURS[frame]) / 255, (HEIGHT, WIDTH, 3)) for frame in range(FRAMES)]
    write_video(folder / f"{folder.name}.mp4", pictures, 25.0)
    pose, places = filmed.in_camera()
    with h5py.File(folder / "masks.hdf5", "w") as file:
        file["masks"] = np.stack([mask(frame) for frame in range(FRAMES)]).astype(np.uint8)
    with h5py.File(folder / "reconstructed_poses.hdf5", "w") as file:
        file["pose"], file["trans"], file["betas"] = pose.reshape(FRAMES, 72), places, filmed.betas
    camera = {
        "camera_f": np.array([filmed.focal] * 2), "camera_c": np.array([WIDTH / 2, HEIGHT / 2]) - 0.5,
        "camera_k": np.array(lens), "camera_rt": np.zeros(3), "camera_t": np.zeros(3), "height": HEIGHT, "width": WIDTH,
    }  # fmt: skip
    (folder / "camera.pkl").write_bytes(pickle.dumps(camera, 2))
    return folder
