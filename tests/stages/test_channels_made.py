"""`a4d preprocess` makes channels of the frames that it takes in, and says of which source each can be had."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import tiny_models
import trimesh
import yaml
from a4d.stages.preprocess import STAGE
from analytic_clips import picture, true_flow
from PIL import Image
from tiny_raft import TINY as TINY_RAFT
from tiny_raft import save_tiny as save_raft
from tiny_raft import steady_network

from a4d.contents.frames import load_frames
from a4d.errors import MissingInputError
from a4d.intake.settings import ChannelSettings
from a4d.io.frame_channels import MADE_BY, read_features, read_flow, read_normal, read_tracks, read_visibility
from a4d.io.pictures.images import read_depth, read_image, write_image
from a4d.views import Frames
from a4d.workspace.workspace import Workspace

DEPTH, FEATURES = "depth-anything-v2-small", "dinov2-small"


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A bar with alpha, that touches the left border of its picture."""
    rgba = picture(0)
    write_image(tmp_path / "bar.png", rgba[:, 22:])
    return Path("bar.png")


def record(workspace: str) -> dict:
    return json.loads(Path(workspace, "stages/preprocess/record.json").read_text())


def test_a_network_tells_depth_and_features_of_an_image(a4d, photo: Path, tmp_path: Path) -> None:
    folders = [(DEPTH, tiny_models.save_depth_anything), (FEATURES, tiny_models.save_dinov2)]
    weights = ",".join(f"{name}={save(tmp_path / name)}" for name, save in folders)
    asked = ("preprocess", photo, "--size", 64, "--depth-model", DEPTH, "--features", FEATURES, "--feature-channels", 5)
    missing = a4d(*asked)
    assert (missing.code, Path("bar.a4d").exists()) == (5, False)
    assert f"a4d weights fetch {DEPTH}" in missing.err
    made = a4d(*asked, "--weights", weights, "--json")
    assert made.code == 0, made.err
    assert 0 < made.json["metrics"]["features_explained"] <= 1
    depth, alpha = read_depth("bar.a4d/depth/00000.png"), read_image("bar.a4d/images/00000.png")[..., 3]
    assert (depth.min(), depth[alpha > 0.5].max()) == (0, 1)
    assert depth[alpha <= 0.5].max() == 0
    assert read_features(Path(f"bar.a4d/features/{FEATURES}/00000.npz")).shape == (4, 4, 5)
    assert {(item["id"], len(item["sha256"])) for item in record("bar.a4d")["weights"]} == {(DEPTH, 64), (FEATURES, 64)}
    assert a4d("validate", "bar.a4d").code == 0
    assert a4d(*asked, "--weights", weights, "--json").json["status"] == "up to date"


def test_features_without_weights_are_told_of_every_patch(a4d, photo: Path) -> None:
    made = a4d("preprocess", photo, "--size", 64, "--features", "sift", "--feature-channels", 6, "--json")
    assert made.code == 0, made.err
    assert 0.3 < made.json["metrics"]["features_explained"] < 1
    features = read_features(Path("bar.a4d/features/sift/00000.npz"))
    assert features.shape == (64, 64, 6)
    assert features.std((0, 1)).min() > 0.01
    assert record("bar.a4d")["weights"] == []
    assert a4d("validate", "bar.a4d").code == 0


def test_a_depth_map_is_given_as_picture_or_numbers_near_or_far(a4d, photo: Path) -> None:
    near = np.linspace(0.1, 0.9, 106)[None].repeat(128, 0)
    Image.fromarray(np.rint(near * 65535).astype(np.uint16)).save("near.png")
    np.save("far.npy", (7 - 3 * near).astype(np.float32))
    kept, asked = {}, ("preprocess", photo, "--size", 64, "--force", "--depth")
    for file, options in (("near.png", ()), ("far.npy", ("--depth-larger", "farther"))):
        assert a4d(*asked, file, *options).code == 0
        kept[file] = read_depth("bar.a4d/depth/00000.png")
    inside = read_image("bar.a4d/images/00000.png")[..., 3] == 1
    assert kept["near.png"][inside].max() < 0.9
    assert (kept["far.npy"][inside].min(), kept["far.npy"][inside].max()) == pytest.approx((0, 1), abs=0.02)
    assert np.corrcoef(kept["near.png"][inside], kept["far.npy"][inside])[0, 1] > 0.9999
    assert a4d("estimate-pose", "bar.a4d").code == 0
    (channel,) = load_frames(Workspace.open(Path("bar.a4d"))).channels["depth"]
    assert channel[..., 0].numpy() == pytest.approx(1 - kept["far.npy"]), "a channel is larger where farther"
    np.save("object.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save("flat.npy", np.ones(4))
    for file in ("object.npy", "flat.npy"):
        refused = a4d(*asked, file)
        assert (refused.code, len(refused.err.splitlines())) == (3, 1), refused.err
        assert file in refused.err


def test_flow_and_what_was_filmed_of_a_video(a4d) -> None:
    film = [Image.fromarray(np.rint(255 * picture(moment)).astype(np.uint8)) for moment in range(4)]
    film[0].save("bar.webp", save_all=True, append_images=film[1:], lossless=True, exact=True, duration=100)
    made = a4d("preprocess", "bar.webp", "--size", 128, "--flow", "dis", "--visibility", "--json")
    assert made.code == 0, made.err
    assert made.json["metrics"]["flow_valid"] > 0.9
    assert sorted(path.name for path in Path("bar.a4d/flow").iterdir()) == [
        "backward_1", "backward_2", "forward_1", "forward_2",
    ]  # fmt: skip
    scale = 128 / yaml.safe_load(Path("bar.a4d/workspace.yaml").read_text())["notes"]["crop"]["side"]
    for name, first, second in (("forward_2", 1, 3), ("backward_1", 2, 1)):
        flow = read_flow(Path(f"bar.a4d/flow/{name}/{first:05d}.npz"))
        true, shown = true_flow(first, second)
        known = flow[..., 2] > 0
        middle = np.median(flow[known, :2], axis=0)
        assert middle == pytest.approx(scale * np.median(true[shown], axis=0), abs=0.3)
    alpha = read_image("bar.a4d/images/00003.png")[..., 3]
    filmed = read_visibility(Path("bar.a4d/visibility/00003.png"))[..., 0]
    assert filmed[alpha > 0.5].min() == 1
    assert a4d("validate", "bar.a4d").code == 0
    Path("bar.a4d/flow/forward_1/00001.npz").write_bytes(b"no archive")
    assert "forward_1/00001.npz" in a4d("validate", "bar.a4d").out


def test_flow_by_a_network_that_is_named_and_recorded(a4d, tmp_path: Path) -> None:
    film = [Image.fromarray(np.rint(255 * picture(moment)).astype(np.uint8)) for moment in range(3)]
    film[0].save("bar.webp", save_all=True, append_images=film[1:], lossless=True, exact=True, duration=100)
    refused = a4d("preprocess", "bar.webp", "--size", 64, "--flow", "raft")
    assert (refused.code, len(refused.err.splitlines())) == (5, 1), refused.err
    folder = save_raft(tmp_path / "raft", steady_network(TINY_RAFT, (0.003, 0)))
    asked = ("--flow", "raft", "--set", "flow_strides=[1]", "--weights", f"raft={folder}")
    made = a4d("preprocess", "bar.webp", "--size", 64, *asked)
    assert made.code == 0, made.err
    flow = read_flow(Path("bar.a4d/flow/forward_1/00001.npz"))
    known = flow[..., 2] > 0
    assert known.mean() > 0.05
    np.testing.assert_allclose(flow[known][:, :2], np.tile([0.288, 0], (known.sum(), 1)), atol=2e-3)
    record = json.loads(Path("bar.a4d/stages/preprocess/record.json").read_text())
    assert [weights["id"] for weights in record["weights"]] == ["raft"]


def test_normals_and_followed_points_of_a_mesh_are_exact(a4d) -> None:
    trimesh.creation.icosphere(subdivisions=3).export("ball.glb")
    asked = ("--size", 64, "--views", 1, "--test-views", 1, "--lighting", "unlit", "--normal", "--tracks", 200)
    made = a4d("preprocess", "ball.glb", *asked)
    assert made.code == 0, made.err
    assert a4d("validate", "ball.a4d").code == 0
    frames = load_frames(Workspace.open(Path("ball.a4d")))
    tracks = read_tracks(Path("ball.a4d/tracks.npz"), len(frames))
    for index, camera in enumerate(frames.cameras):
        origins, directions = (rays[0] for rays in camera.rays())
        depth = frames.channels["depth"][index][..., 0]
        normal = read_normal(Path(f"ball.a4d/normal/{index:05d}.npz"))
        assert (np.linalg.norm(normal, axis=-1) > 0).tolist() == (depth > 0).tolist()
        points = (origins + directions * depth[..., None]).numpy()
        on_ball = (depth > 0).numpy()
        radial = points[on_ball] / np.linalg.norm(points[on_ball], axis=-1, keepdims=True)
        assert (normal[on_ball] * radial).sum(-1).min() > 0.99
        assert 0.2 < tracks.visible[index].mean() < 1 / 3 + 0.01, "a third of a ball is seen from three radii"
        for column, row in np.floor(tracks.points[index][tracks.visible[index]]).astype(int):
            assert on_ball[row, column]


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("a red ball", ("--flow", "dis"), "--flow applies to a source of kind image or"),
        ("bar.png", ("--flow", "dis"), "--flow is found between the frames of a film"),
        ("bar.png", ("--features", "sfit"), "Did you mean 'sift'?"),
        ("bar.png", ("--flow", "diss"), "Did you mean 'dis'?"),
        ("bar.png", ("--flow", "dinov2-small"), "is of kind features, not flow"),
        ("bar.png", ("--tracks", 5), "--tracks applies to a source of kind mesh"),
        ("bar.png", ("--normal",), "--normal applies to a source of kind mesh"),
        ("a red ball", ("--visibility",), "--visibility applies to a source of kind image or video"),
        ("bar.png", ("--depth-model", FEATURES), "is of kind features, not depth"),
        ("bar.png", ("--depth-model", "depth-anything"), "Did you mean"),
    ],
)
def test_what_a_source_cannot_have_is_refused(a4d, photo: Path, source: str, options: tuple, message: str) -> None:
    refused = a4d("preprocess", source, "--size", 64, *options)
    assert refused.code in (2, 3)
    assert message in refused.err
    assert not list(Path().glob("*.a4d"))


def test_a_record_that_is_older_than_a_setting_is_up_to_date(a4d, photo: Path) -> None:
    assert a4d("preprocess", photo, "--size", 64).code == 0
    file, newer = Path("bar.a4d/stages/preprocess/record.json"), set(ChannelSettings.model_fields)
    content = record("bar.a4d")
    content["config"] = {
        key: value
        for key, value in content["config"].items()
        if key not in newer | {"depth_larger", "normal", "tracks"}
    }
    file.write_text(json.dumps(content))
    assert a4d("preprocess", photo, "--size", 64, "--json").json["status"] == "up to date"
    assert "features: None -> 'dinov2-small'" in a4d("preprocess", photo, "--size", 64, "--features", FEATURES).err


def test_remedies_name_options_that_there_are() -> None:
    frames = Frames([], [], None, [], [])
    names = ("depth", "normal", "visibility", "tracks", "flow_forward_2", "features_dino")
    assert {name.partition("_")[0] for name in names} == set(MADE_BY)
    for name in names:
        with pytest.raises(MissingInputError) as caught:
            frames.require_channel(name)
        options = re.findall(r"--([a-z-]+)", str(caught.value.remedy))
        assert options
        assert {option.replace("-", "_") for option in options} <= set(STAGE.config.model_fields)
