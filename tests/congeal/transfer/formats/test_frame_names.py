from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from congeal.transfer.formats.frame_names import FrameNames

path = st.lists(st.sampled_from(["a", "A", "b", "c"]), min_size=1, max_size=3).map("/".join)


@given(paths=st.sets(path, min_size=1, max_size=8), data=st.data())
def test_no_two_images_get_one_name(paths: set[str], data: st.DataObject) -> None:
    known = sorted(data.draw(st.sets(st.sampled_from(sorted(paths)))))
    heads = data.draw(st.lists(st.sampled_from(["", "images/", "C:\\"]), min_size=8, max_size=8))
    found = {head + uri.rpartition("/")[2]: uri for uri, head in zip(known, heads, strict=False)}
    new = sorted(paths - set(found.values()))
    names = FrameNames(found, named=found, others=new)
    given_names = [names.name(uri).replace("\\", "/") for uri in new]
    assert len(set(given_names)) == len(new)
    taken = {name.replace("\\", "/") for name in found}
    # A file may call one image by what is the path of another; then nothing is left but that.
    assert all(name not in taken or name == uri for name, uri in zip(given_names, new, strict=True))


def test_the_name_of_an_image_that_is_not_known_is_not_given_to_another() -> None:
    names = FrameNames({"b.png": "x/b.png"}, named=["b.png", "a.png"], others=["x/a.png", "x/c.png"])
    assert [names.name("x/a.png"), names.name("x/c.png")] == ["x/a.png", "c.png"]
