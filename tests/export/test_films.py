from dataclasses import replace

import numpy as np
import pytest
import torch
from waving import Waving

from a4d.errors import QualityError
from a4d.export import films
from a4d.export.films import Shot, pictures, write_film, write_pictures
from a4d.export.given_asset import GivenAsset
from a4d.export.moments import Moments
from a4d.export.subject import Subject
from a4d.geometry.assets.assembly import primitive_from_mesh, static_asset
from a4d.geometry.assets.material import Material
from a4d.geometry.primitives import icosphere
from a4d.io.films.video import read_video
from a4d.randomness import generator
from a4d.scenes.gaussian_motion.scene import GaussianMotionScene
from a4d.scenes.seed import Seed

SHOT = Shot(frames=6, size=48)
SUBJECT = Subject("ring", Waving(), None, Moments((0.0, 0.25, 0.5, 1.0), 0.1))


def test_a_turn_goes_around_and_a_sweep_stays():
    turn, sweep = (list(pictures(film, SUBJECT, SHOT)) for film in ("turntable", "sweep"))
    assert (len(turn), len(sweep)) == (6, 4)
    np.testing.assert_allclose(turn[0], sweep[0], atol=1e-5)
    # The ring looks the same from opposite sides but for its colours; from its edge it covers little.
    assert abs(turn[0][..., 3].mean() - turn[3][..., 3].mean()) < 0.02
    assert np.abs(turn[0] - turn[3]).mean() > 0.02
    assert np.abs(sweep[0] - sweep[1]).mean() > 0.01


def test_a_grid_shows_four_sides_at_once():
    grid = list(pictures("grid", SUBJECT, SHOT))
    for side, corner in enumerate([(0, 0), (0, 24), (24, 0), (24, 24)]):
        alone = list(pictures("sweep", SUBJECT, Shot(size=24, azimuth=90.0 * side)))
        for frame in (0, 2):
            part = grid[frame][corner[0] : corner[0] + 24, corner[1] : corner[1] + 24]
            np.testing.assert_allclose(part, alone[frame], atol=1e-5)


def test_an_orbit_goes_around_while_the_clip_plays_again_and_again():
    orbit, turn = (list(pictures(film, SUBJECT, SHOT)) for film in ("orbit", "turntable"))
    assert len(orbit) == 6
    for frame in (0, 4):
        np.testing.assert_allclose(orbit[frame], turn[frame], atol=1e-5)
    for frame in (1, 5):
        seen = list(pictures("sweep", SUBJECT, Shot(size=48, azimuth=60.0 * frame)))
        np.testing.assert_allclose(orbit[frame], seen[1], atol=1e-5)
    looping = replace(SUBJECT, moments=replace(SUBJECT.moments, is_periodic=True))
    # The last moment is the first again, and is not shown twice.
    np.testing.assert_allclose(list(pictures("orbit", looping, SHOT))[3], turn[3], atol=1e-5)


@pytest.mark.parametrize("suffix", [".mp4", ".gif", ".webp"])
def test_films_have_the_clip_s_rate(tmp_path, suffix):
    assert write_film(tmp_path / f"ring{suffix}", "grid", SUBJECT, SHOT) == {"grid_frames": 4}
    video = read_video(tmp_path / f"ring{suffix}")
    assert video.fps == pytest.approx(10, rel=0.01)
    assert [frame.shape[:2] for frame in video.frames] == [(48, 48)] * 4


def test_a_clip_that_repeats_is_shown_again_until_there_is_something_to_see(tmp_path):
    looping = Subject("ring", Waving(), None, Moments((0.0, 0.25, 0.5, 1.0), 0.25, is_periodic=True))
    assert write_film(tmp_path / "ring.mp4", "sweep", looping, SHOT) == {"sweep_frames": 12}
    frames = [frame.astype(float) for frame in read_video(tmp_path / "ring.mp4").frames]
    assert len(frames) == 12
    # The last moment is the first again, and is not shown twice.
    assert np.abs(frames[3] - frames[0]).mean() < 0.3 * np.abs(frames[1] - frames[0]).mean()


def test_a_moving_surface_is_filmed_with_its_materials_and_stays_in_the_picture():
    red = Material(base_colour=(1.0, 0.0, 0.0, 1.0), is_unlit=True)
    spec = {"kind": "gaussian_motion", "count": 50, "motion": {"kind": "nodes", "nodes": 4, "keys": 2}}
    seed = Seed(asset=static_asset("ball", primitive_from_mesh(icosphere(0.4)), red))
    scene = GaussianMotionScene.begin(spec, seed, generator(0, "begin"))
    with torch.no_grad():
        for shifts in scene.motion.shifts:
            shifts[..., 1] = 0.6
    subject = Subject("ball", scene, None, Moments((0.0, 1.0), 0.1))
    first, last = pictures("sweep", subject, SHOT)
    for picture, rows in ((first, slice(24, 48)), (last, slice(0, 24))):
        seen = picture[..., 3] > 0.5
        assert seen[rows].sum() > 0.9 * seen.sum()
        assert not seen[[0, -1]].any()
        red, green, blue = picture[seen][:, :3].mean(0)
        assert red > 0.5 > 0.05 > max(green, blue)


def test_a_film_that_lost_a_frame_is_refused(tmp_path, monkeypatch):
    write = films.write_video
    monkeypatch.setattr(films, "write_video", lambda path, frames, *rest: write(path, list(frames)[1:], *rest))
    with pytest.raises(QualityError, match="5 of 6 frames"):
        write_film(tmp_path / "ring.mp4", "turntable", SUBJECT, SHOT)


def test_pictures_of_a_given_asset_show_its_materials(tmp_path):
    red = Material(base_colour=(1.0, 0.0, 0.0, 1.0), is_unlit=True)
    asset = static_asset("ball", primitive_from_mesh(icosphere()), red)
    subject = Subject("ball", None, GivenAsset(asset, asset))
    assert write_pictures(tmp_path, "turntable", subject, SHOT) == {"turntable_pictures": 6}
    picture = next(pictures("turntable", subject, SHOT))
    assert picture[24, 24, 0] > picture[24, 24, 1] + 0.2
    assert picture[0, 0, 3] == 0
    covered = float(torch.tensor(picture[..., 3]).mean())
    assert 0.55 < covered < 0.8
