"""Finding a person in pictures: where the joints are, and which pixels show the body."""
