"""What only some kinds of scenes are or can do; whoever wants it of a scene asks for the protocol."""

from a4d.scenes.protocols.bones import Articulated, BoneRig, Embodied, LearntBones, Posable, Posed
from a4d.scenes.protocols.films import FEATURES, PLACE, Featured, Followable, Lensed, Repeating
from a4d.scenes.protocols.gaussians import Skinned, SkinnedGaussians, Splatting, SurfaceAttributes, SurfaceBound
from a4d.scenes.protocols.moving import Deforming, Followed, Moving, VaryingField, is_moving
from a4d.scenes.protocols.surfaces import AssetOptions, Baking, Coloured, Extracting, Meshed, Shaded, has_mesh

__all__ = [
    "FEATURES",
    "PLACE",
    "Articulated",
    "AssetOptions",
    "Baking",
    "BoneRig",
    "Coloured",
    "Deforming",
    "Embodied",
    "Extracting",
    "Featured",
    "Followable",
    "Followed",
    "LearntBones",
    "Lensed",
    "Meshed",
    "Moving",
    "Posable",
    "Posed",
    "Repeating",
    "Shaded",
    "Skinned",
    "SkinnedGaussians",
    "Splatting",
    "SurfaceAttributes",
    "SurfaceBound",
    "VaryingField",
    "has_mesh",
    "is_moving",
]
