# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Parameter dataclasses: what is allowed, the parameter file, the table."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from feature_booster_ros.nodes import parameter_tables
from feature_booster_ros.nodes.booster_node_parameters import BoosterNodeParameters
from feature_booster_ros.nodes.image_player_node import ImagePlayerNodeParameters
from feature_booster_ros.nodes.matcher_node_parameters import MatcherNodeParameters
from feature_booster_ros.nodes.odometry_node_parameters import OdometryNodeParameters
from feature_booster_ros.nodes.parameters import (
    Change,
    NodeParameters,
    ParameterError,
    changed,
    from_values,
    markdown_table,
    parameter,
    specifications,
)
from feature_booster_ros.nodes.rgbd_image_node import RgbdImageNodeParameters

NODES = {
    "booster_node": BoosterNodeParameters,
    "matcher_node": MatcherNodeParameters,
    "odometry_node": OdometryNodeParameters,
    "rgbd_image_node": RgbdImageNodeParameters,
    "image_player_node": ImagePlayerNodeParameters,
}
ROOT = Path(__file__).resolve().parents[2]
PRESETS = sorted((ROOT / "config" / "presets").glob("*.yaml"))
BOOSTER_YAML = ROOT / "config" / "booster.yaml"


@dataclasses.dataclass(frozen=True)
class Example(NodeParameters):
    start: bool = parameter(True, "Set at start.", change=Change.START)
    count: int = parameter(5, "A count.", minimum=1, maximum=10)
    share: float = parameter(0.5, "A share.", minimum=0.0, maximum=1.0)
    size: int = parameter(3, "A size.", minimum=0, change=Change.UNCONFIGURED)
    kind: str = parameter("a", "A kind.", choices=("a", "b"))

    def __post_init__(self):
        if self.kind == "b" and self.count > 7:
            raise ValueError("parameter 'count' must be 7 or less while 'kind' is b")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"count": 0}, "parameter 'count' must be 1 to 10, not 0"),
        ({"count": 11}, "parameter 'count' must be 1 to 10, not 11"),
        ({"count": 2.0}, "parameter 'count' takes an integer, 1 to 10, not 2.0"),
        ({"count": True}, "parameter 'count' takes an integer"),
        ({"share": 1}, "parameter 'share' takes a double, 0.0 to 1.0, not 1: write 1.0"),
        ({"share": float("nan")}, "parameter 'share' must be 0.0 to 1.0, not nan"),
        ({"size": -1}, "parameter 'size' must be 0 or more, not -1"),
        ({"kind": "c"}, "parameter 'kind' must be one of a, b, not 'c'"),
        ({"start": "yes"}, "parameter 'start' takes a bool, true or false, not 'yes'"),
        ({"cuont": 1}, "there is no parameter 'cuont' (did you mean 'count'?)"),
        ({"kind": "b", "count": 8}, "'count' must be 7 or less"),
    ],
)
def test_bad_value_is_refused_with_name_value_and_what_is_allowed(values, message):
    with pytest.raises(ParameterError) as error:
        from_values(Example, values)
    assert message in str(error.value)


def test_values_become_an_instance():
    assert from_values(Example, {"count": 7, "kind": "b"}) == Example(count=7, kind="b")


def test_change_while_configured():
    assert changed(Example(), {"count": 2, "use_sim_time": True}, configured=True) == Example(
        count=2
    )
    assert changed(Example(), {"size": 3}, configured=True) == Example()
    assert changed(Example(), {"size": 4}, configured=False) == Example(size=4)
    with pytest.raises(
        ParameterError, match="'size' can be set only while the node is unconfigured.*cleanup"
    ):
        changed(Example(), {"size": 4}, configured=True)
    assert changed(Example(), {"start": True}, configured=True) == Example()
    with pytest.raises(ParameterError, match="'start' can be set at start only .-p start:=false"):
        changed(Example(), {"start": False}, configured=False)
    with pytest.raises(ParameterError, match="7 or less"):
        changed(Example(count=8), {"kind": "b"}, configured=True)


def test_descriptors():
    descriptors = {name: s.descriptor() for name, s in specifications(Example).items()}
    # ROS refuses even the same value for what is read_only, so that a dump could not be loaded.
    assert not any(descriptor.read_only for descriptor in descriptors.values())
    assert "at start only" in descriptors["start"].additional_constraints
    assert descriptors["count"].description == "A count."
    assert (
        descriptors["count"].integer_range[0].from_value,
        descriptors["count"].integer_range[0].to_value,
    ) == (1, 10)
    assert descriptors["share"].floating_point_range[0].to_value == 1.0
    assert "unconfigured" in descriptors["size"].additional_constraints
    assert "one of a, b" in descriptors["kind"].additional_constraints.lower()


def test_table():
    table = markdown_table(Example)
    assert "| `count` | integer | `5` | 1 to 10 | any time | A count. |" in table
    assert "| `start` | bool | `true` | true or false | at start | Set at start. |" in table


def test_the_documentation_and_the_parameter_file_are_as_printed():
    command = [sys.executable, "-m", "feature_booster_ros.nodes.parameter_tables"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert all(f"## {name}\n" in printed for name in NODES)
    page = (ROOT / "docs" / "parameters.md").read_text()
    assert printed.strip() in page, "put what the command prints below the marker in the page"
    assert parameter_tables.parameter_file() == BOOSTER_YAML.read_text(), f"{command} --yaml"


@pytest.mark.parametrize("parameter_type", NODES.values(), ids=NODES.keys())
def test_defaults_are_allowed_and_described(parameter_type):
    from_values(
        parameter_type, {name: s.default for name, s in specifications(parameter_type).items()}
    )
    for specification in specifications(parameter_type).values():
        assert len(specification.description) > 10
        assert "|" not in specification.description  # it would break the table


@pytest.mark.parametrize(("name", "parameter_type"), NODES.items(), ids=NODES.keys())
def test_parameter_file_has_every_parameter_with_its_default(name, parameter_type):
    values = yaml.safe_load(BOOSTER_YAML.read_text())[f"/{name}"]["ros__parameters"]
    assert from_values(parameter_type, values) == parameter_type()
    assert list(values) == list(specifications(parameter_type))


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_preset_has_values_that_the_nodes_take(preset):
    for name, section in yaml.safe_load(preset.read_text()).items():
        parameter_type = NODES[name.removeprefix("/")]
        values = section["ros__parameters"]
        assert set(values) <= set(specifications(parameter_type))
        from_values(parameter_type, {**dataclasses.asdict(parameter_type()), **values})


def test_presets_set_the_same_parameters():
    first, *others = ({node: set(section["ros__parameters"]) for node, section in
        yaml.safe_load(path.read_text()).items()} for path in PRESETS)  # fmt: skip
    assert others and all(other == first for other in others)


@pytest.mark.parametrize("executable", ["booster_node", "matcher_node", "odometry_node"])
def test_parameter_file_and_dump_are_loaded_without_complaint(start_node, tmp_path, executable):
    pytest.importorskip("ros2param", reason="needs ros2param, of a ROS 2 distribution, not on PyPI")

    def ros2_param(verb: str, *arguments: str) -> str:
        command = "import sys; from ros2cli.cli import main; sys.exit(main(argv=sys.argv[1:]))"
        result = subprocess.run(
            [sys.executable, "-c", command, "param", verb, "--no-daemon", "--timeout", "30"]
            + list(arguments),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60,
        )  # fmt: skip
        return result.stdout

    node = start_node(executable, parameters={"model": "none"})
    node.wait_for_output("active:")
    # The file's sections are for nodes without a namespace.
    own = tmp_path / "own.yaml"
    own.write_text(BOOSTER_YAML.read_text().replace(f"/{executable}:", f"{node.full_name}:"))
    dump = tmp_path / "dump.yaml"
    dump.write_text(ros2_param("dump", node.full_name))
    for path in (dump, own):
        lines = ros2_param("load", node.full_name, str(path)).splitlines()
        failed = [line for line in lines if "successful" not in line]
        # ROS's own parameter, which is read-only in every node.
        assert all("start_type_description_service" in line for line in failed), failed
        assert len(lines) > 10


def test_parameter_file_has_no_other_node():
    assert set(yaml.safe_load(BOOSTER_YAML.read_text())) == {f"/{name}" for name in NODES}


def test_common_parameters_come_last():
    assert list(specifications(Example)) == [
        "start", "count", "share", "size", "kind",
        "autostart", "qos_output_reliability", "qos_output_depth",
    ]  # fmt: skip
    names = list(specifications(BoosterNodeParameters))
    assert names[0] == "model" and names[-1] == "qos_output_depth"
