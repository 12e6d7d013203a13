"""CLIP's view of a turn around a scene: where its cameras stand, and what the figures are of what it finds."""

import pytest
import torch

from a4d.evaluation.table import scores_by_judge, table_of
from a4d.evaluation.turntable import SIZE, VIEWS, turntable_figures
from a4d.geometry.primitives import box
from a4d.randomness import generator
from a4d.scenes.meshes.fixed_mesh import FixedMeshScene
from a4d.scenes.seed import Seed


class Witness:
    """A CLIP that keeps what it is shown, and finds one text in the first half of the turn and another in the rest."""

    def images(self, rgb: torch.Tensor) -> torch.Tensor:
        self.seen = rgb
        is_first = (torch.arange(len(rgb)) < len(rgb) / 2).float()
        return torch.stack([is_first, 1 - is_first], dim=1)

    def texts(self, texts: tuple[str, ...]) -> torch.Tensor:
        return torch.stack([torch.tensor({"own": [0.6, 0.2], "other": [0.1, 0.9]}[text]) for text in texts])


def test_a_turn_shows_the_whole_subject_from_all_sides_wherever_it_stands() -> None:
    bar = box((0.4, 0.8, 1.6))
    spec = {
        "kind": "fixed_mesh",
        "shading": "albedo",
        "material": {"encoding": {"levels": 2, "table": 512, "base_resolution": 4, "finest_resolution": 8}},
    }
    seed = Seed(mesh=bar.with_vertices(bar.vertices + torch.tensor([3.0, 1.0, -2.0])))
    scene, witness = FixedMeshScene.begin(spec, seed, generator(0, "begin")), Witness()
    assert turntable_figures(scene, witness, ("own",)) == {"clip_score": pytest.approx(40.0)}
    assert witness.seen.shape == (VIEWS, SIZE, SIZE, 3)
    covered = (witness.seen < 0.9).any(-1)
    edge = torch.cat([covered[:, 0], covered[:, -1], covered[:, :, 0], covered[:, :, -1]], dim=1)
    assert not edge.any()
    widths = covered.any(1).sum(-1)
    # From the side it is about four times as wide as from the front, and fills the picture.
    assert widths[VIEWS // 4] > 0.6 * SIZE
    assert widths[VIEWS // 4] > 3 * widths[0]
    over_black = turntable_figures(scene, witness, ("own", "other"), background=0.0)
    assert over_black == {"clip_score": pytest.approx(40.0), "clip_r": 0.5}
    assert float(witness.seen[:, 0, 0].max()) == 0.0


def test_scores_stand_in_a_row_per_text_and_a_column_per_judge() -> None:
    found = [("a fox", "b-32", 31.0), ("a fox", "l-14", 25.0), ("a cup", "b-32", 29.0)]
    results = [{"text": text, "clip_model": judge, "clip_score": score, "views": 24} for text, judge, score in found]
    rows = table_of(scores_by_judge(results), ["b-32", "l-14"])
    assert rows == [["a fox", "31", "25"], ["a cup", "29", ""], ["mean", "30", "25"]]
