# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""image_player_node in its own process, listened to over DDS."""

from __future__ import annotations

import re
import time
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from conftest import wait_for
from records import (
    BagWriter,
    picture,
    write_camera_yaml,
    write_euroc,
    write_kitti,
    write_pictures,
    write_tum,
)
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from feature_booster_ros.nodes.camera_info import to_camera_info
from feature_booster_ros.nodes.image_player_node import ImagePlayerNodeParameters, frame_interval
from feature_booster_ros.nodes.images import message_to_depth, to_compressed_image, to_image
from feature_booster_ros.pixels import decode_raw
from feature_booster_ros.sources import Camera, Frame


@pytest.fixture
def play(ros, start_node):
    """Starts a player with listeners: play(source, **parameters) gives process, images, infos.

    It waits for the listeners, so that nothing is lost; the rate is 50 Hz unless told otherwise.
    """

    def start(source, **parameters):
        listened = SimpleNamespace(
            images=ros.listen(Image, "image"), infos=ros.listen(CameraInfo, "camera_info")
        )
        parameters = {
            "source": str(source),
            "wait_for_subscribers": 1,
            "rate": 50.0,
            **parameters,
        }
        listened.process = start_node("image_player_node", parameters=parameters)
        return listened

    return start


def pixels(message):
    return np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)


def stamp_ns(message):
    return message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec


def test_images_arrive_with_exact_pixels_and_the_node_exits_at_the_end(tmp_path, play):
    pictures = write_kitti(tmp_path)
    player = play(tmp_path)
    assert player.process.wait() == 0
    wait_for(lambda: len(player.images) == 4, "4 images")
    for message, image in zip(player.images, pictures, strict=True):
        assert (message.encoding, message.step, message.header.frame_id) == ("mono8", 64, "camera")
        np.testing.assert_array_equal(pixels(message), image)


def test_camera_info_goes_with_each_image(tmp_path, play):
    write_kitti(tmp_path)
    player = play(tmp_path, frame_id="left")
    wait_for(lambda: len(player.images) == len(player.infos) == 4, "4 images and 4 camera_infos")
    assert [stamp_ns(info) for info in player.infos] == [stamp_ns(im) for im in player.images]
    info = player.infos[0]
    assert (info.width, info.height, info.header.frame_id) == (64, 48, "left")
    assert list(info.k) == [50, 0, 32, 0, 50, 24, 0, 0, 1]
    assert list(info.p) == [50, 0, 32, 0, 0, 50, 24, 0, 0, 0, 1, 0]
    assert list(info.r) == [1, 0, 0, 0, 1, 0, 0, 0, 1]
    assert list(info.d) == [0] * 5
    assert info.distortion_model == "plumb_bob"


def test_camera_is_given_by_parameter(tmp_path, play):
    write_pictures(tmp_path / "images", ["a.png"])
    player = play(tmp_path / "images", camera=str(write_camera_yaml(tmp_path / "camera.yaml")))
    wait_for(lambda: player.infos, "camera_info")
    assert player.infos[0].k[0] == 50.5


def test_recorded_stamps_are_kept(tmp_path, play):
    write_euroc(tmp_path)
    player = play(tmp_path)
    wait_for(lambda: len(player.images) == 3, "3 images")
    assert [stamp_ns(message) for message in player.images] == [
        1403636579763555584,
        1403636579813555456,
        1403636579863555584,
    ]


def test_stamps_may_be_now(tmp_path, play):
    write_kitti(tmp_path)
    player = play(tmp_path, stamp="now")
    wait_for(lambda: player.images, "an image")
    assert abs(stamp_ns(player.images[0]) - time.time_ns()) < 60 * 1_000_000_000


@pytest.mark.parametrize(
    ("recorded_ns", "rate", "speed", "seconds"),
    [
        (100_000_000, 0.0, 1.0, 0.1),
        (100_000_000, 0.0, 4.0, 0.025),
        (-100_000_000, 0.0, 1.0, 0.0),
        (100_000_000, 5.0, 1.0, 0.2),
        (100_000_000, 5.0, 4.0, 0.05),
    ],
)
def test_time_between_frames(recorded_ns, rate, speed, seconds):
    assert frame_interval(recorded_ns, rate, speed) == pytest.approx(seconds)


@pytest.mark.parametrize("speed", [1.0, 2.0])
def test_frames_come_no_faster_than_recorded(tmp_path, play, speed):
    write_kitti(tmp_path, count=8)
    player = play(tmp_path, rate=0.0, speed=speed, stamp="now")
    wait_for(lambda: len(player.images) == 8, "8 images")
    taken = (stamp_ns(player.images[-1]) - stamp_ns(player.images[0])) / 1e9
    # A late frame is made up for by up to one interval.
    assert taken >= 6 * 0.1 / speed


def test_rate_can_be_changed_while_playing(tmp_path, play, ros):
    write_kitti(tmp_path)
    player = play(tmp_path, rate=0.2, loop=True)
    wait_for(lambda: player.images, "an image")
    (result,) = ros.set_parameters(player.process.full_name, rate=40.0)
    assert result.successful
    wait_for(lambda: len(player.images) >= 30, "30 images, which take 150 s at the first rate")


def test_loop_goes_on_with_rising_stamps(tmp_path, play):
    pictures = write_kitti(tmp_path)
    player = play(tmp_path, loop=True)
    wait_for(lambda: len(player.images) >= 9, "9 images")
    stamps = [stamp_ns(message) // 1_000_000 for message in player.images[:9]]
    assert stamps == list(range(0, 900, 100))
    np.testing.assert_array_equal(pixels(player.images[8]), pictures[0])


def test_start_step_and_count(tmp_path, play):
    write_kitti(tmp_path, count=9)
    player = play(tmp_path, start=1, step=3, count=2)
    assert player.process.wait() == 0
    wait_for(lambda: len(player.images) == 2, "2 images")
    assert [stamp_ns(message) // 100_000_000 for message in player.images] == [1, 4]


def test_node_may_stay_at_the_end(tmp_path, play, ros):
    write_kitti(tmp_path)
    player = play(tmp_path, at_end="stay")
    player.process.wait_for_output("end of")
    assert ros.state(player.process.full_name) == "active"


def test_deactivated_and_activated_it_starts_anew(tmp_path, play, ros):
    write_kitti(tmp_path)
    player = play(tmp_path, at_end="stay")
    player.process.wait_for_output("end of")
    assert ros.transition(player.process.full_name, "deactivate")
    assert ros.transition(player.process.full_name, "activate")
    wait_for(lambda: len(player.images) == 8, "8 images")


def test_deactivation_ends_waiting_and_playing(tmp_path, play, ros):
    write_kitti(tmp_path)
    player = play(tmp_path, wait_for_subscribers=5)
    player.process.wait_for_output("waiting for 5 subscription(s)")
    assert ros.transition(player.process.full_name, "deactivate")
    assert ros.state(player.process.full_name) == "inactive"
    assert not player.images


def test_waits_for_nodes_until_they_listen(tmp_path, play, start_node, namespace):
    write_kitti(tmp_path)
    names = f"{namespace}/matcher_node, booster_node"
    player = play(tmp_path, wait_for_nodes=names, at_end="stay")
    player.process.wait_for_output(f"waiting for {names} (parameter wait_for_nodes)")
    start_node("matcher_node")
    player.process.wait_for_output("waiting for booster_node (parameter wait_for_nodes)")
    assert not player.images
    start_node("booster_node", parameters={"model": "none"})
    wait_for(lambda: len(player.images) == 4, "4 images")


def test_gives_up_waiting_and_says_what_is_missing(tmp_path, play):
    write_kitti(tmp_path)
    player = play(tmp_path, wait_for_nodes="nobody", wait_for_subscribers=0, wait_timeout=1.0)
    assert player.process.wait() == 1
    assert "gave up waiting for nobody (parameter wait_for_nodes)" in player.process.output()
    assert not player.images


@pytest.mark.parametrize("name", ["booster node", "a//b", "//a", "a/", "/", "~/a", "{node}", "1a"])
def test_names_that_no_node_can_have_are_refused(name):
    for namespace in ("/", "/robot"):
        with pytest.raises(ValueError, match=re.escape(f"no node is named {name!r}")):
            ImagePlayerNodeParameters(wait_for_nodes=f"good, {name}").nodes(namespace)


def test_full_and_relative_names_of_nodes():
    parameters = ImagePlayerNodeParameters(wait_for_nodes=" a, b/c ,/d,, /e/f")
    names = {"a": "/a", "b/c": "/b/c", "/d": "/d", "/e/f": "/e/f"}
    assert parameters.nodes("/") == names
    assert parameters.nodes("/robot") == {**names, "a": "/robot/a", "b/c": "/robot/b/c"}
    assert ImagePlayerNodeParameters(wait_for_nodes=" ,").nodes("/") == {}


def test_bad_names_of_nodes_change_nothing(tmp_path, play, ros, start_node):
    write_kitti(tmp_path)
    player = play(tmp_path, wait_for_nodes="booster_node", at_end="stay")
    (result,) = ros.set_parameters(player.process.full_name, wait_for_nodes="booster node")
    assert not result.successful and "no node is named 'booster node'" in result.reason
    start_node("booster_node", parameters={"model": "none"})
    wait_for(lambda: len(player.images) == 4, "4 images")
    refused = start_node(
        "image_player_node", parameters={"source": str(tmp_path), "wait_for_nodes": "a//b"}
    )
    assert refused.wait() == 1
    assert "no node is named 'a//b'" in refused.output()


@pytest.mark.parametrize("transport", ["raw", "compressed"])
def test_rviz_is_not_counted_for_the_booster(tmp_path, play, start_node, transport):
    """Another subscription of raw images, as RViz has it, does not start the recording."""
    pictures = write_kitti(tmp_path)
    player = play(
        tmp_path,
        wait_for_nodes="booster_node",
        wait_for_subscribers=0,
        image_transport=transport,
        at_end="stay",
    )
    player.process.wait_for_output("waiting for booster_node (parameter wait_for_nodes)")
    assert not player.infos
    start_node("booster_node", parameters={"model": "none", "image_transport": transport})
    # The player waits for booster_node alone: the first frame may be lost for this process.
    last = (len(pictures) - 1) * 100_000_000
    wait_for(
        lambda: player.infos and stamp_ns(player.infos[-1]) == last, "camera_info of the last image"
    )
    if transport == "compressed":
        assert not player.images
    else:
        wait_for(lambda: player.images and stamp_ns(player.images[-1]) == last, "the last image")


def test_node_that_subscribes_to_another_transport_is_named(tmp_path, play, start_node):
    write_kitti(tmp_path)
    start_node("booster_node", parameters={"model": "none"})
    player = play(
        tmp_path, wait_for_nodes="booster_node", wait_for_subscribers=0, wait_timeout=3.0,
        image_transport="compressed",
    )  # fmt: skip
    assert player.process.wait() == 1
    assert re.search(
        r"gave up waiting for booster_node, which subscribes to \S+/image, while image_transport "
        r"publishes \S+/image/compressed",
        player.process.output(),
    )


def test_uncalibrated_camera_info_is_played_as_it_was_recorded(tmp_path, play):
    with BagWriter(tmp_path / "bag", "mcap") as bag:
        bag.camera_info("/camera_info", 10**9, focal=0, binning_x=2, width=128, height=48)
        bag.image("/image", 10**9, picture(0))
    player = play(tmp_path / "bag")
    wait_for(lambda: player.infos, "camera_info")
    info = player.infos[0]
    assert (info.width, info.height, info.binning_x) == (128, 48, 2)
    assert info.distortion_model == "plumb_bob" and list(info.d) == [0.1, 0, 0, 0, 0]
    assert not info.k.any() and info.r[0] == 1


def test_compressed_images(tmp_path, play, ros):
    pictures = write_kitti(tmp_path)
    compressed = ros.listen(CompressedImage, "image/compressed")
    player = play(tmp_path, image_transport="compressed")
    wait_for(lambda: len(compressed) == len(player.infos) == 4, "4 compressed images")
    assert not player.images
    assert compressed[0].format == "mono8; jpeg compressed "
    decoded = cv2.imdecode(np.frombuffer(compressed[0].data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.abs(decoded.astype(int) - pictures[0]).mean() < 10


def test_both_transports_at_once(tmp_path, play, ros):
    write_kitti(tmp_path)
    compressed = ros.listen(CompressedImage, "image/compressed")
    player = play(tmp_path, image_transport="both", wait_for_subscribers=2)
    wait_for(lambda: len(compressed) == len(player.images) == 4, "4 images of each transport")


def test_missing_source_ends_the_node(play):
    player = play("/no/where")
    assert player.process.wait() == 1
    assert "cannot configure: source '/no/where' does not exist" in player.process.output()


def test_source_can_be_set_and_configured_afterwards(tmp_path, play, ros):
    write_kitti(tmp_path)
    player = play("", autostart=False)
    assert not ros.transition(player.process.full_name, "configure")
    player.process.wait_for_output("parameter 'source' is empty")
    (result,) = ros.set_parameters(player.process.full_name, source=str(tmp_path))
    assert result.successful
    assert ros.transition(player.process.full_name, "configure")
    assert ros.transition(player.process.full_name, "activate")
    wait_for(lambda: len(player.images) == 4, "4 images")


def test_start_past_the_end_is_refused(tmp_path, play, ros):
    write_kitti(tmp_path)
    player = play(tmp_path, start=4)
    assert player.process.wait() == 1
    assert "start 4 is past the end" in player.process.output()


def test_source_is_not_changed_while_configured(tmp_path, play, ros):
    write_kitti(tmp_path)
    player = play(tmp_path, loop=True)
    wait_for(lambda: player.images, "an image")
    (result,) = ros.set_parameters(player.process.full_name, source="/elsewhere")
    assert not result.successful
    assert "unconfigured" in result.reason


def test_unreadable_file_in_the_middle_is_skipped_and_told(tmp_path, play):
    write_kitti(tmp_path)
    (tmp_path / "image_0" / "000001.png").write_bytes(b"not a picture")
    player = play(tmp_path)
    output = player.process.wait_for_output("end of")
    assert "000001.png skipped" in output
    assert "3 frames, 1 skipped" in output
    wait_for(lambda: len(player.images) == 3, "3 images")
    assert player.process.wait() == 0


def test_nothing_readable_ends_with_an_error(tmp_path, play):
    (tmp_path / "a.png").touch()
    player = play(tmp_path)
    assert player.process.wait() == 1
    assert "no frame of" in player.process.output()


def test_nothing_readable_may_stay(tmp_path, play, ros):
    (tmp_path / "a.png").touch()
    player = play(tmp_path, at_end="stay")
    player.process.wait_for_output("playing stopped")
    assert ros.state(player.process.full_name) == "active"


@pytest.mark.parametrize(
    ("name", "value"), [("rate", -1.0), ("step", 0), ("stamp", "tomorrow"), ("kind", "laser")]
)
def test_bad_parameter_is_refused_with_its_name(start_node, name, value):
    process = start_node("image_player_node", parameters={name: value})
    assert process.wait() == 1
    assert name in process.output()


def test_interrupt_while_playing_ends_quietly(tmp_path, play):
    write_kitti(tmp_path)
    player = play(tmp_path, loop=True)
    wait_for(lambda: player.images, "an image")
    assert player.process.stop() == 0
    assert "Traceback" not in player.process.output()


# Depth and right images


def test_depth_is_played_in_millimeters_with_the_header_of_its_image(tmp_path, play, ros):
    write_tum(tmp_path)
    depth = np.full((480, 640), 10_000, np.uint16)
    depth[0] = 0
    (tmp_path / "depth").mkdir()
    assert cv2.imwrite(str(tmp_path / "depth" / "1305031102.175304.png"), depth)
    raw = ros.listen(Image, "depth")
    packed = ros.listen(CompressedImage, "depth/compressedDepth")
    player = play(tmp_path, image_transport="both", loop=True)
    wait_for(lambda: raw and packed, "depth")

    def has_image(depth):
        return any(image.header == depth.header for image in player.images)

    assert raw[0].encoding == "16UC1"
    for message in (raw[0], packed[0]):
        wait_for(lambda message=message: has_image(message), "the image of the same stamp")
        meters = message_to_depth(message)
        assert np.isnan(meters[0]).all()
        np.testing.assert_array_equal(meters[1:], 2.0)


def test_a_stereo_pair_is_played_with_both_cameras(tmp_path, play, ros):
    write_kitti(tmp_path)
    rights = write_pictures(tmp_path / "image_1", [f"00000{index}.png" for index in range(3)])
    (tmp_path / "image_1" / "000003.png").unlink()
    images, infos = ros.listen(Image, "right/image"), ros.listen(CameraInfo, "right/camera_info")
    play(tmp_path, loop=True)
    wait_for(lambda: len(images) > 9 and len(infos) > 9, "right images")
    for right, info in zip(images[:9], infos[:9], strict=True):
        assert right.header == info.header
        assert info.p[3] == -25
        assert any(np.array_equal(pixels(right), each) for each in rights)


def test_sources_without_depth_announce_none(tmp_path, play, ros):
    write_tum(tmp_path)
    player = play(tmp_path, at_end="stay")
    wait_for(lambda: len(player.images) == 3, "3 images")
    topics = {name for name, _ in ros.node.get_topic_names_and_types()}
    assert not {f"{ros.namespace}/{name}" for name in ("depth", "right/image")} & topics


# The messages, without a process


def image_message(frame: Frame) -> Image:
    return to_image(frame.image, frame.encoding, Header())


def test_color_is_bgr8():
    image = picture(0, color=True)
    message = image_message(Frame(0, image))
    assert (message.encoding, message.step) == ("bgr8", 3 * 64)
    np.testing.assert_array_equal(pixels(message).reshape(48, 64, 3), image)


def test_16_bits_are_mono16():
    deep = picture(0).astype(np.uint16) * 257 + 1
    message = image_message(Frame(0, deep))
    assert (message.encoding, message.step, message.is_bigendian) == ("mono16", 128, 0)
    np.testing.assert_array_equal(pixels(message).view("<u2"), deep)


@pytest.mark.parametrize(
    ("topic", "size", "roi", "fields"),
    [
        ("/image_rect", (64, 48), (0, 0, 0, 0, False), {}),
        ("/image_raw", (32, 12), (0, 0, 0, 0, False), {"binning_x": 2, "binning_y": 4}),
        ("/image_raw", (40, 20), (16, 8, 20, 40, True), {"binning_x": 1, "binning_y": 1}),
        ("/image_raw", (64, 48), (0, 0, 0, 0, False), {"d": np.full(8, 0.01)}),
        ("/image_raw", (64, 48), (0, 0, 0, 0, False),
         {"k": np.zeros(9), "d": np.zeros(0), "distortion_model": ""}),
        ("/image_raw", (64, 48), (0, 0, 0, 0, False),
         {"d": np.zeros(0), "distortion_model": "equidistant", "width": 0, "height": 0}),
    ],
    ids=["rectified", "binned", "cropped", "8 coefficients", "only P", "fisheye without size"],
)  # fmt: skip
def test_camera_info_of_a_bag_is_played_as_recorded(tmp_path, play, topic, size, roi, fields):
    recorded = {
        "height": 48, "width": 64, "distortion_model": "plumb_bob", "d": np.full(5, 0.01),
        "k": np.array([50.0, 0, 32, 0, 51, 24, 0, 0, 1]),
        "r": cv2.Rodrigues(np.array([0.01, -0.02, 0.03]))[0].ravel(),
        "p": np.array([40.0, 0, 30, -4.2, 0, 40, 23, 0, 0, 0, 1, 0]),
        "binning_x": 0, "binning_y": 0, **fields,
    }  # fmt: skip
    with BagWriter(tmp_path / "drive", "mcap") as bag:
        bag.frame_id = "left_optical"
        for stamp_ns in (10, 20):
            bag.camera_info("/camera_info", stamp_ns, roi=roi, **recorded)
            bag.image(topic, stamp_ns, np.zeros(size[::-1], np.uint8))
    player = play(tmp_path / "drive")
    assert player.process.wait() == 0
    wait_for(lambda: len(player.infos) == 2, "2 camera_infos")
    for info in player.infos:
        assert info.header.frame_id == "left_optical"
        for name, value in recorded.items():
            assert np.array_equal(getattr(info, name), value), name
        found = info.roi
        assert (
            found.x_offset, found.y_offset, found.height, found.width, found.do_rectify
        ) == roi  # fmt: skip


@pytest.mark.parametrize(
    ("dtype", "channels", "encoding"),
    [
        (np.float32, 1, "32FC1"),
        (np.float32, 3, "32FC3"),
        (np.float64, 1, "64FC1"),
        (np.int16, 1, "16SC1"),
    ],
)
def test_other_types_are_played_as_recorded(dtype, channels, encoding):
    image = picture(0, color=channels == 3).astype(dtype) - 99
    message = image_message(Frame(0, image))
    assert message.encoding == encoding
    played = decode_raw(message.data, encoding, 64, 48, message.step)
    np.testing.assert_array_equal(played, image)


def test_types_without_a_compressed_form_are_told():
    frame = Frame(0, picture(0).astype(np.float32))
    with pytest.raises(ValueError, match=r"32FC1.*image_transport to raw"):
        to_compressed_image(frame.image, frame.encoding, Header(), 95)


def test_unknown_intrinsics_are_zero_with_the_size_given():
    info = to_camera_info(None, 64, 48, Header())
    assert not any(info.k)
    assert (info.width, info.height) == (64, 48)


def test_rows_of_a_view_are_packed():
    image = picture(0)[:, ::2]
    message = image_message(Frame(0, image))
    assert message.step == 32
    np.testing.assert_array_equal(pixels(message), image)


def test_image_message_is_made_without_a_look_at_each_byte():
    frame = Frame(0, picture(0, width=1241, height=376))
    fastest = min(_seconds(lambda: image_message(frame)) for _ in range(20))
    each_byte = min(_seconds(lambda: Image(data=frame.image.ravel())) for _ in range(3))
    assert fastest < each_byte / 4


def test_compressed_16_bits_are_png_and_exact():
    deep = picture(0).astype(np.uint16) * 257
    message = to_compressed_image(deep, "mono16", Header(), 95)
    assert message.format == "mono16; png compressed "
    decoded = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(decoded, deep)


@pytest.mark.parametrize(
    ("model", "given", "sent"),
    [
        ("plumb_bob", 4, 5),
        ("equidistant", 0, 4),
        ("rational_polynomial", 8, 8),
        ("rational_polynomial", 14, 14),
    ],
)
def test_distortion_has_the_length_that_ros_expects(model, given, sent):
    camera = Camera(64, 48, np.eye(3), np.arange(given), model)
    message = to_camera_info(camera.calibration, 64, 48, Header())
    assert message.distortion_model == model
    assert list(message.d) == [*range(given), *[0] * (sent - given)]


def _seconds(call):
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def test_now_of_a_simulated_clock_is_waited_for(tmp_path, play, ros):
    write_kitti(tmp_path)
    player = play(tmp_path, stamp="now", use_sim_time=True)
    player.process.wait_for_output("nothing comes on /clock")
    assert not player.images
    clock = ros.node.create_publisher(Clock, "/clock", 1)
    message = Clock()
    message.clock.sec = 42

    def played():
        clock.publish(message)
        return len(player.images) == 4

    wait_for(played, "4 images")
    assert {stamp_ns(image) for image in player.images} == {42_000_000_000}


def test_a_jump_of_days_is_not_waited_for(tmp_path, play):
    write_kitti(tmp_path)
    (tmp_path / "times.txt").write_text("0\n0.1\n1700000000\n1700000000.1\n")
    player = play(tmp_path, rate=0.0)
    wait_for(lambda: len(player.images) == 4, "4 images")
    player.process.wait_for_output("stamps went ahead by 19675.9 days")
