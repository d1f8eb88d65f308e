"""The object tree: types, properties, paths, life cycle."""

from __future__ import annotations

import pytest

from emu import qom
from emu.qom import Child, Container, DeviceObject, Link, NotFound, ObjectError, Property, computed


class Lamp(DeviceObject):
    name = "test-lamp"
    watts = Property("uint32", 60, description="power in watts")
    lit = Property("bool", False, after_realize=True)
    label = Property("str", "plain")
    volume = Property("size", 0)
    neighbour: Link = Link("test-lamp", after_realize=True)
    plug = Child("test-plug")

    @computed("uint32")
    def milliwatts(self):
        return self.watts * 1000


class Plug(qom.Object):
    name = "test-plug"


class FancyLamp(Lamp):
    name = "test-fancy-lamp"
    colour = Property("str", "red", aliases=("color",))


@pytest.fixture
def root():
    root = Container()
    machine = root.add_child("machine", Container())
    machine.container("peripheral").add_child("c1", Lamp())
    machine.container("unattached").add_child("device[*]", FancyLamp())
    machine.container("unattached").add_child("device[*]", Lamp())
    return root


def message_of(call, *args, **kwargs):
    with pytest.raises(ObjectError) as error:
        call(*args, **kwargs)
    return str(error.value)


def test_canonical_path_names_every_ancestor(root):
    assert qom.resolve(root, "c1").path == "/machine/peripheral/c1"
    assert root.path == "/"


def test_star_index_takes_the_lowest_free_number(root):
    unattached = qom.resolve(root, "/machine/unattached")
    unattached.children["device[0]"].unparent()
    assert unattached.add_child("device[*]", Lamp()).child_name == "device[0]"


def test_partial_path_matches_any_unique_suffix(root):
    assert qom.resolve(root, "unattached/device[1]").path == "/machine/unattached/device[1]"


def test_ambiguous_partial_path_is_refused(root):
    qom.resolve(root, "/machine").add_child("c1", Lamp())
    assert message_of(qom.resolve, root, "c1") == "Path 'c1' is ambiguous"
    assert message_of(qom.resolve, root, "") == "Path '' is ambiguous"


@pytest.mark.parametrize("path", ["/nope", "nope", "/machine/nope/c1"])
def test_unknown_path_is_not_found(root, path):
    with pytest.raises(NotFound, match=f"^Device '{path}' not found$"):
        qom.resolve(root, path)


def test_paths_lead_through_links(root):
    lamp, other = qom.resolve(root, "c1"), qom.resolve(root, "device[1]")
    lamp.neighbour = other
    assert qom.resolve(root, "/machine/peripheral/c1/neighbour") is other


def test_duplicate_child_is_refused(root):
    text = message_of(qom.resolve(root, "peripheral").add_child, "c1", Lamp())
    assert text == "attempt to add duplicate property 'c1' to object (type 'container')"


def test_an_object_has_one_parent(root):
    lamp = qom.resolve(root, "c1")
    assert message_of(root.add_child, "again", lamp) == "object '/machine/peripheral/c1' already has a parent"


def test_child_attribute_adopts_and_replaces(root):
    lamp = qom.resolve(root, "c1")
    lamp.plug = first = Plug()
    lamp.plug = second = Plug()
    assert lamp.children == {"plug": second}
    assert first.parent is None and second.path == "/machine/peripheral/c1/plug"


def test_properties_have_defaults_and_convert_user_values():
    lamp = Lamp()
    assert lamp.watts == 60
    lamp.set_property("watts", "0x10")
    lamp.set_property("lit", "on")
    lamp.set_property("volume", "4k")
    assert (lamp.watts, lamp.lit, lamp.volume) == (16, True, 4096)


@pytest.mark.parametrize("name, value, text", [
    ("watts", "x", "Parameter 'watts' expects integer"),
    ("watts", 1.5, "Parameter 'watts' expects integer"),
    ("watts", True, "Parameter 'watts' expects integer"),
    ("watts", -1, "Parameter 'watts' expects uint32_t"),
    ("watts", 1 << 40, "Parameter 'watts' expects uint32_t"),
    ("lit", "zz", "Parameter 'lit' expects 'on' or 'off'"),
    ("lit", 5, "Parameter 'lit' expects 'on' or 'off'"),
    ("label", 5, "Invalid parameter type for 'label', expected: string"),
    ("volume", "much", "Parameter 'volume' expects a size"),
    ("nope", 1, "Property 'test-lamp.nope' not found"),
    ("milliwatts", 1, "Property 'test-lamp.milliwatts' is not writable"),
    ("type", "s", "Property 'test-lamp.type' is not writable"),
    ("hotplugged", True, "Property 'test-lamp.hotplugged' is not writable"),
])  # fmt: skip
def test_bad_value_is_refused_with_its_reason(name, value, text):
    assert message_of(Lamp().set_property, name, value) == text


@pytest.mark.parametrize("name, value, expected", [
    ("watts", "3", "integer"), ("lit", "on", "boolean"), ("label", 3, "string"), ("neighbour", 5, "string")])  # fmt: skip
def test_strict_setting_demands_the_json_type(name, value, expected):
    text = message_of(Lamp().set_property, name, value, strict=True)
    assert text == f"Invalid parameter type for '{name}', expected: {expected}"


def test_realize_freezes_what_is_not_declared_changeable():
    lamp = Lamp()
    qom.realize(lamp)
    lamp.set_property("lit", True)
    assert lamp.lit
    lamp.user_id = "l1"
    text = message_of(lamp.set_property, "watts", 3)
    assert text == "Attempt to set property 'watts' on device 'l1' (type 'test-lamp') after it was realized"


def test_link_reads_as_path_and_takes_one(root):
    lamp = qom.resolve(root, "c1")
    assert lamp.get_property("neighbour") == ""
    lamp.set_property("neighbour", "/machine/unattached/device[0]")
    assert lamp.get_property("neighbour") == "/machine/unattached/device[0]"
    assert lamp.neighbour.type_name == "test-fancy-lamp"
    lamp.set_property("neighbour", "")
    assert lamp.neighbour is None


def test_link_refuses_another_type_and_missing_objects(root):
    lamp = qom.resolve(root, "c1")
    assert "expected: test-lamp" in message_of(lamp.set_property, "neighbour", "/machine")
    with pytest.raises(NotFound):
        lamp.set_property("neighbour", "/nowhere")


def test_alias_is_the_same_property():
    lamp = FancyLamp()
    lamp.set_property("color", "blue")
    assert lamp.get_property("colour") == "blue"


def test_types_are_listed_with_parents_and_abstract_ones_on_demand():
    names = [cls.name for cls in qom.list_types("test-lamp")]
    assert names == ["test-fancy-lamp", "test-lamp"]
    assert qom.describe_type(FancyLamp) == {"name": "test-fancy-lamp", "parent": "test-lamp"}
    assert "device" not in [cls.name for cls in qom.list_types("device")]
    assert "device" in [cls.name for cls in qom.list_types("device", abstract=True)]
    assert qom.list_types("nope") == []


def test_unknown_type_is_not_found():
    with pytest.raises(NotFound, match="^Class 'nope' not found$"):
        qom.find_type("nope")


def test_two_classes_cannot_share_a_type_name():
    with pytest.raises(TypeError, match="already taken"):
        type("Impostor", (qom.Object,), {"name": "test-lamp"})


def test_device_view_hides_what_every_object_has():
    shown = {info["name"]: info for info in qom.list_type_properties(Lamp, device_view=True)}
    assert set(shown) == {"watts", "lit", "label", "volume", "neighbour", "milliwatts"}
    assert shown["watts"] == {"name": "watts", "type": "uint32", "description": "power in watts", "default-value": 60}
    everything = {info["name"] for info in qom.list_type_properties(Lamp)}
    assert everything - set(shown) == {"type", "parent_bus", "hotplugged", "hotpluggable", "realized"}


def test_qom_list_shows_properties_then_children(root):
    listed = qom.resolve(root, "/machine/peripheral").list_properties()
    assert listed == [{"name": "type", "type": "string"}, {"name": "c1", "type": "child<test-lamp>"}]


def test_reset_and_unrealize_reach_the_whole_tree(root):
    order = []

    class Tracer(qom.Object):
        def reset(self):
            order.append(("reset", self.child_name))

        def unrealize(self):
            order.append(("unrealize", self.child_name))

    outer = root.add_child("outer", Tracer())
    inner = outer.add_child("inner", Tracer())
    qom.realize(outer)
    qom.realize(inner)
    qom.reset(outer)
    qom.unrealize(outer)
    assert order == [("reset", "outer"), ("reset", "inner"), ("unrealize", "inner"), ("unrealize", "outer")]


def test_tree_listing_is_indented_and_sorted(root):
    assert qom.format_tree(qom.resolve(root, "/machine/unattached")) == (
        "/unattached (container)\n  /device[0] (test-fancy-lamp)\n  /device[1] (test-lamp)")  # fmt: skip


def test_two_trees_are_independent(root):
    with pytest.raises(NotFound):
        qom.resolve(Container(), "c1")
    assert qom.resolve(root, "c1").root is root
