// Copyright 2026 The feature_booster_ros authors
// SPDX-License-Identifier: Apache-2.0
//
// SIFT: D. Lowe, Distinctive Image Features from Scale-Invariant Keypoints, IJCV 60(2), 2004. The
// sections named below are the paper's. Where the paper leaves a choice (borders, thresholds, number
// of octaves, order of the descriptor), it is OpenCV's, so that the features are the same.
//
// features/sift_native.py calls the C interface at the end of the file.

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <new>
#include <numeric>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

// Functions marked SIMD are compiled twice on x86-64 Linux, for every processor and for those with
// AVX2 and FMA (x86-64-v3), and the loader chooses. Elsewhere the instructions that all processors of
// the platform have, such as NEON, are used.
#ifndef SIMD
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#if __GNUC__ >= 12
#define SIMD __attribute__((target_clones("arch=x86-64-v3", "default")))
#else  // older ones know no x86-64-v3
#define SIMD __attribute__((target_clones("avx2", "default")))
#endif
#else
#define SIMD
#endif
#endif
#define INLINE inline __attribute__((always_inline))

// Vectors are passed between inlined functions only, so that no calling convention matters.
#pragma GCC diagnostic ignored "-Wpsabi"

namespace {

// Blur of the camera's images [px].
constexpr float kCameraSigma = 0.5f;
// Gaussians are cut off at this many sigmas.
constexpr float kGaussianRadius = 4;
// Width of the image's border without keypoints [px of the octave].
constexpr int kBorder = 5;
// Largest number of steps to the extremum of the interpolated function.
constexpr int kMaxSteps = 5;
// Bins of the histogram of orientations; and from which share of the highest on a peak counts.
constexpr int kOrientationBins = 36;
constexpr float kPeakShare = 0.8f;
// Sigma and radius of the orientation's window [sigmas of the keypoint].
constexpr float kOrientationSigma = 1.5f;
constexpr float kOrientationRadius = 3 * kOrientationSigma;
// The descriptor has kCells x kCells histograms of kBins orientations.
constexpr int kCells = 4;
constexpr int kBins = 8;
constexpr int kDescriptorLength = kCells * kCells * kBins;
// Width of a histogram's cell [sigmas of the keypoint].
constexpr float kCellWidth = 3;
// Largest element of a descriptor of unit length; then its length in integers.
constexpr float kMaxElement = 0.2f;
constexpr float kDescriptorUnit = 512;

// Memory that is kept for the next image [floats]: 256 MiB, enough for 2 megapixels.
constexpr size_t kKeptFloats = size_t{1} << 26;

constexpr float kPi = 3.14159265358979f;

// Floats of a vector, and those that are blurred at a time: rows are padded to whole blocks.
constexpr int kLanes = 8;
constexpr int kBlock = 64;

// An odd number of blocks, so that the pixels of a column do not share a part of the cache.
int padded(int length) { return ((length + kBlock - 1) / kBlock | 1) * kBlock; }

// Threads ------------------------------------------------------------------------------------------

// Call work(index) for all indices below `count`, in any order, on up to `threads` threads.
void run(int threads, int count, const std::function<void(int)>& work) {
  std::atomic<int> next{0};
  const auto take_part = [&] {
    for (int index; (index = next++) < count;) work(index);
  };
  std::vector<std::future<void>> others;
  for (int other = 1; other < std::min(threads, count); ++other)
    others.push_back(std::async(std::launch::async, take_part));
  take_part();
  for (auto& other : others) other.get();
}

// Scale space: section 3 -----------------------------------------------------------------------------

// Rows of floats in memory that belongs to the workspace.
struct Image {
  float* pixels;
  int height, width;

  float* row(int y) const { return pixels + static_cast<ptrdiff_t>(y) * padded(width); }
  float at(int y, int x) const { return row(y)[x]; }
};

// Call work(begin, end) for parts of the rows 0..height that are worth a thread.
void for_rows(int threads, int height, int width, const std::function<void(int, int)>& work) {
  const int64_t parts = std::clamp(int64_t{height} * width / 16384, int64_t{1},
                                   int64_t{std::min(height, 8 * threads)});
  run(threads, static_cast<int>(parts), [&](int part) {
    work(static_cast<int>(height * part / parts), static_cast<int>(height * (part + 1) / parts));
  });
}

// The index of a pixel mirrored at the border's pixels: -1 is 1.
int mirrored(int index, int length) {
  if (length == 1) return 0;
  while (index < 0 || index >= length) index = index < 0 ? -index : 2 * (length - 1) - index;
  return index;
}

typedef float Floats __attribute__((vector_size(4 * kLanes), aligned(4), may_alias));

INLINE Floats load(const float* from) { return *reinterpret_cast<const Floats*>(from); }
INLINE void store(float* to, Floats values) { *reinterpret_cast<Floats*>(to) = values; }

// Add rows weighted by a symmetric kernel: kernel[0] is the weight of rows[radius], kernel[i] that
// of rows[radius - i] and rows[radius + i].
SIMD void add_weighted(const float* const* rows, const float* kernel, int radius, int width,
                       float* sum) {
  for (int x = 0; x < width; x += kBlock) {
    Floats sums[kBlock / kLanes];
    for (int k = 0; k < kBlock / kLanes; ++k)
      sums[k] = kernel[0] * load(rows[radius] + x + k * kLanes);
    for (int i = 1; i <= radius; ++i) {
      const float* before = rows[radius - i] + x;
      const float* after = rows[radius + i] + x;
      for (int k = 0; k < kBlock / kLanes; ++k)
        sums[k] += kernel[i] * (load(before + k * kLanes) + load(after + k * kLanes));
    }
    for (int k = 0; k < kBlock / kLanes; ++k) store(sum + x + k * kLanes, sums[k]);
  }
}

// The values of a Gaussian at -radius..radius, 1 at its center.
std::vector<float> gaussian(float sigma, int radius) {
  std::vector<float> values(2 * radius + 1 + kLanes);
  for (int i = -radius; i <= radius; ++i)
    values[radius + i] = std::exp(-0.5f * static_cast<float>(i * i) / (sigma * sigma));
  return values;
}

// Half of a Gaussian kernel, from its center on; the sum of the whole is 1.
std::vector<float> blur_kernel(float sigma) {
  const int size = static_cast<int>(std::lrint(2 * kGaussianRadius * sigma + 1)) | 1;
  std::vector<float> kernel = gaussian(sigma, size / 2);
  kernel.resize(size);
  const double sum = std::accumulate(kernel.begin(), kernel.end(), 0.0);
  for (float& value : kernel) value = static_cast<float>(value / sum);
  kernel.erase(kernel.begin(), kernel.begin() + size / 2);
  return kernel;
}

// Blur the rows begin..end of an image of the same size.
void blur_rows(const Image& image, const std::vector<float>& kernel, const Image& blurred,
               int begin, int end) {
  const int radius = static_cast<int>(kernel.size()) - 1, width = image.width;
  const int margin = padded(radius);
  std::vector<float> memory(margin + padded(width) + margin);
  float* const sums = memory.data() + margin;  // of the columns
  std::vector<const float*> rows(2 * radius + 1), shifted(2 * radius + 1);
  for (int i = -radius; i <= radius; ++i) shifted[radius + i] = sums + i;
  for (int y = begin; y < end; ++y) {
    for (int i = -radius; i <= radius; ++i)
      rows[radius + i] = image.row(mirrored(y + i, image.height));
    add_weighted(rows.data(), kernel.data(), radius, padded(width), sums);
    for (int i = 1; i <= radius; ++i) {
      sums[-i] = sums[mirrored(-i, width)];
      sums[width - 1 + i] = sums[mirrored(width - 1 + i, width)];
    }
    add_weighted(shifted.data(), kernel.data(), radius, padded(width), blurred.row(y));
  }
}

void blur(int threads, const Image& image, float sigma, const Image& blurred) {
  const std::vector<float> kernel = blur_kernel(sigma);
  for_rows(threads, image.height, image.width, [&](int begin, int end) {
    blur_rows(image, kernel, blurred, begin, end);
  });
}

// The image at double size, by linear interpolation: its pixel (2 x, 2 y) is the image's (x, y).
void double_size(int threads, const uint8_t* image, int height, int width, const Image& doubled) {
  for_rows(threads, doubled.height, width, [&](int begin, int end) {
    for (int y = begin; y < end; ++y) {
      const uint8_t* a = image + ptrdiff_t{y / 2} * width;
      const uint8_t* b = image + ptrdiff_t{std::min((y + 1) / 2, height - 1)} * width;
      float* row = doubled.row(y);
      for (int x = 0; x < width; ++x) {
        const int next = std::min(x + 1, width - 1);
        row[2 * x] = 0.5f * static_cast<float>(a[x] + b[x]);
        row[2 * x + 1] = 0.25f * static_cast<float>(a[x] + b[x] + a[next] + b[next]);
      }
    }
  });
}

void halve(int threads, const Image& image, const Image& half) {
  for_rows(threads, half.height, half.width, [&](int begin, int end) {
    for (int y = begin; y < end; ++y)
      for (int x = 0; x < half.width; ++x) half.row(y)[x] = image.row(2 * y)[2 * x];
  });
}

// Images blurred to sigma, sigma k, sigma k^2 ..., k being 2^(1 / layers): layers + 3 of them, so
// that `layers` differences of Gaussians have one on either side.
using Octave = std::vector<Image>;

struct Options {
  int layers;
  float contrast_threshold, edge_threshold, sigma;
};

// Memory of the scale space, which is kept for the next image, as the system takes long to give it.
class ScaleSpace {
 public:
  const std::vector<Octave>& build(int threads, const uint8_t* image, int height, int width,
                                   const Options& options) {
    allocate(2 * height, 2 * width, options.layers + 3);
    for (size_t index = 0; index < octaves_.size(); ++index) {
      const Octave& octave = octaves_[index];
      if (index == 0) {
        // The second image of the octave is free yet.
        double_size(threads, image, height, width, octave[1]);
        blur(threads, octave[1], added_blur(2 * kCameraSigma, options.sigma), octave[0]);
      } else {
        halve(threads, octaves_[index - 1][options.layers], octave[0]);
      }
      for (int scale = 1; scale < options.layers + 3; ++scale) {
        const float before = sigma_at(options, static_cast<float>(scale - 1));
        const float after = sigma_at(options, static_cast<float>(scale));
        blur(threads, octave[scale - 1], added_blur(before, after), octave[scale]);
      }
    }
    return octaves_;
  }

  // Blur of a scale [px of its octave].
  static float sigma_at(const Options& options, float scale) {
    return options.sigma * std::exp2(scale / static_cast<float>(options.layers));
  }

  // Give the memory of a large image back to the system.
  void trim() {
    if (capacity_ > kKeptFloats) {
      memory_.reset();
      capacity_ = 0;
    }
  }

 private:
  // The blur that takes an image from one sigma to another.
  static float added_blur(float before, float after) {
    return std::sqrt(std::max(after * after - before * before, 0.01f));
  }

  void allocate(int height, int width, int scales) {
    const int count =
        static_cast<int>(std::lrint(std::log2(static_cast<double>(std::min(height, width))) - 2)) + 1;
    octaves_.assign(std::max(count, 0), Octave(scales));
    size_t size = 0;
    for (Octave& octave : octaves_) {
      for (Image& image : octave) {
        image = {nullptr, height, width};
        size += static_cast<size_t>(height) * padded(width);
      }
      height /= 2, width /= 2;
    }
    if (size > capacity_) {
      memory_.reset();
      capacity_ = 0;
      // Zeros, as vectors reach into the padding; one block more for the last row's.
      memory_.reset(static_cast<float*>(std::calloc(size + kBlock, sizeof(float))));
      if (!memory_) throw std::bad_alloc();
      capacity_ = size;
    }
    float* next = memory_.get();
    for (Octave& octave : octaves_)
      for (Image& image : octave) {
        image.pixels = next;
        next += static_cast<ptrdiff_t>(image.height) * padded(image.width);
      }
  }

  std::vector<Octave> octaves_;
  std::unique_ptr<float, void (*)(void*)> memory_{nullptr, std::free};
  size_t capacity_ = 0;
};

// Keypoints: sections 3.1 and 4 ------------------------------------------------------------------

struct Keypoint {
  int octave, scale, y, x;    // of the sample nearest to the extremum
  float column, row, sigma;   // of the extremum [px of the octave]
  float contrast;             // absolute value of the difference of Gaussians, of 0..1
  float direction = 0;        // counterclockwise, in turns
};

SIMD void subtract(const float* a, const float* b, int width, float* difference) {
  for (int x = 0; x < width; ++x) difference[x] = a[x] - b[x];
}

// Mark the pixels begin..end of a row that are above the threshold, or below its negative, and the
// largest or smallest of their eight neighbors.
SIMD void mark_extrema(const float* above, const float* row, const float* below, float threshold,
                       int begin, int end, uint8_t* marks) {
  const auto larger = [](float a, float b) { return a > b ? a : b; };
  const auto smaller = [](float a, float b) { return a < b ? a : b; };
  for (int x = begin; x < end; ++x) {
    float highest = larger(row[x - 1], row[x + 1]), lowest = smaller(row[x - 1], row[x + 1]);
    for (int i = -1; i <= 1; ++i) {
      highest = larger(highest, larger(above[x + i], below[x + i]));
      lowest = smaller(lowest, smaller(above[x + i], below[x + i]));
    }
    const float value = row[x];
    marks[x] = static_cast<uint8_t>(((value > threshold) & (value >= highest)) |
                                    ((value < -threshold) & (value <= lowest)));
  }
}

// Whether no value of the 3 x 3 around rows[1][x] is larger (or smaller, for a negative value).
bool is_extreme(float value, const std::array<const float*, 3>& rows, int x) {
  for (const float* row : rows)
    for (int i = -1; i <= 1; ++i)
      if (value > 0 ? row[x + i] > value : row[x + i] < value) return false;
  return true;
}

// Fit a quadratic to the differences of Gaussians around an extremum (section 4), and return its
// extremum; nothing where it leaves the octave, its contrast is low, or it lies on an edge.
std::optional<Keypoint> localize(const Octave& octave, const Options& options, int index,
                                 int scale, int y, int x) {
  const int height = octave[0].height, width = octave[0].width;
  for (int step = 0; step < kMaxSteps; ++step) {
    // The difference of Gaussians, for white being 1.
    const auto at = [&](int s, int i, int j) {
      return (octave[scale + s + 1].at(y + i, x + j) - octave[scale + s].at(y + i, x + j)) / 255;
    };
    const float value = at(0, 0, 0);
    const float gx = 0.5f * (at(0, 0, 1) - at(0, 0, -1));
    const float gy = 0.5f * (at(0, 1, 0) - at(0, -1, 0));
    const float gs = 0.5f * (at(1, 0, 0) - at(-1, 0, 0));
    const float xx = at(0, 0, 1) + at(0, 0, -1) - 2 * value;
    const float yy = at(0, 1, 0) + at(0, -1, 0) - 2 * value;
    const float ss = at(1, 0, 0) + at(-1, 0, 0) - 2 * value;
    const float xy = 0.25f * (at(0, 1, 1) - at(0, 1, -1) - at(0, -1, 1) + at(0, -1, -1));
    const float xs = 0.25f * (at(1, 0, 1) - at(1, 0, -1) - at(-1, 0, 1) + at(-1, 0, -1));
    const float ys = 0.25f * (at(1, 1, 0) - at(1, -1, 0) - at(-1, 1, 0) + at(-1, -1, 0));

    // Equation 3 by Cramer's rule; the matrix is symmetric.
    const float a = yy * ss - ys * ys, b = xs * ys - xy * ss, c = xy * ys - yy * xs;
    const float determinant = xx * a + xy * b + xs * c;
    const float dx = -(a * gx + b * gy + c * gs) / determinant;
    const float dy = -(b * gx + (xx * ss - xs * xs) * gy + (xy * xs - xx * ys) * gs) / determinant;
    const float ds = -(c * gx + (xy * xs - xx * ys) * gy + (xx * yy - xy * xy) * gs) / determinant;
    // Far away; so are infinite and undefined values.
    if (!(std::abs(dx) + std::abs(dy) + std::abs(ds) < 1e6f)) return {};

    if (std::abs(dx) < 0.5f && std::abs(dy) < 0.5f && std::abs(ds) < 0.5f) {
      const float contrast = std::abs(value + 0.5f * (gx * dx + gy * dy + gs * ds));
      if (contrast * static_cast<float>(options.layers) < options.contrast_threshold) return {};
      // The ratio of principal curvatures (section 4.1).
      const float trace = xx + yy, curvature = xx * yy - xy * xy, r = options.edge_threshold;
      if (curvature <= 0 || trace * trace * r >= (r + 1) * (r + 1) * curvature) return {};
      const float sigma = ScaleSpace::sigma_at(options, static_cast<float>(scale) + ds);
      return Keypoint{index, scale, y, x, static_cast<float>(x) + dx, static_cast<float>(y) + dy,
                      sigma, contrast};
    }
    x += static_cast<int>(std::lrint(dx));
    y += static_cast<int>(std::lrint(dy));
    scale += static_cast<int>(std::lrint(ds));
    if (scale < 1 || scale > options.layers || x < kBorder || x >= width - kBorder ||
        y < kBorder || y >= height - kBorder)
      return {};
  }
  return {};
}

// Find the keypoints of the rows begin..end.
std::vector<Keypoint> find_in_rows(const Octave& octave, const Options& options, int index,
                                   int begin, int end) {
  const int width = octave[0].width, layers = options.layers;
  // Values that the interpolation cannot raise to the threshold are left out.
  const float threshold =
      std::floor(0.5f * options.contrast_threshold / static_cast<float>(layers) * 255);
  // Three rows of each difference of Gaussians, in turn.
  std::vector<float> memory(static_cast<size_t>(3 * (layers + 2)) * padded(width));
  const auto row = [&](int scale, int y) {
    return memory.data() + static_cast<ptrdiff_t>(3 * scale + y % 3) * padded(width);
  };
  std::vector<uint8_t> marks(padded(width) + sizeof(uint64_t));
  std::vector<Keypoint> found;
  for (int y = begin - 2; y < end; ++y) {
    for (int scale = 0; scale < layers + 2; ++scale)
      subtract(octave[scale + 1].row(y + 1), octave[scale].row(y + 1), padded(width),
               row(scale, y + 1));
    if (y < begin) continue;
    for (int scale = 1; scale <= layers; ++scale) {
      const auto rows = [&](int s) {
        return std::array<const float*, 3>{row(s, y - 1), row(s, y), row(s, y + 1)};
      };
      const auto [above, center, below] = rows(scale);
      mark_extrema(above, center, below, threshold, kBorder, width - kBorder, marks.data());
      for (int x = kBorder; x < width - kBorder; ++x) {
        uint64_t eight;
        std::memcpy(&eight, &marks[x], sizeof eight);
        if (eight == 0) {
          x += static_cast<int>(sizeof eight) - 1;
          continue;
        }
        if (marks[x] && is_extreme(center[x], rows(scale - 1), x) &&
            is_extreme(center[x], rows(scale + 1), x))
          if (const auto keypoint = localize(octave, options, index, scale, y, x))
            found.push_back(*keypoint);
      }
    }
  }
  return found;
}

// Sort keypoints by place: the pixels around successive ones are then in the processor's cache.
void sort_by_place(std::vector<Keypoint>& keypoints) {
  std::sort(keypoints.begin(), keypoints.end(), [](const Keypoint& a, const Keypoint& b) {
    return std::tie(a.octave, a.scale, a.y, a.x, a.direction) <
           std::tie(b.octave, b.scale, b.y, b.x, b.direction);
  });
}

// Keep the `limit` keypoints of highest contrast, in their order of place.
void keep_strongest(std::vector<Keypoint>& keypoints, size_t limit) {
  if (keypoints.size() <= limit) return;
  std::stable_sort(keypoints.begin(), keypoints.end(), [](const Keypoint& a, const Keypoint& b) {
    return a.contrast > b.contrast;
  });
  keypoints.resize(limit);
  sort_by_place(keypoints);
}

std::vector<Keypoint> find_keypoints(int threads, const std::vector<Octave>& octaves,
                                     const Options& options) {
  std::vector<Keypoint> keypoints;
  std::mutex mutex;
  for (size_t index = 0; index < octaves.size(); ++index) {
    const int height = octaves[index][0].height - 2 * kBorder, width = octaves[index][0].width;
    if (height <= 0 || width <= 2 * kBorder) break;
    for_rows(threads, height, width, [&](int begin, int end) {
      const auto found = find_in_rows(octaves[index], options, static_cast<int>(index),
                                      begin + kBorder, end + kBorder);
      std::lock_guard lock(mutex);
      keypoints.insert(keypoints.end(), found.begin(), found.end());
    });
  }
  sort_by_place(keypoints);
  // Neighboring extrema may lead to the same one.
  const auto is_same = [](const Keypoint& a, const Keypoint& b) {
    return std::tie(a.octave, a.scale, a.y, a.x) == std::tie(b.octave, b.scale, b.y, b.x);
  };
  keypoints.erase(std::unique(keypoints.begin(), keypoints.end(), is_same), keypoints.end());
  return keypoints;
}

// Gradients: sections 5 and 6 ----------------------------------------------------------------------

// Angle of a vector in turns, from 0 to 1; within 1e-6.
INLINE float turns(float x, float y) {
  const float ax = std::fabs(x), ay = std::fabs(y);
  const float low = ax < ay ? ax : ay, high = ax < ay ? ay : ax;
  const float t = low / (high + 1e-30f), u = t * t;
  // atan(t) / (2 pi) for 0 <= t <= 1: an odd minimax polynomial.
  float angle =
      t * (0.15915132f +
           u * (-0.05293856f +
                u * (0.03080285f + u * (-0.01852971f + u * (0.00837894f + u * -0.0018651f)))));
  // Mirrored in the diagonal, in the y axis, in the x axis.
  angle = std::fabs((ay > ax ? 0.25f : 0) - angle);
  angle = std::fabs((x < 0 ? 0.5f : 0) - angle);
  return std::fabs((y < 0 ? 1.0f : 0) - angle);
}

// Length and direction (counterclockwise, in turns) of the gradient at `count` pixels of a row.
INLINE void gradients(const float* above, const float* row, const float* below, int count,
                      float* length, float* direction) {
  for (int i = 0; i < count; ++i) {
    const float dx = row[i + 1] - row[i - 1], dy = above[i] - below[i];
    length[i] = std::sqrt(dx * dx + dy * dy);
    direction[i] = turns(dx, dy);
  }
}

// Samples that are processed at a time.
constexpr int kSamples = 64;

// Add the gradients of `count` pixels of a row to a histogram of kOrientationBins + 1 directions, of
// which the first and the last are one.
SIMD void add_orientations(const float* above, const float* row, const float* below, int count,
                           const float* weights, float row_weight, float* histogram) {
  for (int start = 0; start < count; start += kSamples) {
    const int samples = count - start < kSamples ? count - start : kSamples;
    float length[kSamples], direction[kSamples];
    int bin[kSamples];
    const int whole = (samples + kLanes - 1) / kLanes * kLanes;
    gradients(above + start, row + start, below + start, whole, length, direction);
    for (int i = 0; i < whole; ++i) {
      length[i] *= row_weight * weights[start + i];
      bin[i] = static_cast<int>(direction[i] * kOrientationBins + 0.5f);
    }
    for (int i = 0; i < samples; ++i) histogram[bin[i]] += length[i];
  }
}

// The directions of a keypoint: the highest peak of the histogram of gradients around it, and those
// that are nearly as high (section 5).
std::vector<float> orientations(const Image& image, const Keypoint& keypoint) {
  const int radius = static_cast<int>(std::lrint(kOrientationRadius * keypoint.sigma));
  const std::vector<float> weights = gaussian(kOrientationSigma * keypoint.sigma, radius);
  const int left = std::max(keypoint.x - radius, 1);
  const int right = std::min(keypoint.x + radius, image.width - 2);
  const int top = std::max(keypoint.y - radius, 1);
  const int bottom = std::min(keypoint.y + radius, image.height - 2);
  std::array<float, kOrientationBins + 1> sums{};
  for (int y = top; y <= bottom; ++y)
    add_orientations(image.row(y - 1) + left, image.row(y) + left, image.row(y + 1) + left,
                     right - left + 1, &weights[left - keypoint.x + radius],
                     weights[y - keypoint.y + radius], sums.data());
  sums[0] += sums[kOrientationBins];

  const auto around = [](const auto& values, int bin) {
    return values[(bin + kOrientationBins) % kOrientationBins];
  };
  std::array<float, kOrientationBins> smooth;
  for (int bin = 0; bin < kOrientationBins; ++bin)
    smooth[bin] = (around(sums, bin - 2) + around(sums, bin + 2)) / 16 +
                  (around(sums, bin - 1) + around(sums, bin + 1)) / 4 + sums[bin] * 6 / 16;
  const float least = kPeakShare * *std::max_element(smooth.begin(), smooth.end());
  std::vector<float> peaks;
  for (int bin = 0; bin < kOrientationBins; ++bin) {
    const float before = around(smooth, bin - 1), here = smooth[bin],
                after = around(smooth, bin + 1);
    if (here < least || here <= before || here <= after) continue;
    // The peak of the parabola through the three.
    const float offset = 0.5f * (before - after) / (before - 2 * here + after);
    const float peak = (static_cast<float>(bin) + offset) / kOrientationBins;
    peaks.push_back(peak - std::floor(peak));
  }
  return peaks;
}

// A square of cells, in each of which gradients are counted by their direction. A sample is shared
// by the four cells around it, so that there is a border of one cell on each side.
constexpr int kSide = kCells + 2;
using Histogram = float[kSide * kSide][kBins];

// Where a keypoint's square lies: a step to the right is (cosine, -sine) cells along its columns and
// (sine, cosine) along its rows.
struct Frame {
  float cosine, sine, direction;
};

// Add the gradients of `count` pixels of a row to the histogram; the first pixel is `right` and
// `down` of the keypoint.
SIMD void add_gradients(const float* above, const float* row, const float* below, int count,
                        float right, float down, const Frame& frame, const float* weights,
                        float row_weight, Histogram& histogram) {
  constexpr float kMiddle = (kCells + 1) / 2.0f;
  constexpr float kEnd = kCells + 0.9999f;
  const Floats bins = {0, 1, 2, 3, 4, 5, 6, 7};
  const Floats zero = {};
  for (int start = 0; start < count; start += kSamples) {
    const int samples = count - start < kSamples ? count - start : kSamples;
    float length[kSamples], direction[kSamples];
    // Shares of the four cells: upper left, upper right, lower left, lower right.
    float shares[4][kSamples];
    int cell[kSamples];
    const int whole = (samples + kLanes - 1) / kLanes * kLanes;
    gradients(above + start, row + start, below + start, whole, length, direction);
    for (int i = 0; i < whole; ++i) {
      const float x = right + static_cast<float>(start + i);
      float column = x * frame.cosine - down * frame.sine + kMiddle;
      float line = x * frame.sine + down * frame.cosine + kMiddle;
      column = column < 0 ? 0 : column;
      column = column > kEnd ? kEnd : column;
      line = line < 0 ? 0 : line;
      line = line > kEnd ? kEnd : line;
      const int first_column = static_cast<int>(column), first_line = static_cast<int>(line);
      cell[i] = first_line * kSide + first_column;
      const float to_right = column - static_cast<float>(first_column);
      const float to_below = line - static_cast<float>(first_line);
      const float weight = length[i] * (row_weight * weights[start + i]);
      const float lower = weight * to_below, upper = weight - lower;
      shares[1][i] = upper * to_right;
      shares[0][i] = upper - shares[1][i];
      shares[3][i] = lower * to_right;
      shares[2][i] = lower - shares[3][i];
      const float turn = direction[i] - frame.direction;
      direction[i] = kBins * (turn < 0 ? turn + 1 : turn);
    }
    // While the cell is the same, its sums stay in registers.
    Floats sums[4] = {};
    for (int i = 0; i < samples; ++i) {
      // Linear interpolation between the two nearest bins, in a circle.
      Floats distance = direction[i] - bins;
      distance = distance < zero ? -distance : distance;
      distance = distance < kBins - distance ? distance : kBins - distance;
      const Floats share = distance < 1 ? 1 - distance : zero;
      for (int k = 0; k < 4; ++k) sums[k] += shares[k][i] * share;
      if (i + 1 == samples || cell[i + 1] != cell[i]) {
        for (int k = 0; k < 4; ++k) {
          float* const target = histogram[cell[i] + (k / 2) * kSide + k % 2];
          store(target, load(target) + sums[k]);
          sums[k] = zero;
        }
      }
    }
  }
}

// The columns from..to of a window's row of which -most < scale * column + offset < most.
void clip(float scale, float offset, float most, float& from, float& to) {
  if (std::abs(scale) < 1e-6f) {
    if (std::abs(offset) >= most) to = from - 1;
    return;
  }
  const float a = (-most - offset) / scale, b = (most - offset) / scale;
  from = std::max(from, std::min(a, b));
  to = std::min(to, std::max(a, b));
}

// The descriptor of a keypoint (section 6), as integers.
void describe(const Image& image, const Keypoint& keypoint, uint8_t* descriptor) {
  const float cell = kCellWidth * keypoint.sigma;
  const float angle = 2 * kPi * keypoint.direction;
  const Frame frame{std::cos(angle) / cell, std::sin(angle) / cell, keypoint.direction};
  const int center_x = static_cast<int>(std::lrint(keypoint.column));
  const int center_y = static_cast<int>(std::lrint(keypoint.row));
  // Half of the square's diagonal; it is as large as the image at most.
  const int radius = static_cast<int>(
      std::min(std::lrint(cell * std::sqrt(2.0f) * (kCells + 1) / 2),
               std::lrint(std::hypot(static_cast<float>(image.width),
                                     static_cast<float>(image.height)))));
  const std::vector<float> weights = gaussian(kCells / 2 * cell, radius);
  alignas(32) Histogram histogram = {};
  for (int y = std::max(center_y - radius, 1); y <= std::min(center_y + radius, image.height - 2);
       ++y) {
    const float down = static_cast<float>(y - center_y);
    float from = static_cast<float>(std::max(-radius, 1 - center_x));
    float to = static_cast<float>(std::min(radius, image.width - 2 - center_x));
    constexpr float kMost = (kCells + 1) / 2.0f;
    clip(frame.cosine, -down * frame.sine, kMost, from, to);
    clip(frame.sine, down * frame.cosine, kMost, from, to);
    const int left = static_cast<int>(std::ceil(from));
    const int count = static_cast<int>(std::floor(to)) - left + 1;
    if (count <= 0) continue;
    const int x = center_x + left;
    add_gradients(image.row(y - 1) + x, image.row(y) + x, image.row(y + 1) + x, count,
                  static_cast<float>(left), down, frame, &weights[left + radius],
                  weights[y - center_y + radius], histogram);
  }

  std::array<float, kDescriptorLength> values;
  for (int index = 0; index < kDescriptorLength; ++index) {
    const int line = index / (kCells * kBins) + 1, column = index / kBins % kCells + 1;
    values[index] = histogram[line * kSide + column][index % kBins];
  }
  const auto length = [&] {
    return std::sqrt(std::inner_product(values.begin(), values.end(), values.begin(), 0.0f));
  };
  const float most = kMaxElement * length();
  for (float& value : values) value = std::min(value, most);
  const float unit = kDescriptorUnit / std::max(length(), 1e-7f);
  for (int index = 0; index < kDescriptorLength; ++index)
    descriptor[index] = static_cast<uint8_t>(std::min(values[index] * unit + 0.5f, 255.0f));
}

}  // namespace

// The C interface ----------------------------------------------------------------------------------

// Scale space and keypoints of the last image, and memory for the next one.
struct Sift {
  ScaleSpace space;
  const std::vector<Octave>* octaves = nullptr;
  std::vector<Keypoint> keypoints;
};

namespace {

// Keypoints are described in parts of so many.
constexpr int kPart = 16;

void for_keypoints(int threads, size_t count, const std::function<void(size_t)>& work) {
  run(threads, static_cast<int>((count + kPart - 1) / kPart), [&](int part) {
    const size_t begin = static_cast<size_t>(part) * kPart;
    for (size_t index = begin; index < std::min(begin + kPart, count); ++index) work(index);
  });
}

const Image& image_of(const Sift& sift, const Keypoint& keypoint) {
  return (*sift.octaves)[keypoint.octave][keypoint.scale];
}

// Give every keypoint a direction; one with several directions becomes several keypoints.
void orient(int threads, Sift& sift) {
  std::vector<std::vector<float>> directions(sift.keypoints.size());
  for_keypoints(threads, directions.size(), [&](size_t index) {
    directions[index] = orientations(image_of(sift, sift.keypoints[index]), sift.keypoints[index]);
  });
  std::vector<Keypoint> oriented;
  for (size_t index = 0; index < directions.size(); ++index)
    for (const float direction : directions[index]) {
      oriented.push_back(sift.keypoints[index]);
      oriented.back().direction = direction;
    }
  sift.keypoints = std::move(oriented);
}

// Size of a pixel of a keypoint's octave [px of the image].
float pixel_size(const Keypoint& keypoint) { return std::ldexp(0.5f, keypoint.octave); }

}  // namespace

extern "C" {

Sift* sift_create() { return new (std::nothrow) Sift; }

void sift_destroy(Sift* sift) { delete sift; }

// Find the keypoints of a gray image, strongest first.
//   image: height x width, row by row
//   mask: of the same size, 0 where no keypoints are wanted, or null
// Returns the number of keypoints, or -1 if there is no memory.
int sift_detect(Sift* sift, const uint8_t* image, const uint8_t* mask, int height, int width,
                int limit, int layers, float contrast_threshold, float edge_threshold, float sigma,
                int threads) try {
  const Options options{layers, contrast_threshold, edge_threshold, sigma};
  sift->octaves = &sift->space.build(threads, image, height, width, options);
  sift->keypoints = find_keypoints(threads, *sift->octaves, options);
  keep_strongest(sift->keypoints, static_cast<size_t>(limit));
  orient(threads, *sift);
  keep_strongest(sift->keypoints, static_cast<size_t>(limit));
  if (mask) {
    const auto is_masked = [&](const Keypoint& keypoint) {
      const float size = pixel_size(keypoint);
      const int x = std::clamp(static_cast<int>(std::lrint(keypoint.column * size)), 0, width - 1);
      const int y = std::clamp(static_cast<int>(std::lrint(keypoint.row * size)), 0, height - 1);
      return mask[ptrdiff_t{y} * width + x] == 0;
    };
    sift->keypoints.erase(
        std::remove_if(sift->keypoints.begin(), sift->keypoints.end(), is_masked),
        sift->keypoints.end());
  }
  return static_cast<int>(sift->keypoints.size());
} catch (const std::exception&) {
  return -1;
}

// Describe the keypoints that sift_detect has found.
//   keypoints: a row of x, y, sigma [px], angle (clockwise, from 0 to 2 pi) and contrast for each
//   descriptors: a row of 128 for each
// Returns 0, or -1 if there is no memory.
int sift_describe(Sift* sift, float* keypoints, uint8_t* descriptors, int threads) try {
  for_keypoints(threads, sift->keypoints.size(), [&](size_t index) {
    const Keypoint& keypoint = sift->keypoints[index];
    const float size = pixel_size(keypoint);
    const float angle = keypoint.direction > 0 ? 2 * kPi * (1 - keypoint.direction) : 0;
    const std::array<float, 5> row{keypoint.column * size, keypoint.row * size,
                                   keypoint.sigma * size, angle, keypoint.contrast};
    std::copy(row.begin(), row.end(), keypoints + row.size() * index);
    describe(image_of(*sift, keypoint), keypoint, descriptors + kDescriptorLength * index);
  });
  sift->keypoints.clear();
  sift->space.trim();
  return 0;
} catch (const std::exception&) {
  return -1;
}

}  // extern "C"
