"""What is on a photo: SqueezeNet v1.1, converted from Caffe, and its five best guesses."""

# %% A network and a photo of the zoo. Both are fetched once.
import fbnet
import numpy as np
from fbnet.tools.zoo import fetched, network
from PIL import Image, ImageDraw

photo = Image.open(fetched("photos") / "chelsea.png").convert("RGB")
net = fbnet.with_answers(network("squeezenet_v1.1"), top=5)

# %% Pixels in, answers out: the resize, the colours and the mean are layers of the net.
scores, classes = (answer.ravel() for answer in net(np.asarray(photo)).values())
labels = [net.metadata["labels"][i] for i in classes]

# %% A picture.
picture = Image.new("RGB", (photo.width, photo.height + 20 * len(labels)), "white")
picture.paste(photo)
draw = ImageDraw.Draw(picture)
for row, (label, score) in enumerate(zip(labels, scores, strict=True)):
    top = photo.height + 20 * row
    draw.rectangle((0, top + 3, 200 * float(score), top + 17), "darkorange")
    draw.text((210, top + 4), f"{score:.3f}  {label}", "black", font_size=14)
picture.save("classify.jpg")
