"""A subject that is never seen grows on bones that were fitted to another, whose motion it keeps."""

import pytest
from hidden_subject import (
    Size,
    extracted,
    fitted,
    generated,
    known_subject,
    likeness,
    mean_turn,
    other_subject,
    unseen_chamfer,
)


def test_the_hidden_subject_begins_to_show_and_bones_keep_their_ways() -> None:
    size, hidden = Size(pixels=24, gaussians=400, steps=20), other_subject()
    fit = fitted(known_subject(), size)
    before = likeness(fit, hidden, size)
    scene, _ = generated(fit, hidden, size)
    after = likeness(scene, hidden, size)
    assert after.psnr > before.psnr + 2
    assert after.iou > before.iou + 0.02
    assert mean_turn(fit, scene) < 5


@pytest.mark.slow
def test_a_hidden_subject_is_found_in_its_motion() -> None:
    size, hidden = Size(), other_subject()
    fit = fitted(known_subject(), size)
    before = likeness(fit, hidden, size)
    scene, _ = generated(fit, hidden, size)
    after = likeness(scene, hidden, size)
    assert after.psnr >= before.psnr + 4
    assert after.iou >= before.iou + 0.1
    assert after.is_in_time
    assert mean_turn(fit, scene) <= 10
    # Without anything that holds them, bones turn more.
    free, _ = generated(fit, hidden, size, without=("bone-displacement", "skeleton-range"))
    assert mean_turn(fit, free) > mean_turn(fit, scene)


@pytest.mark.slow
def test_what_a_film_does_not_show_is_nearer_to_the_truth_with_a_prior() -> None:
    size, subject = Size(), known_subject()
    alone, asked = (unseen_chamfer(extracted(subject, size, is_asked), subject) for is_asked in (False, True))
    assert asked < 0.9 * alone
