# Makes the files in this folder: `python3 make.py`, with datasets and pillow from PyPI.
import io, os, shutil
from datasets import ClassLabel, Dataset, Features, Image, List, Value
from PIL import Image as Pil

def picture(color, size=(8, 6)):
    out = io.BytesIO()
    Pil.new("RGB", size, color).save(out, "PNG")
    return out.getvalue()

red, blue = picture((255, 0, 0)), picture((0, 0, 255))
open("beside.png", "wb").write(blue)
rows = {
    "id": ["a", "b", "c"],
    "label": [0, 2, 1],
    "n": [1, None, 3],
    "score": [0.5, 0.25, None],
    "image": [{"bytes": red, "path": None}, {"bytes": None, "path": "beside.png"}, {"bytes": b"no picture", "path": "x.png"}],
    "images": [[{"bytes": red, "path": None}, {"bytes": blue, "path": None}], [], [{"bytes": blue, "path": "y.png"}]],
    "turns": [[{"role": "user", "content": "Where?"}], [], [{"role": "user", "content": "Who?"}]],
}
features = Features({
    "id": Value("string"), "label": ClassLabel(names=["low", "mid", "high"]), "n": Value("int32"), "score": Value("float32"),
    "image": Image(decode=False), "images": List(Image(decode=False)),
    "turns": List({"role": Value("string"), "content": Value("string")}),
})
d = Dataset.from_dict(rows, features=features)
d.to_parquet("rows.parquet")
d.save_to_disk("saved")
os.replace("saved/data-00000-of-00001.arrow", "rows.arrow")
shutil.rmtree("saved")

# Pictures out of the ordinary, and one of each kind.
os.makedirs("pictures", exist_ok=True)
scene = Pil.linear_gradient("L").resize((24, 16)).convert("RGB")
scene.save("pictures/plain.jpg")
scene.save("pictures/plain.png")
scene.save("pictures/plain.webp")
scene.save("pictures/plain.bmp")
scene.save("pictures/plain.tiff")
scene.save("pictures/progressive.jpg", progressive=True)
scene.convert("CMYK").save("pictures/cmyk.jpg")
scene.convert("I;16").save("pictures/16bit.png")
scene.convert("RGBA").save("pictures/alpha.webp", lossless=True)
scene.convert("P").save("pictures/palette.png")
scene.convert("1").save("pictures/1bit.tiff", compression="group4")
turned = [scene.rotate(90 * i) for i in range(4)]
for kind in ["gif", "webp", "png"]:
    turned[0].save(f"pictures/animated.{kind}", save_all=True, append_images=turned[1:], duration=100)
for tag in range(1, 9):
    exif = Pil.Exif()
    exif[0x0112] = tag
    scene.save(f"pictures/exif{tag}.jpg", exif=exif)
