"""What prompts are about: the rule that finds their leading noun phrases."""

import pytest

from a4d.priors.subjects import subjects


@pytest.mark.parametrize(
    ("prompt", "found"),
    [
        ("a chocolate cupcake", ["chocolate cupcake"]),
        ("a red robot with blue legs", ["red robot"]),
        ("A DSLR photo of the king of spades", ["king"]),
        ("a running dog", ["running dog"]),
        ("a panda eating bamboo", ["panda"]),
        ("a cake covered in sugar", ["cake"]),
        ("a red-haired girl is waving", ["red-haired girl"]),
        ("an old building, oil on canvas", ["old building"]),
        ("a <token:panda> that dances", ["<token:panda>"]),
        ("a black and white cat", ["black and white cat"]),
        ("a dog and a cat", ["dog", "cat"]),
        ("a dog, a cat and two birds", ["dog", "cat", "birds"]),
        ("flying", ["flying"]),
        ("with feathers", ["with feathers"]),
    ],
)
def test_a_prompt_is_about_its_leading_noun_phrases(prompt: str, found: list[str]) -> None:
    assert subjects(prompt) == found
