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
