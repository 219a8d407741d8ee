"""Whole networks, as their authors define them: converted in one step, equal to torch on every device and size."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import fbnet
import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")


def efficientnet(m):
    """B0's blocks, one of each kind and narrower."""
    block = lambda *given: m.efficientnet.MBConvConfig(*given, width_mult=0.5, depth_mult=0.5)  # noqa: E731
    setting = [block(1, 3, 1, 32, 16, 1), block(6, 3, 2, 16, 24, 2), block(6, 5, 2, 24, 40, 2)]
    return m.EfficientNet(setting, dropout=0.2, num_classes=10)


# name: (how torchvision.models makes it, image sizes to run at). Smaller than the published ones, of the same blocks.
NETWORKS = {
    "resnet18": (lambda m: m.resnet18(num_classes=10), (64, 96)),
    "resnet50": (lambda m: m.ResNet(m.resnet.Bottleneck, (1, 2, 1, 1), num_classes=10), (64, 33)),
    "mobilenet_v3": (lambda m: m.mobilenet_v3_small(num_classes=10, width_mult=0.5), (64, 96)),
    "efficientnet": (efficientnet, (64, 96)),
    "shufflenet_v2": (lambda m: m.shufflenet_v2_x0_5(num_classes=10), (64, 96)),
    "densenet": (lambda m: m.DenseNet(8, (2, 2, 2), 16, num_classes=10), (64, 96)),
    "vit": (lambda m: m.VisionTransformer(32, 8, 2, 4, 64, 128, num_classes=10), (32,)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_network_is_torchs_on_every_device_and_size(name, models, settled, numbers, judged, close, tmp_path):
    make, sizes = NETWORKS[name]
    module = settled(make(models))
    net = fbnet.convert(module, numbers(1, 3, sizes[0], sizes[0]))
    open_sizes = "N,3,H,W" if len(sizes) > 1 else f"N,3,{sizes[0]},{sizes[0]}"
    assert {k: str(v) for k, v in net.inputs.items()} == {"x": f"fp32[{open_sizes}]"}
    net.save(tmp_path / "m.fbnet")
    net = fbnet.load(tmp_path / "m.fbnet")
    for batch, size in ((1, sizes[0]), (3, sizes[-1])):
        x = numbers(batch, 3, size, size, seed=size)
        (wanted,) = judged(module, x)
        with warnings.catch_warnings():
            warnings.simplefilter("error", fbnet.HostFallback)
            close(net(x), wanted)
        close(net.forward(x=x)[net.outputs[0]], wanted)


def test_nothing_of_torch_is_left(models, settled, types):
    """Channels are shuffled by one layer, dropout and views are gone, names are those of the modules."""
    net = fbnet.convert(settled(models.shufflenet_v2_x0_5()), (1, 3, 64, 64))
    assert {"ShuffleChannel", "Slice", "Concat"} <= set(types(net))
    assert not {"Permute", "Reshape", "Dropout"} & set(types(net))
    assert net["stage2.0.branch1.0"].type == "Convolution" and net["conv1.0"].inputs[1] == "conv1.0.weight"


def test_the_test_that_travels_is_torchs(models, settled, judged, numbers):
    module, x = settled(models.resnet18(num_classes=7)), numbers(1, 3, 40, 48)
    net = fbnet.convert(module, torch.from_numpy(x))
    (test,) = net.tests
    np.testing.assert_array_equal(test["x"], x)
    np.testing.assert_array_equal(test[net.outputs[0]], judged(module, x)[0])


@pytest.fixture(scope="module")
def mobilenet(zoo, models):
    """MobileNetV2 with the weights that its authors trained on ImageNet."""
    module = models.mobilenet_v2()
    state = next(zoo("mobilenet_v2").glob("*.pth"))
    module.load_state_dict(torch.load(state, weights_only=True))
    return module.eval(), state


def test_mobilenet_names_photos_as_torch_does(mobilenet, zoo, judged, close):
    module, state = mobilenet
    net = fbnet.convert(type(module)(), (1, 3, 224, 224), weights=state)
    best = best_five = 0
    mean, std = (np.float32(v).reshape(3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    photos = sorted(zoo("imagenet_photos").glob("imagenet_*.jpg"))
    for photo in photos:
        number = int(re.search(r"_(\d+)\.jpg$", photo.name)[1])
        x = ((_cropped(photo).transpose(2, 0, 1) / 255 - mean) / std)[None]
        y = net(x)
        close(y, judged(module, x)[0])
        order = np.argsort(-y.ravel())
        best += order[0] == number
        best_five += number in order[:5]
    assert (len(photos), best, best_five) == (20, 18, 20)


def _cropped(photo: Path) -> np.ndarray:
    """As it was trained: the shorter side 256, the middle 224 of that. (224, 224, 3)"""
    image = Image.open(photo).convert("RGB")
    factor = 256 / min(image.size)
    image = image.resize([round(s * factor) for s in image.size], Image.Resampling.BILINEAR)
    left, top = ((s - 224) // 2 for s in image.size)
    return np.asarray(image.crop((left, top, left + 224, top + 224)), np.float32)


class LeNet5(torch.nn.Module):
    """advertorch's: two convolutions, each pooled, and two linear layers, with a view between."""

    def __init__(self):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(1, 32, kernel_size=3, padding=1)
        self.relu1 = torch.nn.ReLU(inplace=True)
        self.maxpool1 = torch.nn.MaxPool2d(2)
        self.conv2 = torch.nn.Conv2d(32, 64, kernel_size=3, padding=1)
        self.relu2 = torch.nn.ReLU(inplace=True)
        self.maxpool2 = torch.nn.MaxPool2d(2)
        self.linear1 = torch.nn.Linear(7 * 7 * 64, 200)
        self.relu3 = torch.nn.ReLU(inplace=True)
        self.linear2 = torch.nn.Linear(200, 10)

    def forward(self, x):
        out = self.maxpool1(self.relu1(self.conv1(x)))
        out = self.maxpool2(self.relu2(self.conv2(out)))
        out = self.relu3(self.linear1(out.view(out.size(0), -1)))
        return self.linear2(out)


@pytest.mark.parametrize(("training", "right"), [("cln", 9889), ("adv", 9864)])
def test_lenet5_reads_as_many_digits_as_with_torch(training, right, zoo):
    weights = zoo("lenet5_torch") / f"mnist_lenet5_{training}trained.pt"
    net = fbnet.convert(LeNet5(), (1, 1, 28, 28), weights=weights)
    assert str(net.inputs["x"]) == "fp32[N,1,28,28]"
    images, labels = (next(zoo("mnist").glob(f"t10k-{kind}*")).read_bytes() for kind in ("images", "labels"))
    x = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 1, 28, 28).astype(np.float32) / 255
    y = np.concatenate([net(part) for part in np.split(x, 20)])
    assert (y.argmax(1) == np.frombuffer(labels, np.uint8, offset=8)).sum() == right
