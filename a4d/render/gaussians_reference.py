"""The rules of Gaussian splatting in plain torch: the specification that every other backend is held to.

- A Gaussian is projected by the affine approximation at its centre (EWA; Zwicker et al. 2001), taken no further out
  than 0.15 image widths beyond the border; 0.3 square pixels, or `dilations`, are added to its screen variances.
- It is skipped if its centre is nearer than 0.01 m, if a number it is drawn from is not finite, if its quaternion
  has no length, or if it reaches more than 1e9 pixels.
- Its alpha at a pixel centre is at most 0.999; where it is below 1/255 the Gaussian does not touch the pixel.
- Gaussians are blended by the depth of their centres, equal ones in their order. A pixel ends, for good, before the
  Gaussian that would leave it with a transmittance of 1e-4 or less.
- Colour is `max(0, 0.5 + SH)` along the direction from the camera, with the signs and the order of the 3DGS files.
- Depth is the mean of the centres' depths by weight, and 0 where alpha is 0.
- Normals are the shortest axes, turned toward the camera, summed by weight. So are signals, whatever they are:
  features, flow, bone weights, positions. All are blended together, by weights that are computed once.

Each pixel meets each Gaussian, so time and memory grow with their product; it works in float64 and on any device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from a4d.geometry.cameras import Cameras
from a4d.geometry.gaussians import Gaussians
from a4d.geometry.spherical_harmonics import sh_basis
from a4d.geometry.transforms import rotation_from_quaternion, transform_points
from a4d.render.render import Render

NEAR_DEPTH = 0.01
"""Metres; a Gaussian whose centre is nearer is skipped."""
DILATION = 0.3
"""Square pixels added to both screen variances unless told otherwise, so that no splat slips between pixel centres."""
FRUSTUM_MARGIN = 0.15
"""Image widths beyond the border at which the projection is linearised for centres that lie further out."""
ALPHA_MAX = 0.999
ALPHA_MIN = 1 / 255
"""A Gaussian does not touch pixels where its alpha is lower."""
TRANSMITTANCE_MIN = 1e-4
"""A pixel ends before the Gaussian that would leave it at or below this."""
REACH_MAX = 1e9
"""Pixels; a splat whose centre or extent is further out than single precision can resolve is skipped."""

SIGNALS = "signals"
"""The channel that backends return all signals in, side by side."""


@dataclass(frozen=True)
class Splats:
    """V Gaussians as one camera sees them, front to back.

    Args:
        indices: (V,) int64 into the Gaussians they come from.
        means: (V, 2) pixels.
        inverse_covariances: (V, 3) the xx, xy and yy entries, per square pixel.
        extents: (V, 2) half width and half height in pixels of the box outside which alpha is below `ALPHA_MIN`.
        opacities: (V,).
        depths: (V,) metres along the viewing axis.
        colours: (V, 3) sRGB, not negative.
    """

    indices: Tensor
    means: Tensor
    inverse_covariances: Tensor
    extents: Tensor
    opacities: Tensor
    depths: Tensor
    colours: Tensor

    def __getitem__(self, index: Tensor) -> Splats:
        return Splats(**{name: value[index] for name, value in vars(self).items()})


def render(
    gaussians: Gaussians,
    cameras: Cameras,
    background: Tensor,  # (B, 3) sRGB
    signals: Tensor | None,  # (B, N, C)
    sh_degree: int,
    screen_probe: Tensor | None,  # (B, N, 2) pixels
    dilations: Tensor,  # (B,) square pixels
) -> Render:
    """The backend `reference` of `a4d.render.gaussians.render_gaussians`, where the arguments are described."""
    views = []
    for view in range(len(cameras)):
        probe = None if screen_probe is None else screen_probe[view]
        splats = project(gaussians, cameras[view], sh_degree, probe, float(dilations[view]))
        features = [splats.colours, splats.depths[:, None]]
        if signals is not None:
            features.append(signals[view][splats.indices])
        blended, transmittance = composite(splats, torch.cat(features, dim=-1), pixel_centres(cameras, splats.means))
        image = blended.unflatten(0, (cameras.height, cameras.width))
        alpha = 1 - transmittance.view(cameras.height, cameras.width, 1)
        rgb = image[..., :3] + (1 - alpha) * background[view]
        depth = image[..., 3:4] / torch.where(alpha > 0, alpha, 1)
        visible = torch.zeros(len(gaussians), dtype=torch.bool, device=rgb.device).index_fill(0, splats.indices, True)
        views.append((rgb, alpha, depth, image[..., 4:], visible))
    rgb, alpha, depth, blended, visible = (torch.stack(parts) for parts in zip(*views, strict=True))
    return Render(rgb, alpha, depth, {} if signals is None else {SIGNALS: blended}, visible)


def project(
    gaussians: Gaussians,
    camera: Cameras,
    sh_degree: int,
    screen_probe: Tensor | None = None,
    dilation: float = DILATION,
) -> Splats:
    """What one camera sees of the Gaussians: the EWA projection (Zwicker et al. 2001, section 5) and their colours.

    Args:
        gaussians: N Gaussians.
        camera: one camera.
        sh_degree: highest degree of the spherical harmonics that are evaluated.
        screen_probe: (N, 2) pixels, added to the projected means.
        dilation: square pixels, added to both screen variances.

    Returns:
        V splats sorted by depth; equal depths keep the order of the Gaussians.
    """
    indices = is_valid(gaussians, sh_degree).nonzero().squeeze(1)
    with torch.no_grad():
        splats = _splats(gaussians, indices, camera, sh_degree, screen_probe, dilation)
        size = splats.means.new_tensor([camera.width, camera.height])
        is_inside = ((splats.means + splats.extents > 0) & (splats.means - splats.extents < size)).all(-1)
        is_resolved = (torch.cat([splats.means.abs(), splats.extents], dim=-1) < REACH_MAX).all(-1)
        is_opaque = (splats.depths >= NEAR_DEPTH) & (splats.opacities >= ALPHA_MIN)
        is_visible = is_opaque & is_inside & is_resolved & splats.colours.isfinite().all(-1)
    order = splats.depths[is_visible].argsort(stable=True)
    return _splats(gaussians, indices[is_visible][order], camera, sh_degree, screen_probe, dilation)


def _splats(
    gaussians: Gaussians,
    indices: Tensor,
    camera: Cameras,
    sh_degree: int,
    screen_probe: Tensor | None,
    dilation: float,
) -> Splats:
    """The projection of the Gaussians of some indices, whether or not they are visible."""
    camera_from_world = camera.camera_from_world[0].to(gaussians.means)
    focal, centre = camera.intrinsics[0].to(gaussians.means).split(2)
    size = gaussians.means.new_tensor([camera.width, camera.height])
    gaussians = gaussians[indices]

    in_camera = transform_points(camera_from_world, gaussians.means)
    tangents = in_camera[:, :2] / in_camera[:, 2:]
    means = tangents * focal + centre
    if screen_probe is not None:
        means = means + screen_probe[indices]

    margin = FRUSTUM_MARGIN * size / focal
    lower, upper = -centre / focal - margin, (size - centre) / focal + margin
    clamped = torch.minimum(torch.maximum(tangents, lower), upper)
    diagonal = torch.diag_embed(focal.expand_as(clamped))
    jacobian = torch.cat([diagonal, -(focal * clamped)[..., None]], dim=-1) / in_camera[:, 2, None, None]
    axes = rotation_from_quaternion(gaussians.quaternions) * gaussians.scales[:, None, :]
    x, y = (jacobian @ camera_from_world[:3, :3] @ axes).unbind(1)
    xx, xy, yy = (x * x).sum(-1), (x * y).sum(-1), (y * y).sum(-1)
    # The determinant of the dilated covariance as a sum of squares, which no rounding makes negative.
    determinants = torch.linalg.cross(x, y).square().sum(-1) + dilation * (xx + yy) + dilation**2
    xx, yy = xx + dilation, yy + dilation
    inverse_covariances = torch.stack([yy, -xy, xx], dim=-1) / determinants[:, None]
    squared_reach = 2 * (gaussians.opacities.detach() / ALPHA_MIN).log().clamp(min=0)
    extents = (squared_reach[:, None] * torch.stack([xx, yy], dim=-1).detach()).sqrt()

    offsets = gaussians.means - camera.positions[0].to(gaussians.means)
    colours = view_dependent_colours(gaussians.sh, offsets, sh_degree)
    return Splats(indices, means, inverse_covariances, extents, gaussians.opacities, in_camera[:, 2], colours)


def composite(splats: Splats, features: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Blend features front to back (Kerbl et al. 2023, equation 3).

    Args:
        splats: V splats, front to back.
        features: (V, C).
        pixels: (P, 2) coordinates of pixel centres.

    Returns:
        (P, C) features weighted by alpha and transmittance; (P,) transmittance behind the last splat.
    """
    x, y = (pixels[:, None] - splats.means[None]).unbind(-1)
    xx, xy, yy = splats.inverse_covariances.unbind(-1)
    falloff = 0.5 * (xx * x * x + yy * y * y) + xy * x * y
    alphas = (splats.opacities * (-falloff).exp()).clamp(max=ALPHA_MAX)
    alphas = torch.where(alphas >= ALPHA_MIN, alphas, 0)
    # The transmittance never rises, so all splats behind the one that ends a pixel fail this test as well.
    alphas = torch.where((1 - alphas.detach()).cumprod(dim=1) > TRANSMITTANCE_MIN, alphas, 0)
    transmittances = (1 - alphas).cumprod(dim=1)
    before = torch.cat([torch.ones_like(pixels[:, :1]), transmittances], dim=1)
    return (alphas * before[:, :-1]) @ features, before[:, -1]


def is_valid(gaussians: Gaussians, sh_degree: int) -> Tensor:
    """(N,) whether all numbers that a Gaussian is drawn from are finite and its quaternion has a direction."""
    rows = [gaussians.means, gaussians.quaternions, gaussians.scales, gaussians.opacities[:, None]]
    rows.append(gaussians.sh[:, : (sh_degree + 1) ** 2].flatten(1))
    is_finite = torch.cat([row.detach() for row in rows], dim=1).isfinite().all(dim=1)
    return is_finite & (gaussians.quaternions.detach().norm(dim=-1) > 1e-12)


def transparent_where_invalid(gaussians: Gaussians, sh_degree: int) -> Gaussians:
    """The same Gaussians with zero opacity, and no gradient, for those that `is_valid` refuses."""
    valid = is_valid(gaussians, sh_degree)
    identity = gaussians.quaternions.new_tensor([1.0, 0.0, 0.0, 0.0])
    return replace(
        gaussians,
        means=gaussians.means.where(valid[:, None], 0),
        quaternions=gaussians.quaternions.where(valid[:, None], identity),
        log_scales=gaussians.log_scales.where(valid[:, None], 0),
        opacity_logits=gaussians.opacity_logits.where(valid, -math.inf),
        sh=gaussians.sh.where(valid[:, None, None], 0),
    )


def pixel_centres(cameras: Cameras, like: Tensor) -> Tensor:
    """(H * W, 2) x and y of all pixel centres, in the type and on the device of another tensor."""
    y, x = torch.meshgrid(torch.arange(cameras.height), torch.arange(cameras.width), indexing="ij")
    return torch.stack([x, y], dim=-1).flatten(0, 1).to(like) + 0.5


def view_dependent_colours(sh: Tensor, offsets: Tensor, degree: int) -> Tensor:
    """Colours of spherical-harmonic coefficients seen along given directions (Kerbl et al. 2023, section 4).

    Args:
        sh: (N, K, 3) coefficients.
        offsets: (N, 3) from the camera to the Gaussians, any length.
        degree: highest degree that is evaluated.

    Returns:
        (N, 3) sRGB, not negative.
    """
    basis = sh_basis(torch.nn.functional.normalize(offsets, dim=-1), degree)
    return ((basis[..., None] * sh[:, : basis.shape[1]]).sum(dim=1) + 0.5).clamp(min=0)
