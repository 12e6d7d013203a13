"""Still meshes of a physically based material under a light: a shape that is given, or one that is learnt."""
