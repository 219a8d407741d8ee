"""Text on a page: PP-OCRv4's recogniser, converted from ONNX, reads a line of pixels into characters."""

# %% A network and a page of the zoo. Both are fetched once.
import fbnet
import numpy as np
import onnx
from fbnet.tools.zoo import fetched
from PIL import Image, ImageDraw

page = Image.open(fetched("photos") / "page.png").convert("RGB")
file = fetched("ppocr_v4_rec") / "ch_PP-OCRv4_rec_infer.onnx"
alphabet = {entry.key: entry.value for entry in onnx.load(file).metadata_props}["character"]
characters = ["", *alphabet.split("\n"), " "]

# %% How pixels come in and characters go out becomes part of the net.
net = fbnet.convert(file, shapes={"x": ("N", 3, 48, 320)})
way = {"size": (48, 320), "fit": "letterbox", "at_corner": True, "fill": 127, "order": "BGR"}
net = fbnet.with_answers(fbnet.with_image_input(net, mean=127.5, scale=1 / 127.5, **way), ctc=0)

# %% Three lines of the page, and what they say.
picture = Image.new("RGB", (400, 150), "white")
for row, top in enumerate((76, 98, 120)):
    line = page.crop((0, top, 180, top + 24))
    read = net(np.asarray(line))["classes"][0]
    picture.paste(line, (10, 50 * row + 10))
    text = "".join(characters[i] for i in read if i >= 0)
    ImageDraw.Draw(picture).text((200, 50 * row + 11), text, "black", font_size=16)
picture.save("read_text.jpg")
