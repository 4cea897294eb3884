"""Contracts over augmentations and preprocessing, and what a net sees."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

from research import registry
from research.assembly import preprocessed
from research.augment.mixing import Mixed
from research.augment.pixels import LUMA
from research.augment.view import View
from research.augment.window import grid
from research.data.cache import kept
from research.preprocess import apply_once, eyes

KINDS = {
    n: registry.augmentations.entry(n).declared["kind"] for n in registry.augmentations.names()
}
AFFINE = [name for name, kind in KINDS.items() if kind == "affine"]
EACH = [name for name, kind in KINDS.items() if kind in ("affine", "window", "pixels", "erase")]
ONCE = [
    name
    for name in registry.preprocessing.names()
    if registry.preprocessing.entry(name).declared["stage"] == "once"
]


def defaults(name: str) -> dict[str, object]:
    entry = registry.augmentations.entry(name)
    return {key: param.default for key, param in entry.params.items()}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randint(0, 256, (16, 1, 24, 24), generator=seeded(9), dtype=torch.uint8)


@pytest.fixture
def labels() -> torch.Tensor:
    return torch.arange(16) % 7


def view(
    size: int = 24, channels: int = 1, canvas: int | None = None, **augment: dict[str, object]
) -> View:
    return View(size, channels, {}, augment, canvas)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", KINDS)
def test_the_same_generator_gives_the_same_batch(
    name: str, images: torch.Tensor, labels: torch.Tensor
) -> None:
    one = view(20, canvas=24, **{name: defaults(name)})
    first, again, other = (one.augmented(images, labels, seeded(s))[0] for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other) or KINDS[name] in ("many", "side", "margin")
    assert first.shape == (16 * len(one.places), 1, 20, 20) and torch.isfinite(first).all()


@pytest.mark.parametrize("name", EACH)
def test_every_sample_has_its_own_change(name: str) -> None:
    same = torch.randint(0, 256, (1, 1, 24, 24), generator=seeded(3), dtype=torch.uint8)
    batch = same.expand(32, 1, 24, 24)
    one = view(20, canvas=24, **{name: defaults(name)})
    seen, _ = one.augmented(batch, torch.zeros(32).long(), seeded())
    assert len({tuple(one.flatten().tolist()) for one in seen}) > 1


@pytest.mark.parametrize("name", AFFINE)
def test_a_change_of_no_strength_is_none(name: str, images: torch.Tensor) -> None:
    none = dict.fromkeys(defaults(name), 0.0)
    for size in (24, 48, 17):
        one = view(size, **{name: none})
        seen, _ = one.augmented(images, torch.zeros(16).long(), seeded())
        torch.testing.assert_close(seen, one.plain(images), rtol=0, atol=2e-5)


def test_flip_is_left_to_right(images: torch.Tensor, labels: torch.Tensor) -> None:
    seen, _ = view(flip={"p": 1.0}).augmented(images, labels, seeded())
    torch.testing.assert_close(seen, images.flip(-1).float() / 255, rtol=0, atol=1e-5)


def test_shift_moves_by_up_to_its_fraction_and_blackens_what_comes_in() -> None:
    white = torch.full((200, 1, 40, 40), 255, dtype=torch.uint8)
    seen, _ = view(40, shift={"fraction": 0.25}).augmented(white, torch.zeros(200), seeded())
    black = (seen[:, 0] == 0).all(1).sum(1)  # columns
    assert black.max() in (9, 10) and black.min() == 0
    assert 3.5 < black.float().mean() < 6.5


def test_rotation_turns_by_up_to_its_degrees() -> None:
    matrices = registry.augmentations.get("rotation")(2000, seeded(), degrees=10.0)
    angles = torch.rad2deg(torch.atan2(matrices[:, 1, 0], matrices[:, 0, 0]))
    assert 9.9 < angles.max() <= 10.0 and -10.0 <= angles.min() < -9.9
    assert abs(angles.mean()) < 0.5
    torch.testing.assert_close(torch.linalg.det(matrices), torch.ones(2000))


def test_a_crop_is_a_window_of_the_canvas_and_the_middle_where_nothing_is_random() -> None:
    canvas = torch.arange(100, dtype=torch.uint8).view(1, 1, 10, 10)
    one = view(6, canvas=10, crop={"padding": 0.0})
    torch.testing.assert_close(one.plain(canvas)[0, 0] * 255, canvas[0, 0, 2:8, 2:8].float())
    seen, _ = one.augmented(canvas.expand(500, 1, 10, 10), torch.zeros(500), seeded())
    corner = (seen[:, 0, 0, 0] * 255).round()  # 10 y + x of the window's place, from 0 to 4 each
    assert set(corner.tolist()) == {10 * y + x for y in range(5) for x in range(5)}
    rows = seen[:, 0, 1, 0] - seen[:, 0, 0, 0]
    torch.testing.assert_close(rows * 255, torch.full((500,), 10.0), rtol=0, atol=1e-2)


@pytest.mark.parametrize("source", [24, 17, 40])
@pytest.mark.parametrize(
    ("size", "canvas", "augment"),
    [
        (24, None, {"flip": {}}),
        (19, 24, {"flip": {}}),
        (19, 24, {"crop": {}, "flip": {}}),
        (19, 24, {"flip": {}, "crop": {"padding": 0.1}}),
        (24, None, {"crop": {"padding": 0.125}}),
        (24, None, {"crop": {"padding": 0.125}, "mirrored": {}}),
        (19, 24, {"flip": {}, "crop": {"padding": 0.1}, "mirrored": {}}),
        (12, None, {"mirrored": {}, "crop": {"padding": 1.0}}),
        (20, 24, {"flip": {}, "five_crop": {}}),
    ],
)
def test_whole_pixels_are_moved_as_they_would_be_sampled(
    source: int, size: int, canvas: int | None, augment: dict[str, dict[str, object]]
) -> None:
    images = torch.randint(0, 256, (16, 3, source, source), generator=seeded(9), dtype=torch.uint8)
    one = view(size, 3, canvas, **augment)
    assert one.exact
    moved, _ = one.augmented(images, torch.zeros(16).long(), seeded(1))
    one.exact = False
    whole = one._resized(images)  # the sampling of an enlarged image is another one
    sampled, _ = one.augmented(whole, torch.zeros(16).long(), seeded(1))
    torch.testing.assert_close(moved, sampled, rtol=0, atol=1e-4)


@pytest.mark.parametrize("augment", [{"crop": {"padding": 0.1}}, {"flip": {}}, {"rotation": {}}])
def test_colour_in_the_layout_of_files_is_changed_alike(
    augment: dict[str, dict[str, object]],
) -> None:
    files = torch.randint(0, 256, (16, 24, 24, 3), generator=seeded(9), dtype=torch.uint8)
    images, one = files.permute(0, 3, 1, 2), view(24, 3, **augment)
    seen = one.changed(images, seeded(1))
    assert torch.equal(seen, one.changed(images.contiguous(), seeded(1)))
    (_, first), *_ = one.batches(images, torch.arange(16), 16, seeded(1))
    assert torch.equal(seen, first)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mean", [0.4, [0.3, 0.4, 0.5]])
@pytest.mark.parametrize(
    "augment",
    [
        {},
        {"crop": {}, "flip": {}},
        {"crop": {"padding": 0.1}},
        {"rotation": {}},
        {"crop": {"padding": 0.1}, "mirrored": {}},
        {"crop": {"padding": 0.1}, "rotation": {}, "mirrored": {}},
    ],
)
def test_images_that_grow_are_normalised_as_at_the_end(
    channels: int, mean: float | list[float], augment: dict[str, dict[str, object]]
) -> None:
    images = torch.randint(0, 256, (16, channels, 24, 24), generator=seeded(9), dtype=torch.uint8)
    normal = {"normalize": {"mean": mean, "std": 0.2}}
    one, bare = View(40, 3, normal, augment, 44), View(40, 3, {}, augment, 44)
    labels = torch.zeros(16).long()
    seen, plain = (each.augmented(images, labels, seeded(1))[0] for each in (one, bare))
    late = (plain - torch.tensor(mean).view(1, -1, 1, 1)) / 0.2
    assert seen.shape == (16, 3, 40, 40)
    torch.testing.assert_close(seen, late, rtol=0, atol=1e-4)
    plain = (bare.plain(images) - torch.tensor(mean).view(1, -1, 1, 1)) / 0.2
    torch.testing.assert_close(one.plain(images), plain, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "augment", [{}, {"crop": {}, "flip": {}}, {"rotation": {}}, {"five_crop": {}}]
)
def test_batches_are_the_images_in_their_order_each_changed(
    augment: dict[str, dict[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("research.augment.view.TOGETHER", 3 * 16 * 28**2)  # three batches
    images = torch.randint(0, 256, (100, 1, 28, 28), generator=seeded(9), dtype=torch.uint8)
    one = view(24, canvas=28, **augment)
    order = torch.randperm(100, generator=seeded(2))
    made = list(one.batches(images, order, 16, seeded(1)))
    assert torch.equal(torch.cat([rows for rows, _ in made]), order)
    assert [len(rows) for rows, _ in made] == [16] * 6 + [4]
    windows = len(one.places)
    assert [len(seen) for _, seen in made] == [16 * windows] * 6 + [4 * windows]
    again = one.batches(images, order, 16, seeded(1))
    assert all(torch.equal(seen, same) for (_, seen), (_, same) in zip(made, again, strict=True))
    if not augment:
        for rows, seen in made:
            torch.testing.assert_close(seen, one.plain(images[rows]))
    drawn = seeded(1)
    for first in range(0, 7, 1 if one.many else 3):
        group = made[first : first + (1 if one.many else 3)]
        rows = torch.cat([rows for rows, _ in group])
        changed = one.changed(images[rows], drawn)
        assert torch.equal(torch.cat([seen for _, seen in group]), changed)


def test_the_side_grows_in_equal_steps_to_the_whole() -> None:
    ramp = 5 * torch.arange(24) + 5 * torch.arange(24)[:, None]
    images = ramp.to(torch.uint8).expand(16, 1, 24, 24)
    one = view(24, progressive={"start": 0.5, "until": 0.8, "stages": 2}, flip={})
    assert [one.side(done) for done in (0.0, 0.39, 0.41, 0.79, 0.8, 1.0)] == [
        12,
        12,
        18,
        18,
        24,
        24,
    ]
    assert one.area() == pytest.approx(0.4 * 0.25 + 0.4 * 0.5625 + 0.2)
    small, _ = one.augmented(images, torch.zeros(16), seeded(1), progress=0.1)
    whole, _ = one.augmented(images, torch.zeros(16), seeded(1), progress=0.9)
    assert small.shape[-1] == 12 and whole.shape[-1] == 24
    torch.testing.assert_close(small, functional.avg_pool2d(whole, 2), rtol=0, atol=0.02)
    torch.testing.assert_close(small.mean(), whole.mean(), rtol=0, atol=0.005)


def test_the_grid_is_torch_s() -> None:
    matrices = torch.eye(3) + 0.2 * torch.randn(8, 3, 3, generator=seeded())
    torchs = functional.affine_grid(matrices[:, :2], [8, 1, 13, 13], align_corners=False)
    ours = torch.stack(grid(matrices, 13), -1)
    torch.testing.assert_close(ours, torchs, rtol=0, atol=1e-6)


def test_padding_is_black() -> None:
    white = torch.full((300, 1, 32, 32), 255, dtype=torch.uint8)
    seen, _ = view(32, crop={"padding": 4 / 32}).augmented(white, torch.zeros(300), seeded())
    black = (seen[:, 0] == 0).all(1).sum(1)
    assert black.max() in (3, 4) and black.min() == 0


@pytest.mark.parametrize(
    "augment",
    [
        {"rotation": {"degrees": 45}},
        {"crop": {"padding": 0.25}, "rotation": {"degrees": 45}},
        {"shift": {"fraction": 0.3}, "rotation": {"degrees": 45}},
    ],
)
@pytest.mark.parametrize("size", [32, 50])
def test_mirrored_margins_are_what_a_larger_image_would_show(
    augment: dict[str, dict[str, object]], size: int
) -> None:
    mirrored = registry.augmentations.get("mirrored")
    images = torch.randint(0, 256, (40, 1, 32, 32), generator=seeded(9), dtype=torch.uint8)
    one, wide = view(size, mirrored={}, **augment), mirrored(images, 32)
    seen, _ = one.augmented(images, torch.zeros(40), seeded(1))
    (matrices,) = one._changes(40, seeded(1))
    matrices[:, :2] /= 3  # the same places in an image that is three times as wide
    places = torch.stack(grid(matrices, size), -1)
    wanted = functional.grid_sample(wide.float(), places, align_corners=False) / 255
    torch.testing.assert_close(seen, wanted, rtol=0, atol=1e-4)
    black, _ = view(size, **augment).augmented(images, torch.zeros(40), seeded(1))
    assert not torch.allclose(seen, black, atol=0.1)


def test_a_mirrored_margin_begins_with_the_edge() -> None:
    mirrored = registry.augmentations.get("mirrored")
    ramp = torch.arange(5).view(1, 1, 1, 5).expand(1, 1, 5, 5)
    assert mirrored(ramp, 3)[0, 0, 0].tolist() == [2, 1, 0, 0, 1, 2, 3, 4, 4, 3, 2]
    assert torch.equal(mirrored(ramp.mT, 3), mirrored(ramp, 3).mT)


def test_ten_crops_are_the_middle_the_corners_and_their_mirrors() -> None:
    canvas = torch.arange(100, dtype=torch.uint8).view(1, 1, 10, 10)
    seen = view(6, canvas=10).views(canvas, "ten_crop")
    assert [round(float(one[0, 0, 0, 0]) * 255) for one in seen[:5]] == [22, 0, 4, 40, 44]
    for one, mirror in zip(seen[:5], seen[5:], strict=True):
        assert torch.equal(one.flip(-1), mirror)


def test_five_crops_make_five_of_each_image_with_its_label(labels: torch.Tensor) -> None:
    images = torch.arange(16, dtype=torch.uint8).view(16, 1, 1, 1).expand(16, 1, 24, 24)
    for more in ({}, {"flip": {"p": 0.5}}):
        one = view(20, canvas=24, five_crop={}, **more)  # type: ignore[arg-type]
        seen, targets = one.augmented(images, labels, seeded())
        assert len(seen) == 80 and torch.equal(targets, labels.repeat(5))  # type: ignore[arg-type]
        assert torch.equal((seen[:, 0, 9, 9] * 255).round(), torch.arange(16.0).repeat(5))


def test_a_resized_crop_keeps_its_share_of_the_area() -> None:
    window = registry.augmentations.get("resized_crop")
    matrices = window(2000, seeded(), (1.0, 1.0), scale=0.5, ratio=1.5)
    area = matrices[:, 0, 0] * matrices[:, 1, 1]
    assert 0.45 < area.min() < 0.52 and area.max() <= 1.0
    reach = matrices[:, [0, 1], [0, 1]] + matrices[:, :2, 2].abs()
    assert reach.max() <= 1 + 1e-6


def test_jitter_changes_light_and_hue_keeps_it() -> None:
    images = torch.rand(64, 3, 8, 8, generator=seeded()) * 0.4 + 0.3
    jitter = registry.augmentations.get("jitter")
    none = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}
    torch.testing.assert_close(jitter(images, seeded(), **none), images)
    bright = jitter(images, seeded(), **{**none, "brightness": 0.3})
    ratio = bright.mean((1, 2, 3)) / images.mean((1, 2, 3))
    assert 0.69 < ratio.min() < 0.75 and 1.25 < ratio.max() < 1.31
    turned = jitter(images, seeded(), **{**none, "hue": 0.02})
    light = torch.tensor(LUMA).view(1, 3, 1, 1)
    torch.testing.assert_close((turned * light).sum(1), (images * light).sum(1), rtol=0, atol=1e-3)
    assert not torch.allclose(turned, images, atol=1e-2)


def test_erasing_takes_a_rectangle_of_its_share() -> None:
    images = torch.ones(2000, 1, 32, 32)
    erase = registry.augmentations.get("erasing")
    gone = (erase(images, seeded(), p=0.5) == 0).float().mean((1, 2, 3))
    assert 0.45 < (gone > 0).float().mean() < 0.55
    assert gone[gone > 0].min() > 0.005 and gone.max() < 0.4


def test_cutmix_takes_a_rectangle_and_its_share_of_the_label(labels: torch.Tensor) -> None:
    images = torch.arange(16.0).view(16, 1, 1, 1).expand(16, 1, 24, 24) / 255
    cutmix = registry.augmentations.get("cutmix")
    for seed in range(20):
        seen, mixed = cutmix(images, labels, seeded(seed), alpha=1.0)
        own = (seen == images).all(1).float().mean((1, 2))
        moved = mixed.second != mixed.first
        assert own[moved].tolist() == pytest.approx([mixed.lam] * int(moved.sum()), abs=1e-6)


def test_of_several_mixes_each_batch_takes_one(images: torch.Tensor, labels: torch.Tensor) -> None:
    one = view(mixup={"alpha": 1.0}, cutmix={"alpha": 1.0})
    plain = one.plain(images)
    blended = [
        not torch.isin(one.augmented(images, labels, seeded(s))[0], plain).all() for s in range(30)
    ]
    assert 5 < sum(map(bool, blended)) < 25


def test_mixup_blends_pairs_and_says_how(images: torch.Tensor, labels: torch.Tensor) -> None:
    one = view(mixup={"alpha": 0.4})
    assert one.mixes and not view(flip={}).mixes
    seen, mixed = one.augmented(images, labels, seeded())
    assert isinstance(mixed, Mixed) and 0 <= mixed.lam <= 1
    assert torch.equal(mixed.first, labels)
    order = torch.tensor([int(torch.nonzero(labels == label)[0]) for label in mixed.second])
    assert len(order) == 16
    plain = images.float() / 255
    shares = [
        (seen[0] - plain[other] * (1 - mixed.lam) - mixed.lam * plain[0]).abs().max()
        for other in range(16)
    ]
    assert min(shares) < 1e-5


def test_the_blend_follows_beta() -> None:
    generator = seeded()
    mixup = registry.augmentations.get("mixup")
    image, label = torch.zeros(2, 1, 2, 2), torch.zeros(2).long()
    lams = torch.tensor([mixup(image, label, generator, alpha=0.2)[1].lam for _ in range(4000)])
    assert abs(lams.mean() - 0.5) < 0.03
    assert abs(lams.var() - 0.25 / 1.4) < 0.01  # ab / (a + b)^2 (a + b + 1)


def test_grey_becomes_three_channels_and_colour_weighted_grey() -> None:
    grey = torch.randint(0, 256, (2, 1, 8, 8), generator=seeded(), dtype=torch.uint8)
    three = view(8, 3).plain(grey)
    assert torch.equal(three[:, 0], three[:, 2]) and three.shape == (2, 3, 8, 8)
    colour = torch.randint(0, 256, (2, 3, 8, 8), generator=seeded(), dtype=torch.uint8)
    expected = sum(w * colour[:, c].float() / 255 for c, w in enumerate(LUMA))
    torch.testing.assert_close(view(8, 1).plain(colour)[:, 0], expected)


def test_normalising_is_less_mean_over_deviation() -> None:
    image = torch.tensor([[[[0, 255]]]], dtype=torch.uint8).expand(1, 1, 2, 2)
    seen = View(2, 1, {"normalize": {"mean": 0.5, "std": 0.25}}, {}).plain(image)
    torch.testing.assert_close(seen[0, 0, 0], torch.tensor([-2.0, 2.0]))


def test_normalising_may_be_by_channel() -> None:
    image = torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)
    steps = {"normalize": {"mean": [0.0, 0.5, 1.0], "std": [1.0, 0.5, 0.25]}}
    seen = View(2, 3, steps, {}).plain(image)
    torch.testing.assert_close(seen[0, :, 0, 0], torch.tensor([1.0, 1.0, 0.0]))
    torch.testing.assert_close(View(2, 3, steps, {}).plain(image[:, :1]), seen)


def faces(channels: int) -> NDArray[np.uint8]:
    generator = np.random.default_rng(0)
    return generator.integers(40, 120, (3, 48, 48, channels), dtype=np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", [name for name in ONCE if name != "align_eyes"])
def test_preprocessing_keeps_shape_and_is_the_same_each_time(name: str, channels: int) -> None:
    entry = registry.preprocessing.entry(name)
    steps = {name: {key: param.default for key, param in entry.params.items()}}
    images = faces(channels)
    before = images.copy()
    made = apply_once(images, steps)
    planes = 1 if name == "grey" else channels
    assert made.shape == (*images.shape[:3], planes) and made.dtype == np.uint8
    assert made.shape != images.shape or (made != images).any() or name == "grey"
    np.testing.assert_array_equal(images, before)
    np.testing.assert_array_equal(made, apply_once(images, steps))


def test_equalising_grey_is_opencv_s() -> None:
    images = faces(1)
    expected = cv2.equalizeHist(images[0, :, :, 0])
    np.testing.assert_array_equal(apply_once(images, {"equalize": {}})[0, :, :, 0], expected)


def test_five_crops_are_windows_of_one_and_the_same_change(
    images: torch.Tensor, labels: torch.Tensor
) -> None:
    view = View(40, 1, {}, {"flip": {"p": 0.5}, "rotation": {"degrees": 10}, "five_crop": {}}, 48)
    seen, _ = view.augmented(images, labels, torch.Generator().manual_seed(1))
    whole = View(48, 1, {}, {"flip": {"p": 0.5}, "rotation": {"degrees": 10}})
    turned, _ = whole.augmented(images, labels, torch.Generator().manual_seed(1))
    n = len(images)
    middle, corner = seen[:n], seen[n : 2 * n]
    torch.testing.assert_close(middle, turned[:, :, 4:44, 4:44], atol=2e-3, rtol=1e-3)
    torch.testing.assert_close(corner, turned[:, :, :40, :40], atol=2e-3, rtol=1e-3)


def test_a_resized_crop_comes_before_five_windows(
    images: torch.Tensor, labels: torch.Tensor
) -> None:
    steps = {"resized_crop": {"scale": 0.5, "ratio": 1.0}, "five_crop": {}}
    seen, _ = View(40, 1, {}, steps, 48).augmented(images, labels, torch.Generator().manual_seed(1))
    n = len(images)
    assert seen.shape == (5 * n, 1, 40, 40)
    assert (seen[:n] != seen[n : 2 * n]).any()


@pytest.mark.parametrize("angle", [0.0, 0.3, -0.2])
def test_faces_are_cut_by_the_line_between_the_eyes(angle: float) -> None:
    d, middle = 30.0, np.array([50.0, 40.0])
    along = np.array([np.cos(angle), np.sin(angle)])
    left, right = middle - along * d / 2, middle + along * d / 2
    image = np.zeros((96, 96, 1), dtype=np.uint8)
    for x, y in (left, right):
        cv2.circle(image, (round(x), round(y)), 2, 255, -1)
    made = eyes.cut(image, eyes.Eyes((left[0], left[1]), (right[0], right[1])), (1.0, 0.5, 1.5))
    rows, columns = np.nonzero(made[..., 0] > 128)
    for found in (columns < 48, columns >= 48):
        assert abs(rows[found].mean() / 96 - 0.25) < 0.02  # d / 2 below the upper edge
    assert abs(columns[columns < 48].mean() / 96 - 0.25) < 0.02  # d / 2 beside the middle
    assert abs(columns[columns >= 48].mean() / 96 - 0.75) < 0.02


@pytest.mark.parametrize("channels", [1, 3])
def test_faces_without_eyes_stay_as_they_are(channels: int) -> None:
    images = faces(channels)
    np.testing.assert_array_equal(apply_once(images, {"align_eyes": {}}), images)


@pytest.mark.real_data
def test_eyes_are_found_on_photographs(real_data: Path) -> None:
    images = np.load(real_data / "fer2013_mini.npz")["images"][300:360, ..., None]
    made = apply_once(images, {"align_eyes": {}})
    changed = (made != images).any((1, 2, 3)).mean()
    assert 0.4 < changed < 0.95


def test_the_share_of_images_that_a_slow_step_changed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESEARCH_CACHE", str(tmp_path))
    found = iter([None, (30.0, 40.0), None, None] * 2)
    monkeypatch.setattr(
        eyes, "find_eyes", lambda image, finder: (e := next(found)) and eyes.Eyes(e, (66.0, 40.0))
    )
    images = np.random.default_rng(0).integers(0, 200, (4, 96, 96, 1)).astype(np.uint8)
    made, shares = preprocessed(images, {"equalize": {}, "align_eyes": {}, "normalize": {}})
    assert shares == {"align_eyes": 0.25}  # not those that were equalised
    assert (made != images).any((1, 2, 3)).all()
    assert preprocessed(images, {"equalize": {}})[1] == {}


def test_what_is_slow_is_kept_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESEARCH_CACHE", str(tmp_path))
    images, made = faces(1), []

    def make(given: NDArray[np.uint8], steps: object) -> NDArray[np.uint8]:
        made.append(steps)
        return 255 - given

    first = kept(images, {"align_eyes": {}}, make)
    np.testing.assert_array_equal(first, 255 - images)
    np.testing.assert_array_equal(kept(images, {"align_eyes": {}}, make), first)
    assert len(made) == 1
    kept(images, {"align_eyes": {"above": 1.0}}, make)
    kept(images[:2], {"align_eyes": {}}, make)
    assert len(made) == 3
    for file in (tmp_path / "preprocessed").glob("*.npy"):
        short = file.read_bytes()[:100]  # cut off by a full disk
        file.unlink()  # what is mapped must not be cut off under it
        file.write_bytes(short)
    np.testing.assert_array_equal(kept(images, {"align_eyes": {}}, make), first)
