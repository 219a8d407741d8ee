"""Regions of interest on the cpu: the threads share regions and channels."""

from __future__ import annotations

import math

import numpy as np

from ...engine.kernel import Call, View, kernel
from ..roi import PSROIPooling, RoiAlign, ROIPooling


def bind(call: Call) -> dict:
    width = call.shape("rois")[1]
    return dict(rois=View("rois", (call.shape("rois")[0], width)))


def half_away(x):
    """x to the nearest whole number, halves away from 0."""
    return math.floor(x + np.float32(0.5)) if x >= 0 else math.ceil(x - np.float32(0.5))


def cut(x, most):
    return min(max(int(x), 0), most)


@kernel(ROIPooling, device="cpu", bind=bind)
def roi_pooling(x, rois, y, spatial_scale, ith, nth):
    regions, channels, ph, pw = y.shape
    h, w = x.shape[2:]
    for unit in range(regions * channels * ith // nth, regions * channels * (ith + 1) // nth):
        r, c = unit // channels, unit % channels
        image = int(rois[r, 0])
        left, top = half_away(rois[r, 1] * spatial_scale), half_away(rois[r, 2] * spatial_scale)
        right, bottom = half_away(rois[r, 3] * spatial_scale), half_away(rois[r, 4] * spatial_scale)
        part_h = np.float32(max(bottom - top + 1, 1)) / np.float32(ph)
        part_w = np.float32(max(right - left + 1, 1)) / np.float32(pw)
        for i in range(ph):
            first = cut(top + math.floor(np.float32(i) * part_h), h)
            last = cut(top + math.ceil(np.float32(i + 1) * part_h), h)
            for j in range(pw):
                start = cut(left + math.floor(np.float32(j) * part_w), w)
                end = cut(left + math.ceil(np.float32(j + 1) * part_w), w)
                largest = np.float32(-np.inf) if first < last and start < end else np.float32(0)
                for row in range(first, last):
                    for column in range(start, end):
                        value = x[image, c, row, column]
                        largest = value if value > largest else largest
                y[r, c, i, j] = largest


@kernel(PSROIPooling, device="cpu", bind=bind)
def psroi_pooling(x, rois, y, spatial_scale, ith, nth):
    regions, channels, ph, pw = y.shape
    h, w = x.shape[2:]
    one = np.float32(1)
    for unit in range(regions * channels * ith // nth, regions * channels * (ith + 1) // nth):
        r, c = unit // channels, unit % channels
        image = int(rois[r, 0])
        left = np.float32(half_away(rois[r, 1])) * spatial_scale
        top = np.float32(half_away(rois[r, 2])) * spatial_scale
        right = np.float32(half_away(rois[r, 3] + one)) * spatial_scale
        bottom = np.float32(half_away(rois[r, 4] + one)) * spatial_scale
        part_h = max(bottom - top, np.float32(0.1)) / np.float32(ph)
        part_w = max(right - left, np.float32(0.1)) / np.float32(pw)
        for i in range(ph):
            first = cut(math.floor(top + np.float32(i) * part_h), h)
            last = cut(math.ceil(top + np.float32(i + 1) * part_h), h)
            for j in range(pw):
                start = cut(math.floor(left + np.float32(j) * part_w), w)
                end = cut(math.ceil(left + np.float32(j + 1) * part_w), w)
                total = np.float32(0)
                for row in range(first, last):
                    for column in range(start, end):
                        total += x[image, (c * ph + i) * pw + j, row, column]
                count = (last - first) * (end - start)
                y[r, c, i, j] = total / np.float32(count) if first < last and start < end else np.float32(0)


def bind_align(call: Call) -> dict:
    inline = call.specs["images"] is None
    return bind(call) | dict(
        first=int(inline), half=0.5 if call.layer.aligned else 0.0, largest=int(call.layer.method == "max"),
        least=0.0 if call.layer.aligned else 1.0,
    )  # fmt: skip


@kernel(RoiAlign, device="cpu", bind=bind_align)
def roi_align(x, rois, images, y, first, half, least, largest, sampling, spatial_scale, ith, nth):
    """first: the number of the column of rois in which boxes begin, behind the image's number."""
    regions, channels, ph, pw = y.shape
    h, w = x.shape[2:]
    for unit in range(regions * channels * ith // nth, regions * channels * (ith + 1) // nth):
        r, c = unit // channels, unit % channels
        image = int(rois[r, 0]) if first == 1 else int(images[r])
        left, top = rois[r, first] * spatial_scale - half, rois[r, first + 1] * spatial_scale - half
        right, bottom = rois[r, first + 2] * spatial_scale - half, rois[r, first + 3] * spatial_scale - half
        height, width = bottom - top, right - left
        if least > 0:
            height, width = max(height, least), max(width, least)
        grid_h = sampling if sampling > 0 else math.ceil(height / np.float32(ph))
        grid_w = sampling if sampling > 0 else math.ceil(width / np.float32(pw))
        for i in range(ph):
            for j in range(pw):
                total = np.float32(-np.inf) if largest == 1 and grid_h > 0 and grid_w > 0 else np.float32(0)
                for a in range(grid_h):
                    step = height / np.float32(ph * grid_h)
                    row = top + (np.float32(i * grid_h + a) + np.float32(0.5)) * step
                    for b in range(grid_w):
                        step = width / np.float32(pw * grid_w)
                        column = left + (np.float32(j * grid_w + b) + np.float32(0.5)) * step
                        seen = row >= -1 and row <= h and column >= -1 and column <= w
                        weight = np.float32(1) if seen else np.float32(0)
                        down = min(max(row, np.float32(0)), np.float32(h - 1))
                        across = min(max(column, np.float32(0)), np.float32(w - 1))
                        up, before = int(down), int(across)
                        low, behind = min(up + 1, h - 1), min(before + 1, w - 1)
                        down, across = down - np.float32(up), across - np.float32(before)
                        one = x[image, c, up, before] * ((1 - down) * (1 - across) * weight)
                        two = x[image, c, up, behind] * ((1 - down) * across * weight)
                        three = x[image, c, low, before] * (down * (1 - across) * weight)
                        four = x[image, c, low, behind] * (down * across * weight)
                        if largest == 1:
                            total = max(total, max(max(one, two), max(three, four)))
                        else:
                            total += one + two + three + four
                if largest == 0 and grid_h > 0 and grid_w > 0:
                    total /= np.float32(grid_h * grid_w)
                y[r, c, i, j] = total
