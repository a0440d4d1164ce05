// Copyright 2026 The feature_booster_ros authors
// SPDX-License-Identifier: Apache-2.0
//
// Boost ORB in C++, with ONNX Runtime and a file of `feature-booster export ORB+Boost-B`.
#pragma once

#include <algorithm>
#include <array>
#include <onnxruntime_cxx_api.h>
#include <opencv2/core.hpp>
#include <string>
#include <vector>

class OrbBooster
{
public:
  explicit OrbBooster(const std::string & path, int threads = 1)
  {
    Ort::SessionOptions options;
    options.SetIntraOpNumThreads(threads);
    session_ = Ort::Session(environment_, path.c_str(), options);
  }

  // Replace the descriptors (N x 32, CV_8U) of all keypoints of an image by boosted ones. Several
  // threads may call this at a time. The keypoints are those of the full image, as OpenCV's and
  // ORB-SLAM's extractors return them: size 31 pixels times the pyramid's scale, angle in degrees.
  void boost(
    const std::vector<cv::KeyPoint> & keypoints, const cv::Size & image, cv::Mat & descriptors)
  {
    const int64_t count = keypoints.size();
    if (count == 0) {return;}
    CV_Assert(descriptors.rows == count && descriptors.cols == 32 && descriptors.type() == CV_8U);

    // Bits as +1 and -1, the first bit of a row being the least significant of its first byte.
    std::vector<float> bits(count * 256), geometry(count * 4);
    const double focal = 0.7 * std::max(image.width, image.height);
    for (int64_t i = 0; i < count; ++i) {
      const uchar * row = descriptors.ptr(i);
      for (int bit = 0; bit < 256; ++bit) {
        bits[i * 256 + bit] = (row[bit / 8] >> bit % 8 & 1) ? 1.0f : -1.0f;
      }
      const cv::KeyPoint & keypoint = keypoints[i];
      geometry[i * 4] = (keypoint.pt.x - image.width / 2.0) / focal;
      geometry[i * 4 + 1] = (keypoint.pt.y - image.height / 2.0) / focal;
      geometry[i * 4 + 2] = keypoint.size / 31.0f;
      geometry[i * 4 + 3] = keypoint.angle * static_cast<float>(CV_PI / 180);
    }

    const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    const std::array<int64_t, 2> bits_shape{count, 256}, geometry_shape{count, 4};
    const std::array<Ort::Value, 2> inputs{
      Ort::Value::CreateTensor<float>(memory, bits.data(), bits.size(), bits_shape.data(), 2),
      Ort::Value::CreateTensor<float>(
        memory, geometry.data(), geometry.size(), geometry_shape.data(), 2)};
    const std::array<const char *, 2> names{"descriptors", "keypoints"};
    const char * output = "boosted";
    const auto outputs =
      session_.Run(Ort::RunOptions{nullptr}, names.data(), inputs.data(), 2, &output, 1);

    const uint8_t * boosted = outputs.front().GetTensorData<uint8_t>();  // N x 256, 0 or 1
    cv::Mat packed = cv::Mat::zeros(count, 32, CV_8U);  // a new one: others may share the old one
    for (int64_t i = 0; i < count; ++i) {
      uchar * row = packed.ptr(i);
      for (int bit = 0; bit < 256; ++bit) {row[bit / 8] |= boosted[i * 256 + bit] << bit % 8;}
    }
    descriptors = packed;
  }

private:
  Ort::Env environment_{ORT_LOGGING_LEVEL_WARNING, "orb_booster"};
  Ort::Session session_{nullptr};
};
