"""The page is one file that asks for nothing, has every layer, and shows hostile names as text; then in a browser."""

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import fbnet
import numpy as np
import pytest
from fbnet import Net, Spec
from fbnet.engine.layer import layers
from fbnet.tools.report.gather import gathered, histogram, stands_for
from fbnet.tools.report.maps import pictures
from fbnet.tools.report.page import page

LENET = Path(fbnet.__file__).parent / "tools" / "lenet" / "lenet.fbnet"
DIGIT = LENET.parent / "digit_7.png"
HOSTILE = (
    "</script></style><script>alert('\"]]>&amp;')</script><img src=x onerror=alert(1)>\n\x00\x1b[2J`${1}$name"
)


VOID = {"meta", "img", "input", "br"}


class Read(HTMLParser):
    """The page as a parser sees it: ids, elements, links; and that what is opened is closed in its order."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, name: str) -> list[str]:
        return [attributes[name] or "" for _, attributes in self.elements if name in attributes]


@pytest.fixture(scope="module")
def lenet() -> str:
    net = fbnet.load(LENET)
    x = np.zeros((1, 28, 28, 1), np.uint8)
    x[0, 4:24, 12:16] = 255
    plan = net.compile(threads=1, shapes={"image": x.shape})
    return page(gathered(net, plan, {"image": x}, 1, "one.png"))


def test_one_page_with_everything(lenet):
    read = Read(lenet)
    ids = read.all("id")
    assert len(ids) == len(set(ids))
    links = [link for link in read.all("href") if link.startswith("#")]
    assert links and all(link[1:] in ids for link in links)
    names = {name.split(" · ")[0] for name in read.all("data-name")}
    assert names >= {"conv1", "pool1", "conv2", "pool2", "ip1", "ip2", "prob", "image.resize", "image.tensor"}
    for text in (
        "9 of 10",
        "431 k",
        "2.29 M",
        "y[m] = sum of x[c] * w[m,c] + b[m]",
        "ip1, relu1",
        "1,20,24,24",
    ):
        assert text in lenet, text
    assert all(uri.startswith("data:image/png;base64,") for uri in read.all("src"))
    assert len(read.all("src")) >= 6, "the photo, and what the convolutions and poolings make of it"


def test_nothing_from_outside_is_asked_for(lenet):
    assert set(re.findall(r"https?://[\w./-]+", lenet)) <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"@import|url\(|<link|<iframe", lenet)
    assert "default-src 'none'" in lenet


def test_one_can_read_it_without_seeing_it(lenet):
    read = Read(lenet)
    assert read.elements[0][0] == "html" and read.elements[0][1]["lang"] == "en"
    for tag, attributes in read.elements:
        if tag == "img":
            assert attributes["alt"]
        if tag == "svg":
            assert attributes["role"] == "img" and attributes["aria-label"]
        if tag == "input":
            assert attributes["aria-label"]
        if tag == "th":
            assert attributes["scope"] == "col"
    headings = [int(tag[1]) for tag, _ in read.elements if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == 1 and headings.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(headings)), "no level is left out"


def hostile_report() -> str:
    w = np.ones((4, 3, 1, 1), np.float32)
    conv = layers["Convolution"](HOSTILE, w, name=HOSTILE + "1")
    relu = layers["ReLU"](HOSTILE + "1", name=HOSTILE + "2")
    net = Net(
        [conv, relu], {HOSTILE: (1, 3, 4, 4)}, name=HOSTILE, metadata={HOSTILE: HOSTILE, "labels": [HOSTILE]}
    )
    x = np.full((1, 3, 4, 4), np.nan, np.float32)
    plan = net.compile("reference", threads=1)
    return page(gathered(net, plan, {HOSTILE: x}, 0, HOSTILE))


def test_hostile_names_and_numbers():
    text = hostile_report()
    read = Read(text)
    assert [tag for tag, _ in read.elements].count("script") == 1
    assert not [a for _, attributes in read.elements for a in attributes if a.startswith("on")]
    assert "x" not in read.all("src") and "\x1b" not in text and "\x00" not in text
    assert text.count("alert(") > 5, "the names are there, as text"


def test_layers_that_run_stand_for_those_that_are_written():
    net = fbnet.load(LENET)
    fused = net["ip1"].replace(outputs=("relu1",))
    layers_that_run = [fused if x.name == "ip1" else x for x in net.layers if x.name != "relu1"]
    found = stands_for(net, net.replace(layers=layers_that_run))
    assert found["ip1"] == ("ip1", "relu1") and found["conv1"] == ("conv1",)


def test_histograms_against_numpy():
    x = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    h = histogram("x", x, Spec(x.shape))
    wanted, _ = np.histogram(x.astype(np.float64), bins=len(h.counts))
    assert np.abs(np.array(h.counts) - wanted).sum() <= 2  # a number on an edge may fall to either side
    assert (h.mean, h.deviation) == pytest.approx((x.mean(), x.std()), rel=1e-5)
    odd = histogram("x", np.array([np.nan, np.inf, 0.0, 0.0]), Spec((4,)))
    assert sum(odd.counts) == 2 and odd.zeros == 0.5
    assert sum(histogram("x", np.array([]), Spec((0,))).counts) == 0
    assert sum(histogram("x", np.array([0.0, 5e-324]), Spec((2,))).counts) == 2


def test_pictures_of_channels():
    from base64 import b64decode
    from io import BytesIO

    from PIL import Image

    y = np.zeros((1, 20, 8, 8), np.float32)
    y[0, 1] = 1
    (found,) = pictures("conv", y)
    assert "16 of 20 channels, from 0 (dark) to 1 (bright)" in found.about
    image = Image.open(BytesIO(b64decode(found.uri.partition(",")[2]))).convert("RGBA")
    assert image.size == (found.width, found.height) == (8 * 66 - 2, 2 * 66 - 2)
    assert image.getpixel((5, 5)) == (68, 1, 84, 255) and image.getpixel((70, 5)) == (253, 231, 37, 255)
    assert image.getpixel((64, 5))[3] == 0, "between the channels there is nothing"
    (photo,) = pictures("image", np.full((1, 30, 40, 3), 255, np.uint8))
    assert (photo.width, photo.height) == (40, 30)
    for nothing in (np.zeros((1, 10)), np.zeros((0, 3, 4, 4)), np.zeros((1, 3, 1, 1)), np.zeros(())):
        assert pictures("y", nothing) == []
    assert pictures("y", np.full((1, 2, 4, 4), np.nan))[0].width == 2 * 66 - 2


def test_the_command(program, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = program.json("report", LENET, "--image", DIGIT, "--rounds", 1, "--threads", 1)
    assert found["file"] == "lenet.html" and found["bytes"] == Path("lenet.html").stat().st_size
    assert [row["layer"] for row in found["layers"]][:3] == ["image.resize", "image.tensor", "conv1"]
    assert "digit_7.png" in Path("lenet.html").read_text("utf-8")
    for words, says in (
        (["--image", "nothing.png"], "nothing.png: there is no such file"),
        (["--image", LENET], "lenet.fbnet: no image of a known kind"),
        (["-o", "no/a.html", "--device", "reference"], "no/a.html: it cannot be written: No such file"),
    ):
        assert says in program.fails("report", LENET, *words)
    assert [p.name for p in tmp_path.iterdir()] == ["lenet.html"]


# -- in a browser ------------------------------------------------------------------------------------------


def test_it_renders_and_nothing_is_on_the_console(browser, lenet, tmp_path):
    (tmp_path / "r.html").write_text(lenet, "utf-8")
    for width, dark in ((1280, False), (1280, True), (390, False)):
        browser.open(tmp_path / "r.html", width, 900, dark)
        assert browser.console == [] and browser("scrollY") == 0
        assert browser("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out to the side"
        box = browser(
            "(({width, height}) => [width, height])(document.querySelector('#n2 .card').getBoundingClientRect())"
        )
        assert box[0] > 50 and box[1] > 20
        assert browser("getComputedStyle(document.body).backgroundColor") == (
            "rgb(17, 20, 26)" if dark else "rgb(247, 248, 250)"
        )
        assert browser("[...document.querySelectorAll('.layer')].filter((e) => e.offsetParent).length") == 1


def chosen(browser) -> str:
    return browser("document.querySelector('.layer.on h3').textContent")


def test_search_finds_a_layer_by_keyboard_alone(browser, lenet, tmp_path):
    (tmp_path / "r.html").write_text(lenet, "utf-8")
    browser.open(tmp_path / "r.html")
    browser.key("/")
    assert browser("document.activeElement.id") == "search"
    for letter in "pool":
        browser.key(letter)
    hits = "[...document.querySelectorAll('#found li')].map((e) => e.textContent)"
    assert [hit.split(" · ")[0] for hit in browser(hits)][:2] == ["pool1", "pool2"]
    browser.key("ArrowDown")
    browser.key("Enter")
    assert chosen(browser) == "pool2 Pooling" and browser("location.hash") == "#layer-n5"
    assert browser("document.querySelector('.node.on').id") == "n5"
    inside = "((a, b) => a.top >= b.top && a.bottom <= b.bottom && a.left >= b.left && a.right <= b.right)"
    boxes = [f"document.querySelector('{e}').getBoundingClientRect()" for e in ("#n5 .card", "#view")]
    assert browser(f"{inside}({', '.join(boxes)})"), "the graph has moved to it"
    browser("document.getElementById('search').select()")
    for letter in "zz":
        browser.key(letter)
    assert browser(hits) == ["No layer is called so."]
    assert browser.console == []


def test_the_graph_by_keyboard_and_the_table(browser, lenet, tmp_path):
    (tmp_path / "r.html").write_text(lenet, "utf-8")
    browser.open(tmp_path / "r.html")
    browser("document.getElementById('view').focus()")
    box = "document.querySelector('#view svg').getAttribute('viewBox').split(' ').map(Number)"
    x, _, width, _ = browser(box)
    browser.key("+")
    assert browser(box)[2] == pytest.approx(width / 1.25, rel=1e-6)
    browser.key("ArrowRight")
    assert browser(box)[0] > x
    browser.key("0")
    assert browser(box)[3] >= 700, "the whole graph"
    browser.key("n")
    assert chosen(browser).startswith("image.tensor")
    browser("document.querySelector('#layers th[data-sort=\"5\"] button').click()")
    times = browser("[...document.querySelectorAll('#layers tbody tr')].map((r) => +r.cells[5].dataset.v)")
    assert times == sorted(times, reverse=True) and len(times) >= 9
    browser("document.querySelector('#layers a').click()")
    assert chosen(browser).split()[0] == browser("document.querySelector('#layers a').textContent")
    browser("document.getElementById('theme').click()")
    assert browser("getComputedStyle(document.body).backgroundColor") == "rgb(17, 20, 26)"
    assert browser.console == []


def test_hostile_names_do_nothing_in_a_browser(browser, tmp_path):
    (tmp_path / "h.html").write_text(hostile_report(), "utf-8")
    browser.open(tmp_path / "h.html")
    assert browser.console == [] and browser("document.scripts.length") == 1
    assert "alert(" in chosen(browser)
