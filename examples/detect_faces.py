"""Faces on a photo: an SSD on ResNet-10, converted from Caffe. Its boxes come in pixels of the photo."""

# %% A network and a photo of the zoo. Both are fetched once.
import numpy as np
from fbnet.tools.zoo import fetched, network
from PIL import Image, ImageDraw

photo = Image.open(fetched("photos") / "astronaut.png").convert("RGB")
net = network("res10_ssd")

# %% Rows of (image, label, score, left, top, right, bottom).
rows = net(np.asarray(photo)).reshape(-1, 7)
faces = rows[(rows[:, 0] >= 0) & (rows[:, 2] > 0.5)]

# %% A picture.
draw = ImageDraw.Draw(photo)
for _, _, score, left, top, right, bottom in faces.tolist():
    draw.rectangle((left, top, right, bottom), outline="darkorange", width=3)
    draw.text((left + 6, top + 4), f"{score:.3f}", "darkorange", font_size=20)
photo.save("detect_faces.jpg")
