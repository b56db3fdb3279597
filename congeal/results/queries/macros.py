"""Ready-made SQL over the published tables: views that join them, macros that say where a point is.

Between the lattice's points a macro fits the affine map that explains its neighbours best (moving least
squares, Schaefer, McPhail and Warren 2006): exact where the alignment is affine, a fraction of a lattice cell
elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from congeal.transfer.points import VISIBLE

NEIGHBOURS = 12  # points of the source image that say where in the atlas a pixel lies
REACH = 3.0  # how far, in cells of the lattice, a point takes part
RIDGE = 1e-4  # keeps the fit sober where points lie on a line

VIEWS = ("members", "landmarks")
_VIEWS = """
CREATE VIEW members AS
SELECT a.cluster_id, a.image_id, i.uri, i.width, i.height, a.* EXCLUDE (cluster_id, image_id)
FROM alignments a JOIN images i ON i.image_id = a.image_id AND i.status = 'ok';

CREATE VIEW landmarks AS
SELECT c.cluster_id, c.point_id, c.u, c.v, c.image_id, i.uri, i.width, i.height, c.x, c.y, c.confidence,
    c.visible, c.instance_id
FROM correspondences c JOIN images i ON i.image_id = c.image_id AND i.status = 'ok';

CREATE MACRO find_image(image) AS TABLE
SELECT f.image_id, f.uri, f.status, f.error, f.cluster_id, f.width, f.height
FROM (
    SELECT i.*, 0 AS rank FROM images i WHERE i.uri = image
    UNION ALL
    SELECT i.*, 1 AS rank FROM images i WHERE i.image_id = image
) f
ORDER BY f.rank, f.status <> 'ok', f.uri LIMIT 1;

CREATE MACRO require_image(image) AS TABLE
SELECT CASE
        WHEN f.uri IS NULL
        THEN error('There is no image ' || image || ': give an image id or a path relative to the source.')
        WHEN f.cluster_id IS NULL
        THEN error('The image ' || image || ' belongs to no cluster: where its points are is not known.')
        ELSE f.image_id END AS image_id,
    f.uri, f.cluster_id
FROM (SELECT 1) one LEFT JOIN find_image(image) f ON true;
"""

# The value, where is asked, of the affine map that fits `{rows}` best: one row an instance. dx, dy are the
# neighbours' offsets from where is asked, s, t where they are in the target; w weighs them.
_FIT = """
    SELECT q.image_id, q.instance_id, q.total, q.around,
        q.ms - (q.mx * (q.vy * q.xs - q.xy * q.ys) + q.my * (q.vx * q.ys - q.xy * q.xs)) / q.det AS s,
        q.mt - (q.mx * (q.vy * q.xt - q.xy * q.yt) + q.my * (q.vx * q.yt - q.xy * q.xt)) / q.det AS t
    FROM (
        SELECT p.*, p.xx + p.soft AS vx, p.yy + p.soft AS vy,
            (p.xx + p.soft) * (p.yy + p.soft) - p.xy * p.xy AS det
        FROM (
            SELECT o.*, {ridge} * (o.xx + o.yy) + 1e-30 AS soft
            FROM (
                SELECT m.image_id, m.instance_id, m.total, m.around, m.mx, m.my, m.ms, m.mt,
                    m.xx - m.mx * m.mx AS xx, m.yy - m.my * m.my AS yy, m.xy - m.mx * m.my AS xy,
                    m.xs - m.mx * m.ms AS xs, m.ys - m.my * m.ms AS ys,
                    m.xt - m.mx * m.mt AS xt, m.yt - m.my * m.mt AS yt
                FROM (
                    SELECT n.image_id, n.instance_id, sum(n.w) AS total, sum(n.near) AS around,
                        sum(n.w * n.dx) / sum(n.w) AS mx, sum(n.w * n.dy) / sum(n.w) AS my,
                        sum(n.w * n.s) / sum(n.w) AS ms, sum(n.w * n.t) / sum(n.w) AS mt,
                        sum(n.w * n.dx * n.dx) / sum(n.w) AS xx, sum(n.w * n.dy * n.dy) / sum(n.w) AS yy,
                        sum(n.w * n.dx * n.dy) / sum(n.w) AS xy,
                        sum(n.w * n.dx * n.s) / sum(n.w) AS xs, sum(n.w * n.dy * n.s) / sum(n.w) AS ys,
                        sum(n.w * n.dx * n.t) / sum(n.w) AS xt, sum(n.w * n.dy * n.t) / sum(n.w) AS yt
                    FROM {rows} n GROUP BY n.image_id, n.instance_id HAVING sum(n.w) > 0
                ) m
            ) o
        ) p
    ) q
"""

# Both macros end with neighbours(image_id, instance_id, dx, dy, s, t, near, w) of every target. near: weight
# by distance in the atlas alone; w: that, times how sure the point is. Where the lattice is full all around,
# `near` adds up to 2 pi; at an edge to half of it, and off the object to less: nothing there could
# correspond. What a pixel lies on is the instance with the nearest point that is seen.
_ANSWER = """
    SELECT a.image_id, a.uri, a.x, a.y, a.confidence, a.confidence >= {visible} AS visible, a.instance_id
    FROM (
        SELECT f.image_id, f.instance_id, i.uri, f.s AS x, f.t AS y,
            CASE WHEN f.s BETWEEN -0.5 AND i.width - 0.5 AND f.t BETWEEN -0.5 AND i.height - 0.5
                THEN f.total / f.around * least(1, f.around / pi()) ELSE 0 END AS confidence
        FROM ({fit}) f JOIN images i ON i.image_id = f.image_id AND i.status = 'ok'
    ) a
"""

_MACROS = """
CREATE MACRO landmark(cluster_id, point_id) AS TABLE
    WITH found AS MATERIALIZED (
        SELECT c.* FROM correspondences c
        WHERE c.cluster_id = cluster_id AND c.point_id = point_id
    )
    SELECT f.image_id, i.uri, f.x, f.y, f.confidence, f.visible, coalesce(f.instance_id, 0) AS instance_id
    FROM found f JOIN images i ON i.image_id = f.image_id WHERE i.status = 'ok',
(cluster_id, u, v) AS TABLE
    WITH neighbours AS (
        SELECT k.*, k.near * k.confidence AS w
        FROM (
            SELECT c.image_id, coalesce(c.instance_id, 0) AS instance_id, c.u - u AS dx, c.v - v AS dy,
                c.x AS s, c.y AS t, c.confidence,
                exp(-((c.u - u) ** 2 + (c.v - v) ** 2) / {twice}) AS near
            FROM correspondences c
            WHERE c.cluster_id = cluster_id AND abs(c.u - u) <= {reach} AND abs(c.v - v) <= {reach}
        ) k
    )
    {answer};

CREATE MACRO everywhere(image, x, y) AS TABLE
    WITH source AS (FROM require_image(image)),
    seen AS (
        SELECT c.point_id, c.u, c.v, c.x - x AS dx, c.y - y AS dy, (c.x - x) ** 2 + (c.y - y) ** 2 AS far,
            c.confidence, coalesce(c.instance_id, 0) AS instance_id
        FROM correspondences c
        WHERE c.cluster_id = (SELECT o.cluster_id FROM source o)
            AND c.image_id = (SELECT o.image_id FROM source o) AND c.confidence > 0
    ),
    known AS (
        SELECT k.* FROM seen k
        QUALIFY k.instance_id = first_value(k.instance_id)
            OVER (ORDER BY k.confidence < {visible}, k.far, k.instance_id)
    ),
    nearest AS (SELECT k.* FROM known k ORDER BY k.far LIMIT {neighbours}),
    weighed AS (
        SELECT 0 AS image_id, 0 AS instance_id, k.dx, k.dy, k.u AS s, k.v AS t, 0 AS near,
            k.confidence * exp(-k.far / (avg(k.far) OVER () + 1e-30)) AS w
        FROM nearest k
    ),
    place AS ({place}),
    around AS (
        SELECT k.*, exp(-((k.u - p.s) ** 2 + (k.v - p.t) ** 2) / {twice}) AS near
        FROM known k, place p WHERE abs(k.u - p.s) <= {reach} AND abs(k.v - p.t) <= {reach}
    ),
    neighbours AS (
        SELECT c.image_id, coalesce(c.instance_id, 0) AS instance_id, a.dx, a.dy, c.x AS s, c.y AS t, a.near,
            a.near * sqrt(a.confidence * c.confidence) AS w
        FROM correspondences c JOIN around a ON a.point_id = c.point_id
        WHERE c.cluster_id = (SELECT o.cluster_id FROM source o)
    )
    {answer};

CREATE MACRO where_is(image, x, y, target) AS TABLE
    WITH here AS (FROM require_image(image)), there AS (FROM require_image(target))
    SELECT w.* FROM everywhere(image, x, y) w WHERE w.image_id = (SELECT t.image_id FROM there t)
    UNION ALL
    SELECT error('The images ' || image || ' and ' || target || ' are in different clusters (' || h.cluster_id
        || ' and ' || t.cluster_id || '): points are transferred within one cluster only.'),
        NULL, NULL, NULL, NULL, NULL, NULL
    FROM here h, there t WHERE h.cluster_id <> t.cluster_id;
"""


def definitions(settings: Mapping[str, Any]) -> list[str]:
    """The statements that make the views and macros, for a publication's settings; DuckDB's SQL."""
    cell = 2 / int(settings["index"]["lattice"])
    answer = _ANSWER.format(fit=_FIT.format(ridge=RIDGE, rows="neighbours"), visible=VISIBLE)
    place = _FIT.format(ridge=RIDGE, rows="weighed")
    macros = _MACROS.format(
        answer=answer,
        place=place,
        neighbours=NEIGHBOURS,
        twice=2 * cell**2,
        reach=REACH * cell,
        visible=VISIBLE,
    )
    return [_VIEWS, macros]
