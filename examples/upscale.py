"""A photo, twice as large: SPAN, converted from ncnn, beside a cubic enlargement."""

# %% A network and a photo of the zoo. Both are fetched once.
import numpy as np
from fbnet.tools.zoo import fetched, network
from PIL import Image

photo = Image.open(fetched("photos") / "chelsea.png").convert("RGB").crop((130, 60, 226, 124))
net = network("span_x2")

# %% (1, 3, H, W) in 0..1 goes in, (1, 3, 2 H, 2 W) comes out.
x = np.asarray(photo, np.float32).transpose(2, 0, 1)[None] / 255
y = np.clip(np.rint(net(x)[0] * 255), 0, 255).astype(np.uint8).transpose(1, 2, 0)

# %% A picture: cubic to the left, the net to the right.
width, height = 2 * photo.width, 2 * photo.height
picture = Image.new("RGB", (2 * width, height))
picture.paste(photo.resize((width, height), Image.Resampling.BICUBIC))
picture.paste(Image.fromarray(y), (width, 0))
picture.save("upscale.jpg")
