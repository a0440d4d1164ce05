# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Bags written with rosbags, in both storages of rosbag2."""

from __future__ import annotations

import shutil
import sys

import numpy as np
import pytest
from records import BagWriter, picture

from feature_booster_ros.depth import StereoRig
from feature_booster_ros.sources import open_source

SECOND = 1_000_000_000
STORAGES = ("mcap", "sqlite3")


@pytest.fixture(params=STORAGES)
def storage(request):
    return request.param


def write_drive(path, storage="mcap", count=4):
    """One camera, 20 Hz from 100 s on, with a camera_info before each image."""
    pictures = [picture(seed) for seed in range(count)]
    with BagWriter(path, storage) as bag:
        for index, image in enumerate(pictures):
            stamp_ns = 100 * SECOND + index * SECOND // 20
            bag.camera_info("/front/camera_info", stamp_ns, focal=50 + index)
            bag.image("/front/image_raw", stamp_ns, image)
    return pictures


def test_images_have_exact_pixels_and_stamps(tmp_path, storage):
    pictures = write_drive(tmp_path / "drive", storage)
    with open_source(tmp_path / "drive") as source:
        frames = list(source)
    assert [frame.stamp_ns for frame in frames][:2] == [100 * SECOND, 100 * SECOND + 50_000_000]
    for frame, image in zip(frames, pictures, strict=True):
        np.testing.assert_array_equal(frame.image, image)


def test_images_recorded_late_come_in_the_order_of_their_stamps(tmp_path, storage, caplog):
    """Each with the camera_info that was recorded before it."""
    pictures = [picture(seed) for seed in range(4)]
    with BagWriter(tmp_path / "drive", storage) as bag:
        for index, image in enumerate(pictures):
            stamp_ns = 100 * SECOND + index * SECOND // 20
            bag.delay_ns = 70_000_000 if index == 1 else 1_000_000
            bag.camera_info("/front/camera_info", stamp_ns, focal=50 + index)
            bag.image("/front/image_raw", stamp_ns, image)
    with open_source(tmp_path / "drive") as source:
        frames = list(source)
    assert [(frame.stamp_ns - 100 * SECOND) // 1_000_000 for frame in frames] == [0, 50, 100, 150]
    assert [frame.camera.matrix[0, 0] for frame in frames] == [50, 51, 52, 53]
    for frame, image in zip(frames, pictures, strict=True):
        np.testing.assert_array_equal(frame.image, image)
    assert "100.050000000 comes after 100.100000000 (out of order)" in caplog.text


def test_length_and_rate(tmp_path, storage):
    write_drive(tmp_path / "drive", storage)
    with open_source(tmp_path / "drive") as source:
        assert len(source) == 4
        assert source.rate == pytest.approx(20)


def test_single_file_of_a_bag_is_opened(tmp_path, storage):
    write_drive(tmp_path / "drive", storage)
    (file,) = (path for path in (tmp_path / "drive").iterdir() if path.suffix in (".mcap", ".db3"))
    with open_source(file) as source:
        assert len(list(source)) == 4


def test_folder_without_metadata_is_opened_by_its_one_file(tmp_path, storage):
    write_drive(tmp_path / "drive", storage)
    (tmp_path / "drive" / "metadata.yaml").unlink()
    with open_source(tmp_path / "drive") as source:
        assert len(list(source)) == 4


def test_camera_info_is_that_of_the_time(tmp_path):
    write_drive(tmp_path / "drive")
    with open_source(tmp_path / "drive") as source:
        cameras = [frame.camera for frame in source]
        assert [camera.matrix[0, 0] for camera in cameras] == [50, 51, 52, 53]
        np.testing.assert_array_equal(cameras[0].distortion, [0.1, 0, 0, 0, 0])


def test_bag_can_be_read_again(tmp_path, storage):
    write_drive(tmp_path / "drive", storage)
    with open_source(tmp_path / "drive") as source:
        first, second = list(source), list(source)
    assert len(second) == 4
    assert first[0].camera.matrix[0, 0] == second[0].camera.matrix[0, 0]


def test_step_counts_images_only(tmp_path):
    pictures = write_drive(tmp_path / "drive")
    with open_source(tmp_path / "drive") as source:
        frames = list(source.frames(start=1, step=2))
    np.testing.assert_array_equal(frames[1].image, pictures[3])


def test_several_topics_are_listed(tmp_path):
    with BagWriter(tmp_path / "drive", "mcap") as bag:
        bag.image("/left/image_raw", 1, picture(0))
        bag.compressed_image("/right/image_raw/compressed", 1, picture(1))
    with pytest.raises(
        ValueError,
        match=r"several.*with topic=: /left/image_raw \(1 x Image\), "
        r"/right/image_raw/compressed \(1 x CompressedImage\)",
    ):
        open_source(tmp_path / "drive")


def test_topic_is_chosen_by_option(tmp_path):
    with BagWriter(tmp_path / "drive", "mcap") as bag:
        for seed, side in enumerate(("left", "right")):
            bag.camera_info(f"/{side}/camera_info", 1, focal=50 + seed)
            bag.image(f"/{side}/image_raw", 1, picture(seed))
    with open_source(f"{tmp_path / 'drive'},topic=/right/image_raw") as source:
        (frame,) = source
    np.testing.assert_array_equal(frame.image, picture(1))
    assert frame.camera.matrix[0, 0] == 51


def test_unknown_topic_lists_those_there(tmp_path):
    write_drive(tmp_path / "drive")
    with pytest.raises(ValueError, match=r"no image topic '/rear'; it has /front/image_raw"):
        open_source(tmp_path / "drive", topic="/rear")


def test_compressed_images_are_decoded_and_paired(tmp_path):
    with BagWriter(tmp_path / "drive", "mcap") as bag:
        bag.camera_info("/front/camera_info", 1, focal=50)
        bag.compressed_image("/front/image_raw/compressed", 1, picture(0))
    with open_source(tmp_path / "drive") as source:
        (frame,) = source
    np.testing.assert_array_equal(frame.image, picture(0))
    assert frame.camera.matrix[0, 0] == 50


def test_raw_is_taken_where_both_transports_were_recorded(tmp_path):
    with BagWriter(tmp_path / "drive", "mcap") as bag:
        bag.compressed_image("/front/image_raw/compressed", 1, picture(0))
        bag.image("/front/image_raw", 1, picture(1))
    with open_source(tmp_path / "drive") as source:
        assert source.topic == "/front/image_raw"


def test_camera_info_of_another_namespace_is_not_taken(tmp_path, caplog):
    with BagWriter(tmp_path / "drive", "mcap") as bag:
        bag.camera_info("/rear/camera_info", 1, focal=50)
        bag.image("/front/image_raw", 1, picture(0))
    with open_source(tmp_path / "drive") as source:
        assert source.camera is None
    assert "no /front/camera_info" in caplog.text
    assert "/rear/camera_info" in caplog.text


def test_camera_info_topic_is_chosen_by_option(tmp_path):
    with BagWriter(tmp_path / "drive", "mcap") as bag:
        bag.camera_info("/rear/camera_info", 1, focal=50)
        bag.image("/front/image_raw", 1, picture(0))
    with open_source(tmp_path / "drive", camera_info_topic="/rear/camera_info") as source:
        assert source.camera.matrix[0, 0] == 50
    with pytest.raises(ValueError, match=r"no camera_info topic '/top'; it has /rear/camera_info"):
        open_source(tmp_path / "drive", camera_info_topic="/top")


def test_zero_intrinsics_are_uncalibrated(tmp_path):
    with BagWriter(tmp_path / "drive", "mcap") as bag:
        bag.camera_info("/front/camera_info", 1, focal=0)
        bag.image("/front/image_raw", 1, picture(0))
    with open_source(tmp_path / "drive") as source:
        assert [frame.camera for frame in source] == [None]


PROJECTION = np.array([40.0, 0, 30, -4, 0, 40, 23, 0, 0, 0, 1, 0])


def write_rectified(path, topic, **fields):
    with BagWriter(path, "mcap") as bag:
        bag.camera_info("/left/camera_info", 1, **{"p": PROJECTION, **fields})
        bag.image(topic, 1, picture(0))
    return path


@pytest.mark.parametrize(
    ("topic", "rectified", "focal"),
    [
        ("/left/image_rect", None, 40),
        ("/left/image_rect_color", None, 40),
        ("/left/image_rect", False, 50),
        ("/left/image_raw", None, 50),
        ("/left/image_raw", True, 40),
    ],
)
def test_rectified_images_have_the_intrinsics_of_p(tmp_path, topic, rectified, focal):
    write_rectified(tmp_path / "drive", topic)
    with open_source(tmp_path / "drive", rectified=rectified) as source:
        (frame,) = source
    assert (frame.camera.matrix[0, 0], frame.camera.is_pinhole) == (focal, focal == 40)
    if rectified is not None:
        uri = f"{tmp_path / 'drive'},rectified={str(rectified).lower()}"
        with open_source(uri) as source:
            assert source.camera.matrix[0, 0] == focal


def test_camera_info_with_only_p_is_of_rectified_images(tmp_path):
    write_rectified(tmp_path / "drive", "/left/image_raw", focal=0, d=np.zeros(0))
    with open_source(tmp_path / "drive") as source:
        (frame,) = source
    assert (frame.camera.matrix[0, 2], frame.camera.rectified) == (30, True)


def test_rectified_images_without_p_have_no_intrinsics(tmp_path, caplog):
    write_rectified(tmp_path / "drive", "/left/image_rect", p=np.zeros(12))
    with open_source(tmp_path / "drive") as source:
        assert source.camera is None
    assert "P, which describes it, is zero" in caplog.text


def test_cropped_and_binned_images_fit_their_camera_info(tmp_path):
    with BagWriter(tmp_path / "drive", "mcap") as bag:
        for stamp_ns in (1, 2):
            bag.camera_info(
                "/camera_info", stamp_ns, roi=(8, 4, 40, 48, False), binning_x=2, binning_y=4
            )
        bag.image("/image_raw", 1, np.ascontiguousarray(picture(0)[:10, :24]))
        bag.image("/image_raw", 2, picture(0))  # of the full resolution, which does not fit
    with open_source(tmp_path / "drive") as source:
        (frame,) = source
    assert source.skipped == [
        ("/image_raw[1]", "image of 64x48 pixels, but the intrinsics are for 24x10")
    ]
    np.testing.assert_array_equal(frame.camera.matrix, [[25, 0, 12], [0, 12.5, 5], [0, 0, 1]])


def test_camera_info_that_makes_no_sense_is_told_once(tmp_path, caplog):
    with BagWriter(tmp_path / "drive", "mcap") as bag:
        for stamp_ns in (1, 2):
            bag.camera_info("/front/camera_info", stamp_ns, focal=np.nan)
            bag.image("/front/image_raw", stamp_ns, picture(0))
    with open_source(tmp_path / "drive") as source:
        assert [frame.camera for frame in source] == [None, None]
    assert caplog.text.count("/front/camera_info is of no use") == 1


@pytest.mark.parametrize("stamp_ns", [0, -5_000_000_000])
def test_message_without_stamp_takes_the_time_of_recording(tmp_path, stamp_ns):
    with BagWriter(tmp_path / "drive", "mcap") as bag:
        bag.delay_ns -= stamp_ns
        bag.image("/image", stamp_ns, picture(0))
    with open_source(tmp_path / "drive") as source:
        assert [frame.stamp_ns for frame in source] == [1_000_000]


def test_topic_in_the_root_namespace_is_paired(tmp_path):
    with BagWriter(tmp_path / "drive", "mcap") as bag:
        bag.camera_info("/camera_info", 1, focal=50)
        bag.image("/image", 1, picture(0))
    with open_source(tmp_path / "drive") as source:
        assert source.camera is not None


@pytest.mark.parametrize(
    ("dtype", "encoding"), [(np.float32, "32FC1"), (np.int16, "16SC1"), (np.uint16, "16UC1")]
)
def test_pixels_of_more_than_8_bits_are_kept(tmp_path, dtype, encoding):
    image = picture(0).astype(dtype) - 9
    with BagWriter(tmp_path / "drive", "mcap") as bag:
        bag.image("/thermal/image_raw", SECOND, image, encoding)
    with open_source(tmp_path / "drive") as source:
        (frame,) = source
    np.testing.assert_array_equal(frame.image, image)
    frame.image[0] = 0  # a copy of one's own, which can be drawn on


def test_mosaic_is_the_same_raw_and_compressed(tmp_path):
    raw = picture(0)
    frames = []
    for name in ("raw", "compressed"):
        with BagWriter(tmp_path / name, "mcap") as bag:
            if name == "raw":
                bag.image("/cam/image_raw", SECOND, raw, "bayer_gbrg8")
            else:
                bag.compressed_image(
                    "/cam/image_raw/compressed", SECOND, raw, "bayer_gbrg8; png compressed "
                )
        with open_source(tmp_path / name) as source:
            frames.extend(source)
    assert frames[0].encoding == "bgr8"
    np.testing.assert_array_equal(frames[0].image, frames[1].image)


def test_message_of_unknown_encoding_is_skipped(tmp_path):
    with BagWriter(tmp_path / "drive", "mcap") as bag:
        bag.image("/image", 1, picture(0))
        bag.image("/image", 2, picture(1), encoding="secret")
        bag.image("/image", 3, picture(2))
    with open_source(tmp_path / "drive") as source:
        assert len(list(source)) == 2
        ((name, reason),) = source.skipped
    assert name == "/image[1]"
    assert "'secret'" in reason


def test_bag_without_images_lists_its_topics(tmp_path):
    with BagWriter(tmp_path / "drive", "mcap") as bag:
        bag.camera_info("/camera_info", 1, focal=50)
    with pytest.raises(ValueError, match=r"no topic of sensor_msgs/Image.*only /camera_info"):
        open_source(tmp_path / "drive")


def test_cut_off_bag_says_how_to_mend_it(tmp_path, storage):
    write_drive(tmp_path / "drive", storage)
    (file,) = (path for path in (tmp_path / "drive").iterdir() if path.suffix in (".mcap", ".db3"))
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="drive"):
        list(open_source(tmp_path / "drive"))


def test_folder_of_two_bags_without_metadata_is_refused(tmp_path):
    write_drive(tmp_path / "drive")
    (tmp_path / "drive" / "metadata.yaml").unlink()
    file = tmp_path / "drive" / "drive.mcap"
    shutil.copy(file, file.with_name("other.mcap"))
    with pytest.raises(ValueError, match="ros2 bag reindex"):
        open_source(tmp_path / "drive")


def test_missing_package_says_what_to_install(tmp_path, monkeypatch):
    write_drive(tmp_path / "drive")
    monkeypatch.setitem(sys.modules, "rosbags.highlevel", None)
    with pytest.raises(ImportError, match="pip install rosbags"):
        open_source(tmp_path / "drive")


def replace_bytes(path, *pairs):
    """Change a file in place, to what other recorders write."""
    content = path.read_bytes()
    for old, new in pairs:
        assert old in content
        content = content.replace(old, new)
    path.write_bytes(content)


def test_topic_that_has_messages_is_taken(tmp_path):
    with BagWriter(tmp_path / "drive", "mcap") as bag:
        bag.image("/left/image_raw", 1, picture(0))
        bag.declare("/right/image_raw", "sensor_msgs/msg/Image")
        bag.declare("/left/image_raw/compressed", "sensor_msgs/msg/CompressedImage")
    with open_source(tmp_path / "drive") as source:
        assert source.topic == "/left/image_raw"


def test_compressed_is_taken_where_raw_was_declared_only(tmp_path):
    with BagWriter(tmp_path / "drive", "mcap") as bag:
        bag.declare("/left/image_raw", "sensor_msgs/msg/Image")
        bag.compressed_image("/left/image_raw/compressed", 1, picture(0))
    with open_source(tmp_path / "drive") as source:
        assert len(list(source)) == 1


def test_topic_without_messages_lists_the_others(tmp_path):
    with BagWriter(tmp_path / "drive", "mcap") as bag:
        bag.image("/left/image_raw", 1, picture(0))
        bag.declare("/right/image_raw", "sensor_msgs/msg/Image")
    with pytest.raises(ValueError, match=r"no messages.*/left/image_raw \(1 x Image\)"):
        open_source(tmp_path / "drive", topic="/right/image_raw")


def test_channels_of_foreign_encodings_are_left_aside(tmp_path):
    write_drive(tmp_path / "drive")
    (tmp_path / "drive" / "metadata.yaml").unlink()
    replace_bytes(
        tmp_path / "drive" / "drive.mcap",
        (
            b"sensor_msgs/msg/CameraInfo\x07\0\0\0ros2msg",
            b"sensor_msgs/msg/CameraInfo\x07\0\0\0protobu",
        ),
        (b"/front/camera_info\x03\0\0\0cdr", b"/front/camera_info\x03\0\0\0pro"),
    )
    with open_source(tmp_path / "drive") as source:
        frames = list(source)
    assert [frame.camera for frame in frames] == [None] * 4


def test_mcap_of_ros_1_is_named_as_such(tmp_path):
    write_drive(tmp_path / "drive")
    file = tmp_path / "drive" / "drive.mcap"
    replace_bytes(file, (b"\x04\0\0\0ros2", b"\x04\0\0\0ros1"))
    with pytest.raises(ValueError, match=r"content of ROS 1, and") as caught:
        open_source(file)
    assert "mended" not in str(caught.value)


def test_bag_with_wrong_metadata_is_read_by_its_files(tmp_path, storage, caplog):
    write_drive(tmp_path / "drive", storage)
    metadata = tmp_path / "drive" / "metadata.yaml"
    metadata.write_text(
        metadata.read_text().replace(f"storage_identifier: {storage}", "storage_identifier: ''")
    )
    with open_source(tmp_path / "drive") as source:
        assert len(list(source)) == 4
    assert "read without its metadata.yaml: Storage plugin ''" in caplog.text


def test_recording_split_into_files_is_read_without_metadata(tmp_path):
    for part in (9, 10):
        with BagWriter(tmp_path / f"drive_{part}", "mcap") as bag:
            bag.image("/image", part, picture(part))
    file = tmp_path / "drive_10" / "drive_10.mcap"
    file.rename(tmp_path / "drive_9" / "drive_10.mcap")
    (tmp_path / "drive_9" / "metadata.yaml").unlink()
    with open_source(tmp_path / "drive_9") as source:
        assert [frame.stamp_ns for frame in source] == [9, 10]
        assert len(source) == 2


def test_unfinished_recording_is_named_as_such(tmp_path):
    write_drive(tmp_path / "drive")
    file = tmp_path / "drive" / "drive.mcap"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ValueError, match="cut off can be mended with `mcap recover`"):
        open_source(file)


def test_compressed_file_of_a_bag_says_how_to_unpack_it(tmp_path):
    (tmp_path / "drive_0.mcap.zstd").write_bytes(b"anything")
    with pytest.raises(ValueError, match="compressed.*unzstd"):
        open_source(tmp_path / "drive_0.mcap.zstd")


def test_a_folder_without_files_is_no_bag(tmp_path):
    with pytest.raises(ValueError, match="no bag: .*record"):
        open_source(f"rosbag:{tmp_path}")


def test_video_packets_are_named(tmp_path):
    with BagWriter(tmp_path / "drive", "mcap") as bag:
        bag.compressed_image("/image/h264", 1, picture(0))
    (tmp_path / "drive" / "metadata.yaml").unlink()
    replace_bytes(
        tmp_path / "drive" / "drive.mcap",
        (b"sensor_msgs/msg/CompressedImage", b"foxglove/msgs/x/CompressedVideo"),
    )
    with pytest.raises(ValueError, match=r"Video packets as in /image/h264 .*republish"):
        open_source(tmp_path / "drive")


@pytest.mark.parametrize("mode", ["FILE", "MESSAGE", "STORAGE"])
def test_compressed_bag_is_read(tmp_path, mode):
    with BagWriter(tmp_path / "drive", "mcap", compression=mode) as bag:
        bag.image("/image", 1, picture(0))
    with open_source(tmp_path / "drive") as source:
        (frame,) = source
    np.testing.assert_array_equal(frame.image, picture(0))


def test_foreign_images_are_named_with_their_encoding(tmp_path):
    with BagWriter(tmp_path / "drive", "mcap") as bag:
        bag.image("/image", 1, picture(0))
    (tmp_path / "drive" / "metadata.yaml").unlink()
    replace_bytes(
        tmp_path / "drive" / "drive.mcap", (b"/image\x03\0\0\0cdr", b"/image\x03\0\0\0pro")
    )
    with pytest.raises(ValueError, match=r"only /image \(sensor_msgs/msg/Image, pro\)"):
        open_source(tmp_path / "drive")


@pytest.mark.parametrize("suffix", [".mcap", ".db3", ".bag"])
def test_file_that_is_no_bag_gets_no_advice_for_recordings(tmp_path, suffix):
    (tmp_path / f"drive{suffix}").write_bytes(b"anything but a recording of messages, at length")
    with pytest.raises(ValueError, match=f"is no {suffix} file") as caught:
        open_source(tmp_path / f"drive{suffix}")
    assert "mended" not in str(caught.value)


def test_a_camera_is_chosen_by_its_base_topic(tmp_path, storage):
    """As image_transport's users know it, whatever was recorded of it."""
    with BagWriter(tmp_path / "drive", storage) as bag:
        for side in ("left", "right"):
            bag.compressed_image(f"/{side}/image_raw/compressed", SECOND, picture(0))
    with open_source(tmp_path / "drive", topic="left/image_raw") as source:
        assert source.topic == "/left/image_raw/compressed"
        assert len(list(source)) == 1


def test_messages_that_the_index_announces_and_does_not_give_are_told(tmp_path, caplog):
    write_drive(tmp_path / "drive")
    with open_source(tmp_path / "drive") as source:
        source._length += 2
        assert len(list(source)) == 4
    assert "announces 6 messages on /front/image_raw and delivers 4" in caplog.text


@pytest.mark.parametrize("below", ["drive", "drive/old.bag"])
def test_folder_of_bags_names_one(tmp_path, below):
    if below == "drive":
        write_drive(tmp_path / "drive")
    else:
        (tmp_path / "drive").mkdir()
        (tmp_path / below).write_bytes(b"#ROSBAG V2.0\n")
    with pytest.raises(ValueError, match=f"give one of them, such as .*{below}$"):
        open_source((tmp_path / below).parent)


@pytest.mark.parametrize("is_after", [False, True])
def test_each_image_has_the_camera_info_of_its_stamp(tmp_path, storage, is_after):
    """Of a camera that zooms, also where camera_info is recorded after the image."""
    with BagWriter(tmp_path / "drive", storage) as bag:
        for index in range(12):
            stamp_ns = 100 * SECOND + index * SECOND // 20
            bag.delay_ns = 5_000_000
            bag.image("/front/image_raw", stamp_ns, picture(index))
            bag.delay_ns += 1_000_000 if is_after else -1_000_000
            bag.camera_info("/front/camera_info", stamp_ns, focal=50 + index)
    with open_source(tmp_path / "drive") as source:
        assert [frame.camera.matrix[0, 0] for frame in source] == list(range(50, 62))


@pytest.mark.parametrize("mode, reason", [
    ("FILE", "its files are compressed: unpack them with `unzstd`"),
    ("MESSAGE", "each message is compressed"),
])  # fmt: skip
def test_a_compressed_bag_without_metadata_is_told(tmp_path, mode, reason):
    with BagWriter(tmp_path / "drive", "sqlite3", mode) as bag:
        bag.image("/front/image_raw", SECOND, picture(0))
    (tmp_path / "drive" / "metadata.yaml").unlink()
    with pytest.raises(ValueError, match=reason):
        open_source(tmp_path / "drive")


@pytest.mark.parametrize("same_stamp", [True, False])
def test_camera_info_of_the_size_of_the_image_is_taken(tmp_path, storage, same_stamp):
    """Two cameras, full and half size, publish on one camera_info topic."""
    with BagWriter(tmp_path / "drive", storage) as bag:
        for index in range(3):
            stamp_ns = (10 + index) * SECOND
            info_ns = stamp_ns if same_stamp else stamp_ns - 1000
            bag.camera_info("/front/camera_info", info_ns, focal=50 + index)
            bag.camera_info("/front/camera_info", info_ns, focal=25, width=32, height=24)
            bag.image("/front/image_raw", stamp_ns, picture(index))
    with open_source(tmp_path / "drive") as source:
        frames = list(source)
        assert not source.skipped
    assert [frame.camera.matrix[0, 0] for frame in frames] == [50, 51, 52]


def test_image_of_another_size_than_any_camera_info_is_skipped(tmp_path):
    with BagWriter(tmp_path / "drive", "mcap") as bag:
        bag.camera_info("/front/camera_info", SECOND)
        bag.image("/front/image_raw", SECOND, picture(0))
        bag.image("/front/image_raw", 2 * SECOND, picture(1, 32, 24))
    with open_source(tmp_path / "drive") as source:
        assert len(list(source)) == 1
        assert "the intrinsics are for 64x48" in source.skipped[0][1]


def test_uncalibrated_camera_info_is_kept_as_recorded(tmp_path):
    with BagWriter(tmp_path / "drive", "mcap") as bag:
        bag.camera_info("/front/camera_info", SECOND, focal=0, binning_x=2, width=128, height=48)
        bag.image("/front/image_raw", SECOND, picture(0))
    with open_source(tmp_path / "drive") as source:
        (frame,) = source
    assert frame.camera is None
    assert (frame.calibration.width, frame.calibration.binning_x) == (128, 2)
    assert frame.calibration.distortion_model == "plumb_bob"
    assert frame.calibration.d == (0.1, 0, 0, 0, 0)


# Depth and right images


def test_frames_have_the_depth_and_right_image_recorded_beside_them(tmp_path):
    images, rights = ([picture(seed) for seed in seeds] for seeds in (range(4), range(4, 8)))
    depth = np.full((48, 64), 1500, np.uint16)
    with BagWriter(tmp_path / "bag", "mcap") as bag:
        for index, (image, right) in enumerate(zip(images, rights, strict=True)):
            stamp_ns = (index + 1) * 100_000_000
            if index != 1:  # recorded before its image, and 10 ms away
                bag.image("/cam/depth", stamp_ns + 10_000_000, depth + index, "16UC1")
            bag.image("/cam/left/image", stamp_ns, image)
            if index != 2:
                bag.image("/cam/right/image", stamp_ns + 1_000_000, right)
            bag.camera_info("/cam/left/camera_info", stamp_ns)
            projection = [50, 0, 32, -5, 0, 50, 24, 0, 0, 0, 1, 0]
            bag.camera_info("/cam/right/camera_info", stamp_ns, p=np.array(projection, float))
    uri = f"{tmp_path / 'bag'},topic=/cam/left/image,depth_topic=/cam/depth"
    frames = list(open_source(f"{uri},right_topic=/cam/right/image"))
    depths = [None if frame.depth is None else round(1e3 * frame.depth[0, 0]) for frame in frames]
    assert depths == [1500, None, 1502, 1503]
    assert [frame.right is None for frame in frames] == [False, False, True, False]
    np.testing.assert_array_equal(frames[3].right.image, rights[3])
    rig = StereoRig.of_cameras(frames[3].camera, frames[3].right.camera)
    assert rig.baseline == pytest.approx(0.1)
