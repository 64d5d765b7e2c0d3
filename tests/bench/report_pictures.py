"""The pictures of `docs/report.md`: sections of a report page as Chromium shows them, 1400 pixels wide, light.

  python3 tests/bench/report_pictures.py recipes/out/report.html recipes/out/calibration.html [--out docs/images] [--chromium chromium]

Needs Pillow. The pages are those that `recipes/final.rb2` writes.
"""
import argparse
import pathlib
import subprocess
import tempfile

from PIL import Image

# The picture, which page it is of, the section, its height, and what a reader does first.
PICTURES = [
    ("report-scores", 0, "scores", 1900, ""),
    ("report-training", 0, "training", 620, ""),
    ("report-samples", 0, "samples", 1060, "choose('sbench', 'refspatial'); document.querySelector('[data-f=differ]').click()"),
    ("report-calibration", 1, "calibration", 760, ""),
]
# One section alone; of the first one the head of the page too.
SCRIPT = """<style>section:not(#SECTION){display:none!important}HEAD</style><script>
document.documentElement.dataset.theme = "light";
const choose = (id, value) => { const list = document.getElementById(id); list.value = value; list.dispatchEvent(new Event("change")) };
DO</script>"""


def shot(chromium, page, folder, picture):
    name, _, section, height, do = picture
    head = "" if section == "scores" else "header,nav{display:none!important}section{margin-top:1.6rem!important}"
    script = SCRIPT.replace("SECTION", section).replace("HEAD", head).replace("DO", do)
    copy = folder / f"{name}.html"
    copy.write_text(page.read_text().replace("</body>", script + "</body>"))
    out = folder / f"{name}.png"
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", f"--user-data-dir={folder / 'profile'}",
               "--virtual-time-budget=5000", f"--window-size=1400,{height}", f"--screenshot={out}", f"file://{copy}"]
    subprocess.run(command, check=True, capture_output=True)
    return Image.open(out).convert("RGB")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs=2, type=pathlib.Path, help="the report and the page about calibration")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("docs/images"))
    parser.add_argument("--chromium", default="chromium")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temp:
        for picture in PICTURES:
            shot(args.chromium, args.pages[picture[1]], pathlib.Path(temp), picture).save(args.out / f"{picture[0]}.webp", quality=82, method=6)


main()
