"""From parts, light and a camera to pixels and to what lies under each pixel; stands on Mitsuba 3."""

from __future__ import annotations

from dataclasses import dataclass

import mitsuba as mi
import numpy as np
from camera import Camera
from denoise import smoothed
from mesh import Array, Part, joined, normals
from scipy.ndimage import gaussian_filter


@dataclass(frozen=True)
class Prop:
    """A part of the scene; ``texture`` [h, w, 3] (sRGB in [0, 1]) is laid over its places, if given."""

    part: Part
    texture: Array | None = None


@dataclass(frozen=True)
class Haze:
    """What the air (or water) adds with distance: its colour (linear) and how fast."""

    colour: Array
    density: float


@dataclass(frozen=True)
class Scene:
    """The thing, what is around it, the sky [h, w, 3] (linear radiance, z up) and the haze."""

    thing: list[Part]
    props: list[Prop]
    sky: Array
    haze: Haze | None = None


def choose_variant(asked: str | None = None) -> str:
    """The variant asked for; else Mitsuba's fast one where LLVM is found, else the plain one."""
    for name in [asked] if asked else ["llvm_ad_rgb", "scalar_rgb"]:
        try:
            mi.set_variant(name)
        except (ImportError, RuntimeError):
            continue
        return name
    raise SystemExit(f"Mitsuba cannot use {asked or 'llvm_ad_rgb or scalar_rgb'} here")


def linear(colour: Array) -> Array:
    """sRGB in [0, 1] to linear."""
    colour = np.clip(colour, 0, 1)
    return np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)


def render(scene: Scene, camera: Camera, samples: int, oversampling: float, seed: int) -> Array:
    """Linear radiance [h, w, 3] float32 at ``oversampling`` times the camera's size."""
    width, height = round(camera.width * oversampling), round(camera.height * oversampling)
    pieces = _gathered([*(Prop(part) for part in scene.thing), *scene.props])
    description = {
        "type": "scene",
        "sensor": _sensor(camera, width, height, samples),
        "sky": {
            "type": "envmap",
            "bitmap": mi.Bitmap(np.ascontiguousarray(scene.sky, np.float32)),
            "to_world": mi.ScalarTransform4f().rotate([1, 0, 0], 90),
        },
        **{f"mesh{index:03d}": _mesh(prop, index) for index, prop in enumerate(pieces)},
    }
    loaded = mi.load_dict(description)
    # One integrator for both would trace every path twice.
    light = mi.load_dict({"type": "path", "max_depth": 5})
    guide = mi.load_dict({"type": "aov", "aovs": "albedo:albedo,normal:sh_normal,depth:depth"})
    pixels = _mended(np.array(light.render(loaded, seed=seed)))
    guides = _mended(np.array(guide.render(loaded, seed=seed, spp=3 * samples)))
    pixels = smoothed(pixels, guides[..., :3], guides[..., 3:6], guides[..., 6])
    if scene.haze:
        # Where nothing is met the depth is 0: the haze is full there.
        depth = np.where(guides[..., 6:] > 0, guides[..., 6:], np.inf)
        clear = np.exp(-scene.haze.density * np.clip(depth - 0.9 * camera.focus, 0, 40))
        pixels = pixels * clear + scene.haze.colour * (1 - clear)
    return np.asarray(pixels, np.float32)


def _mended(layers: Array) -> Array:
    """Pixels in which a path went astray (no finite number) get what is around them."""
    good = np.isfinite(layers).all(-1, keepdims=True).astype(np.float32)
    kept = np.where(good > 0, layers, 0)
    spread = gaussian_filter(kept, (1, 1, 0)) / np.maximum(gaussian_filter(good, (1, 1, 0)), 1e-6)
    return np.asarray(np.where(good > 0, layers, spread))


def _gathered(props: list[Prop]) -> list[Prop]:
    """The same surfaces in fewer meshes: those of one finish and without texture together."""
    groups: dict[object, list[Part]] = {}
    for prop in props:
        if prop.texture is None and not prop.part.finish.glow:
            groups.setdefault(prop.part.finish, []).append(prop.part)
    alone = [prop for prop in props if prop.texture is not None or prop.part.finish.glow]
    return [*alone, *(Prop(joined(None, parts, finish)) for finish, parts in groups.items())]  # type: ignore[arg-type]


def _sensor(camera: Camera, width: int, height: int, samples: int) -> dict[str, object]:
    # Mitsuba's image x runs along the camera's left: its look_at takes care of that.
    return {
        "type": "thinlens" if camera.aperture else "perspective",
        **({"aperture_radius": camera.aperture, "focus_distance": camera.focus} if camera.aperture else {}),
        "fov": camera.field,
        "fov_axis": "x",
        "to_world": mi.ScalarTransform4f().look_at(
            *(list(map(float, at)) for at in (camera.origin, camera.target, camera.up))
        ),
        "film": {
            "type": "hdrfilm",
            "width": width,
            "height": height,
            "pixel_format": "rgb",
            "rfilter": {"type": "box"},
        },
        "sampler": {"type": "independent", "sample_count": samples},
    }


def _mesh(prop: Prop, index: int) -> mi.Mesh:
    part, finish = prop.part, prop.part.finish
    paint: dict[str, object] = {"type": "mesh_attribute", "name": "vertex_color"}
    if prop.texture is not None:
        pixels = linear(prop.texture).astype(np.float32)
        paint = {"type": "bitmap", "bitmap": mi.Bitmap(np.ascontiguousarray(pixels)), "raw": True}
    properties = mi.Properties()
    properties["bsdf"] = mi.load_dict(
        {
            "type": "twosided",
            "bsdf": {
                "type": "principled",
                "base_color": paint,
                "roughness": finish.roughness,
                "specular": finish.specular,
                "metallic": finish.metallic,
                "clearcoat": finish.clearcoat,
                "clearcoat_gloss": 0.9,
            },
        }
    )
    if finish.glow:
        glow = linear(np.broadcast_to(part.colour, part.vertices.shape)[0]) * finish.glow
        light = {"type": "area", "radiance": {"type": "rgb", "value": [float(x) for x in glow]}}
        properties["emitter"] = mi.load_dict(light)
    mesh = mi.Mesh(f"mesh{index:03d}", len(part.vertices), len(part.faces), properties, True, True)
    colours = linear(np.broadcast_to(part.colour, part.vertices.shape))
    mesh.add_attribute("vertex_color", 3, colours.astype(np.float32).ravel())
    values = mi.traverse(mesh)
    values["vertex_positions"] = part.vertices.astype(np.float32).ravel()
    values["vertex_normals"] = normals(part).astype(np.float32).ravel()
    values["vertex_texcoords"] = part.place.astype(np.float32).ravel()
    values["faces"] = part.faces.astype(np.uint32).ravel()
    values.update()
    return mesh


@dataclass(frozen=True)
class Hits:
    """What rays [n] met first: distance (inf for nothing), the part's number (-1), its nearest vertex."""

    distance: Array
    part: Array
    vertex: Array


class Caster:
    """Casts rays at the geometry of a scene; parts are numbered as thing, then props."""

    def __init__(self, scene: Scene) -> None:
        parts = [*scene.thing, *(prop.part for prop in scene.props)]
        self._first_vertex = np.cumsum([0, *(len(part.vertices) for part in parts)])
        first_face = np.cumsum([0, *(len(part.faces) for part in parts)])
        self._faces = np.concatenate(
            [part.faces + start for part, start in zip(parts, self._first_vertex, strict=False)]
        )
        self._owner = np.repeat(np.arange(len(parts)), np.diff(first_face))
        vertices = np.concatenate([part.vertices for part in parts])
        mesh = mi.Mesh("all", len(vertices), len(self._faces))
        values = mi.traverse(mesh)
        values["vertex_positions"] = vertices.astype(np.float32).ravel()
        values["faces"] = self._faces.astype(np.uint32).ravel()
        values.update()
        self._scene = mi.load_dict({"type": "scene", "mesh": mesh})

    def cast(self, origin: Array, directions: Array) -> Hits:
        """The first hits of rays from one origin [3] along unit directions [n, 3]."""
        if mi.variant().startswith("scalar"):
            found = [self._preliminary(origin, direction) for direction in directions]
            distance, face, u, v = (np.array(column) for column in zip(*found, strict=True))
        else:
            distance, face, u, v = self._preliminary(origin, directions.T)
        met = np.isfinite(distance)
        face = np.where(met, face, 0).astype(np.int64)
        corner = np.argmax(np.stack([1 - u - v, u, v], -1), -1)
        owner = self._owner[face]
        vertex = self._faces[face, corner] - self._first_vertex[owner]
        return Hits(np.where(met, distance, np.inf), np.where(met, owner, -1), vertex)

    def _preliminary(self, origin: Array, direction: Array) -> tuple[Array, Array, Array, Array]:
        start, along = mi.Point3f(*origin.tolist()), mi.Vector3f(*np.ascontiguousarray(direction, np.float32))
        hit = self._scene.ray_intersect_preliminary(mi.Ray3f(start, along))
        u, v = hit.prim_uv
        return tuple(np.array(x) for x in (hit.t, hit.prim_index, u, v))  # type: ignore[return-value]
